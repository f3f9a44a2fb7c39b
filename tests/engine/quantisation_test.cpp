#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "engine/engine.h"
#include "engine/parity.h"
#include "graph/surgery.h"
#include "support/nets.h"

using namespace engraft;
using Catch::Contains;
using torch::jit::Module;

namespace {

engine::EngineOptions options_of(int64_t batch, int size_px = 32) {
  engine::EngineOptions options{{}, batch, c10::Device(c10::kCPU)};
  options.preprocessing.size_px = size_px;
  options.is_frozen = true;
  return options;
}

/// The least and the largest value of each place on the two pictures of parity.h.
std::vector<engine::ValueRange> ranges_of(const Module& module, const engine::EngineOptions& options) {
  const auto observer = engine::make_openvino_observer(module, "forward", options);
  const auto outputs = observer->run(engine::parity_pictures(options.preprocessing.size_px).data());
  std::vector<engine::ValueRange> ranges;
  for (size_t i = 0; i < outputs.size(); i += 2)
    ranges.push_back({outputs[i].min().item<float>(), outputs[i + 1].max().item<float>()});
  return ranges;
}

engine::EngineOptions int8_of(const Module& module, int64_t batch = 2) {
  engine::EngineOptions options = options_of(batch);
  options.calibration =
      std::make_shared<const engine::Calibration>(engine::Calibration{ranges_of(module, options), "0123456789abcdef"});
  options.precision = tensor::Precision::kInt8;
  return options;
}

/// A convolution and a product with constant weights, and what stands between.
Module two_layers() {
  at::manual_seed(3);
  Module module("__torch__.test.TwoLayers");
  module.register_attribute("training", c10::BoolType::get(), false);
  module.register_buffer("weight", at::randn({16, 3, 3, 3}));
  module.register_buffer("matrix", at::randn({16, 5}));
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  y = torch.relu(torch.conv2d(x, self.weight))\n"
      "  return torch.matmul(torch.mean(y, [2, 3]), self.matrix)\n");
  return module;
}

}  // namespace

TEST_CASE("the observer says what the layers with weights read, picture by picture", "[unit]") {
  const Module module = two_layers();
  const auto options = options_of(2);
  const auto pixels = engine::parity_pictures(32);
  const auto outputs = engine::make_openvino_observer(module, "forward", options)->run(pixels.data());
  REQUIRE(outputs.size() == 4);
  const auto given = engine::make_torch_engine(module, "", options)->run(pixels.data()).front();
  const at::Tensor weight = module.attr("weight").toTensor();
  const at::Tensor means = at::relu(at::conv2d(given, weight)).mean({2, 3});
  const auto close = [](const at::Tensor& a, const at::Tensor& b) { return at::allclose(a, b, 1e-4, 1e-5); };
  CHECK(close(outputs[0], given.flatten(1).amin(1)));
  CHECK(close(outputs[1], given.flatten(1).amax(1)));
  CHECK(close(outputs[2], means.amin(1)));
  CHECK(close(outputs[3], means.amax(1)));
}

TEST_CASE("int8 gives nearly what float32 gives, in whole numbers, and says by which calibration", "[unit]") {
  for (const Module& module : {two_layers(), graph::extract(test::small_net(), {"mixed_2"})}) {
    const auto options = int8_of(module);
    const auto engine = engine::make_engine(module, "forward", options);
    CHECK_THAT(engine->name(),
               Catch::StartsWith("openvino 20") && Contains(" int8 ") && Catch::EndsWith(" by 01234567"));
    const engine::EngineReport report = engine->report();
    CHECK(report.share_as_asked >= 0.9);
    CHECK(report.executed.count("u8") + report.executed.count("i8") > 0);
    const double difference = engine::difference_from_torch(*engine, module, "forward");
    CHECK(difference > 1e-5);  // it is not float32
    CHECK(difference < 0.05);
  }
}

TEST_CASE("branches that are joined share one range, with pools between", "[unit]") {
  Module module("__torch__.test.Joined");
  module.register_attribute("training", c10::BoolType::get(), false);
  at::manual_seed(7);
  for (const char* name : {"a", "b"}) module.register_buffer(name, at::randn({8, 3, 1, 1}));
  module.register_buffer("c", at::randn({4, 16, 1, 1}));
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  y = torch.cat([torch.relu(torch.conv2d(x, self.a)), 3.0 * torch.relu(torch.conv2d(x, self.b))], 1)\n"
      "  return torch.conv2d(torch.max_pool2d(y, [2, 2]), self.c)\n");
  const auto ranges = ranges_of(module, options_of(2));
  REQUIRE(ranges.size() == 2);  // the pictures; both branches together
  CHECK(ranges[1].low == 0);
  const auto engine = engine::make_engine(module, "forward", int8_of(module));
  CHECK(engine::difference_from_torch(*engine, module, "forward") < 0.05);
}

TEST_CASE("int8 is refused without a calibration, by another network's, by LibTorch, and on a GPU", "[unit]") {
  const Module module = two_layers();
  auto options = int8_of(module);
  const auto message = [&](const engine::EngineOptions& wanted) -> std::string {
    try {
      engine::make_engine(module, "forward", wanted);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing is thrown";
  };
  auto torch = options;
  torch.kind = engine::EngineKind::kTorch;
  CHECK_THAT(message(torch), Contains("int8 is computed by OpenVINO"));
  auto cuda = options;
  cuda.device = c10::Device(c10::kCUDA, 0);
  CHECK_THAT(message(cuda), Contains("--precision int8 runs on CPUs"));
  auto other = options;
  other.calibration =
      std::make_shared<const engine::Calibration>(engine::Calibration{{{0, 1}, {0, 1}, {0, 1}}, "0123456789abcdef"});
  CHECK_THAT(message(other), Contains("calibrated at 3 places, the network has 2"));
  options.calibration = nullptr;
  CHECK_THAT(message(options), Contains("without a calibration"));
}
