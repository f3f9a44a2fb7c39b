#include "model/new_networks.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/archive.h"
#include "image/preprocessing.h"
#include "io/json.h"
#include "model/network_builder.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

namespace {

using torch::jit::Module;

constexpr const char* kPrefix = "new:";
constexpr const char* kCnn3 = "cnn3";
constexpr const char* kInceptionMini = "inception-mini";

/// "  x = self.NAME.forward(x)\n", the line of a forward that runs a child.
std::string step(const std::string& child, const std::string& into = "x", const std::string& from = "x") {
  return "  " + into + " = self." + child + ".forward(" + from + ")\n";
}

std::string forward_of(const std::string& steps, const std::string& result = "x") {
  return "def forward(self, x: Tensor) -> Tensor:\n" + steps + "  return " + result + "\n";
}

Module cnn3(NetworkBuilder& builder) {
  std::vector<Slot> blocks;
  std::string steps;
  int64_t in = 3;
  for (const int64_t out : {16, 32, 64}) {
    const std::string name = text::cat("conv_", blocks.size() + 1);
    blocks.push_back(
        {name, builder
                   .module("ConvolutionPool",
                           {{"weight", builder.glorot_uniform({out, in, 3, 3})}, {"bias", builder.constant({out}, 0)}},
                           "def forward(self, x: Tensor) -> Tensor:\n"
                           "  x = torch.relu(torch.conv2d(x, self.weight, self.bias))\n"
                           "  return torch.max_pool2d(x, [2, 2])\n")
                   ._ivalue()});
    steps += step(name);
    in = out;
  }
  return builder.module("Cnn3", blocks, forward_of(steps));
}

/// A convolution of `height` x `width` to `out` channels that keeps the size, divided by `stride`.
struct ConvolutionShape {
  int64_t in, out, height, width;
  int64_t stride = 1;
};

/// Convolution without bias, batch norm, what stands in `between` ("x = …"), ReLU.
Slot conv_norm(NetworkBuilder& builder, const std::string& name, const ConvolutionShape& s,
               const std::string& between = "") {
  const Module conv = builder.module("Conv2d",
                                     {{"weight", builder.he_normal({s.out, s.in, s.height, s.width})},
                                      {"stride", c10::List<int64_t>({s.stride, s.stride})},
                                      {"padding", c10::List<int64_t>({s.height / 2, s.width / 2})}},
                                     "def forward(self, x: Tensor) -> Tensor:\n"
                                     "  return torch.conv2d(x, self.weight, None, self.stride, self.padding)\n");
  return {name, builder
                    .module(between.empty() ? "ConvNorm" : "ConvNormPool",
                            {{"conv", conv._ivalue()}, {"norm", builder.batch_norm(s.out)._ivalue()}},
                            forward_of(step("conv") + step("norm") + between, "torch.relu(x)"))
                    ._ivalue()};
}

Module stem(NetworkBuilder& builder, int64_t out) {
  constexpr int64_t kFirst = 32;
  return builder.module(
      "Stem", {conv_norm(builder, "conv_1", {3, kFirst, 3, 3, 2}), conv_norm(builder, "conv_2", {kFirst, out, 3, 3})},
      forward_of(step("conv_1") + step("conv_2"), "torch.max_pool2d(x, [3, 3], [2, 2], [1, 1])"));
}

/// Channels of the four branches of an Inception block, and of the 1x1 convolutions before the wide ones.
struct InceptionWidths {
  int64_t one, three_reduce, three, wide_reduce, wide, pool;
  /// The wide branch: 1x7 and 7x1 rather than 5x5 as two of 3x3.
  bool is_seven = false;
  int64_t out() const { return one + three + wide + pool; }
};

/// The pool branch pools behind its convolution and norm, where there are few channels, and before the ReLU.
Module inception(NetworkBuilder& builder, int64_t in, const InceptionWidths& w) {
  const std::string wide = w.is_seven ? "seven" : "five";
  const int64_t height = w.is_seven ? 7 : 3, width = height;
  const char* const kPool = "  x = torch.avg_pool2d(x, [3, 3], [1, 1], [1, 1], False, False)\n";
  const std::vector<Slot> parts = {conv_norm(builder, "one", {in, w.one, 1, 1}),
                                   conv_norm(builder, "three_reduce", {in, w.three_reduce, 1, 1}),
                                   conv_norm(builder, "three", {w.three_reduce, w.three, 3, 3}),
                                   conv_norm(builder, wide + "_reduce", {in, w.wide_reduce, 1, 1}),
                                   conv_norm(builder, wide + "_1", {w.wide_reduce, w.wide, w.is_seven ? 1 : 3, width}),
                                   conv_norm(builder, wide + "_2", {w.wide, w.wide, height, w.is_seven ? 1 : 3}),
                                   conv_norm(builder, "pool", {in, w.pool, 1, 1}, kPool)};
  return builder.module(
      w.is_seven ? "InceptionSeven" : "InceptionFive", parts,
      forward_of(step("one", "a") + step("three_reduce", "b") + step("three", "b", "b") + step(wide + "_reduce", "c") +
                     step(wide + "_1", "c", "c") + step(wide + "_2", "c", "c") + step("pool", "d"),
                 "torch.cat([a, b, c, d], 1)"));
}

/// Pools lie between the blocks, so that the network can be cut behind them too, where the tensor is a quarter.
Module inception_mini(NetworkBuilder& builder) {
  constexpr int64_t kStem = 48;
  const std::string pool = "  x = torch.max_pool2d(x, [3, 3], [2, 2], [1, 1])\n";
  const std::vector<std::vector<InceptionWidths>> scales = {
      {{32, 32, 48, 16, 24, 24}, {40, 40, 64, 20, 32, 24}},
      {{96, 64, 112, 40, 64, 48, true}, {112, 80, 128, 48, 80, 64, true}, {128, 96, 144, 56, 96, 64, true}},
      {{224, 128, 256, 80, 128, 96}, {288, 160, 352, 96, 160, 160}}};
  std::vector<Slot> blocks = {{"stem", stem(builder, kStem)._ivalue()}};
  std::string steps = step("stem");
  int64_t in = kStem;
  for (const auto& scale : scales) {
    if (&scale != &scales.front()) steps += pool;
    for (const InceptionWidths& widths : scale) {
      const std::string name = text::cat("mixed_", blocks.size());
      blocks.push_back({name, inception(builder, in, widths)._ivalue()});
      steps += step(name);
      in = widths.out();
    }
  }
  return builder.module("InceptionMini", blocks, forward_of(steps));
}

image::Preprocessing preprocessing_of(const std::string& name) {
  image::Preprocessing p;
  if (name == kCnn3) {
    p.size_px = 150;
    p.resize = "squash";
    p.mean = {0, 0, 0};
    p.std = {1, 1, 1};
  } else {
    p.size_px = 128;
  }
  return p;
}

}  // namespace

bool is_new_network(const std::string& path) { return text::starts_with(path, kPrefix); }

std::vector<std::string> new_network_names() { return {kCnn3, kInceptionMini}; }

std::string new_network(const std::string& given, uint64_t seed) {
  const std::string name = is_new_network(given) ? given.substr(std::string(kPrefix).size()) : given;
  const std::vector<std::string> known = new_network_names();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    const auto near = text::closest(name, known);
    throw UsageError("no network '" + name + "' to train from scratch" +
                     (near ? "; did you mean '" + *near + "'?" : "") + "; known: " + text::join(known, " "));
  }
  const c10::AutoGradMode with_gradients(true);  // without, the archive's copies would lose requires_grad
  NetworkBuilder builder(seed);
  Module net = name == kCnn3 ? cnn3(builder) : inception_mini(builder);
  net.eval();
  const io::Json about = {{"format", "engraft-backbone"},
                          {"version", 1},
                          {"name", name},
                          {"source", text::cat("random weights, seed ", seed)},
                          {"licence", "CC0-1.0"},
                          {"preprocessing", to_json(preprocessing_of(name))}};
  return graph::archive_bytes(net, {{"engraft.json", about.dump(1)}});
}

}  // namespace engraft::model
