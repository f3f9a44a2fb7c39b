#include "model/compose.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/module.h>

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/archive.h"
#include "graph/surgery.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "model/new_networks.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

namespace {

std::string pool_source(Pool pool) {
  switch (pool) {
    case Pool::kAverage:
      return "  if h.dim() == 4:\n    h = torch.mean(h, [2, 3])\n";
    case Pool::kMax:
      return "  if h.dim() == 4:\n    h = torch.amax(h, [2, 3])\n";
    case Pool::kFlatten:
      return "  h = torch.flatten(h, 1)\n";
    case Pool::kNone:
      break;
  }
  throw ModelError("a model needs pooled features: avg or flatten");
}

/// Adds `normalise` to the graft: the same arithmetic as engine::normalise, with mean and std as buffers, so that they
/// go where the module goes.
void add_normalise(torch::jit::Module& graft, const image::Preprocessing& p) {
  const bool swap = p.channels == "bgr";
  const auto row = [&](const std::array<double, 3>& rgb) {
    return at::tensor({static_cast<float>(rgb[swap ? 2 : 0]), static_cast<float>(rgb[1]),
                       static_cast<float>(rgb[swap ? 0 : 2])})
        .view({1, 3, 1, 1});
  };
  graft.register_buffer("mean", row(p.mean));
  graft.register_buffer("std", row(p.std));
  graft.define(std::string("def normalise(self, pixels: Tensor) -> Tensor:\n"
                           "  x = torch.permute(pixels, [0, 3, 1, 2])\n") +
               (swap ? "  x = torch.flip(x, [1])\n" : "") +
               "  x = x.float() / 255.0\n"
               "  return (x - self.mean) / self.std\n");
}

/// Adds `forward` behind the pool; in regression with the labels' mean and std as buffers, which stay float32.
void add_forward(torch::jit::Module& graft, const GraftSpec& spec) {
  std::string output = "self.head.forward(h)";
  if (spec.target == Target::kRegression) {
    graft.register_buffer("target_mean", at::tensor({static_cast<float>(spec.scale.mean)}));
    graft.register_buffer("target_std", at::tensor({static_cast<float>(spec.scale.std)}));
    output += " * self.target_std + self.target_mean";
  }
  graft.define("def forward(self, x: Tensor) -> Tensor:\n  h = self.backbone.forward(x)\n" + pool_source(spec.pool) +
               "  return " + output + "\n");
}

/// What from_pixels makes of forward's output.
std::string score_source(Target target) {
  switch (target) {
    case Target::kSoftmax:
      return "torch.softmax(logits, 1)";
    case Target::kSigmoid:
    case Target::kMultiLabel:
      return "torch.sigmoid(logits)";
    case Target::kRegression:
      break;
  }
  return "logits";
}

/// Copies `trained` into the tensors of the same names.
void put(const torch::jit::Module& module, const std::vector<tensor::NamedTensor>& trained) {
  std::vector<tensor::NamedTensor> targets;
  for (const auto& item : module.named_parameters(true)) targets.push_back({item.name, item.value});
  for (const auto& item : module.named_buffers(true)) targets.push_back({item.name, item.value});
  std::vector<tensor::NamedTensor> wanted;
  for (const tensor::NamedTensor& item : trained) {
    const auto found = std::find_if(targets.begin(), targets.end(), [&](const auto& t) { return t.name == item.name; });
    if (found == targets.end()) throw ModelError("the backbone file has no tensor '" + item.name + "'");
    wanted.push_back(*found);
  }
  tensor::restore(trained, wanted);
}

}  // namespace

Pool pool_from_text(const std::string& name) {
  if (name == "max") return Pool::kMax;
  if (name == "flatten") return Pool::kFlatten;
  if (name == "none") return Pool::kNone;
  return Pool::kAverage;
}

std::string to_text(Pool pool) {
  switch (pool) {
    case Pool::kAverage:
      return "avg";
    case Pool::kMax:
      return "max";
    case Pool::kFlatten:
      return "flatten";
    case Pool::kNone:
      return "none";
  }
  return "";
}

at::Tensor pooled(const at::Tensor& map, Pool pool) {
  switch (pool) {
    case Pool::kAverage:
      return map.dim() == 4 ? map.mean({2, 3}) : map;  // [B, C]
    case Pool::kMax:
      return map.dim() == 4 ? map.amax({2, 3}) : map;  // [B, C]
    case Pool::kFlatten:
      return map.flatten(1).contiguous();  // [B, C·H·W]
    case Pool::kNone:
      return map;
  }
  return map;
}

std::string compose_model(const GraftSpec& spec, const Head& head) {
  if (backbone_sha256(spec.backbone_path, spec.seed) != spec.backbone_sha256) {
    throw ModelError(spec.backbone_path + (is_new_network(spec.backbone_path)
                                               ? text::cat(": seed ", spec.seed, " gives other weights than the run's")
                                               : ": was changed during the run"));
  }
  const c10::AutoGradMode with_gradients(true);  // without, the archive's copies would lose requires_grad
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  const torch::jit::Module whole = load_script(spec.backbone_path, spec.trust, unit, spec.seed).module;
  torch::jit::Module backbone = graph::extract(whole, {spec.tap});
  put(backbone, spec.trained);

  torch::jit::Module graft("__torch__.engraft.Graft", unit);
  graft.register_module("backbone", backbone);
  graft.register_module("head", head.to_script(unit));
  add_forward(graft, spec);
  add_normalise(graft, spec.preprocessing);
  graft.define(
      "def from_pixels(self, pixels: Tensor) -> Tensor:\n"
      "  logits = self.forward(self.normalise(pixels))\n"
      "  return " +
      score_source(spec.target) + "\n");
  graft.eval();
  for (const auto& parameter : graft.named_parameters(true)) parameter.value.set_requires_grad(true);

  io::Json about = {{"format", "engraft-model"},
                    {"version", 1},
                    {"classes", spec.classes},
                    {"loss", to_text(spec.target)},
                    {"tap", spec.tap},
                    {"pool", to_text(spec.pool)},
                    {"head", head.options().spec},
                    {"preprocessing", to_json(spec.preprocessing)}};
  if (spec.target == Target::kRegression) about["target"] = {{"mean", spec.scale.mean}, {"std", spec.scale.std}};
  about["backbone_sha256"] = spec.backbone_sha256;
  about["training_data"] = {{"path_sample", spec.training_data.path_sample}};
  if (spec.training_data.val_fraction) about["training_data"]["val_fraction"] = *spec.training_data.val_fraction;
  about["self_test"] = self_test(graft, spec.preprocessing);

  return graph::archive_bytes(graft, {{"engraft.json", about.dump(1, ' ', false, io::Json::error_handler_t::replace)}});
}

}  // namespace engraft::model
