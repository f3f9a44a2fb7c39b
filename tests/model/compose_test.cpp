#include "model/compose.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/surgery.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "support/nets.h"
#include "support/support.h"

using namespace engraft;

namespace {

model::Head make_head(int64_t outputs) {
  model::HeadOptions options;
  options.embedding_dim = 16;
  options.outputs = outputs;
  options.spec = "fc=8,relu,dropout=0.5";
  return model::Head(options);
}

model::GraftSpec make_spec(const std::string& folder) {
  model::GraftSpec spec;
  spec.backbone_path = test::save_small_net(folder);
  spec.backbone_sha256 = io::sha256_of_file(spec.backbone_path);
  spec.tap = "mixed_2";
  spec.preprocessing.size_px = 32;
  spec.classes = {"ants", "bees", "cats"};
  spec.training_data = {0.3, {"0123"}};
  return spec;
}

}  // namespace

TEST_CASE("the same inputs give the same bytes, whatever was loaded before", "[module]") {
  test::TempFolder folder;
  const model::GraftSpec spec = make_spec(folder.path());
  const model::Head head = make_head(3);
  const std::string first = model::compose_model(spec, head);
  model::load_script(spec.backbone_path, false);
  const c10::NoGradGuard no_grad;
  CHECK(model::compose_model(spec, head) == first);
}

TEST_CASE("the file is the backbone with what was trained, the head, preprocessing and classes", "[module]") {
  test::TempFolder folder;
  model::GraftSpec spec = make_spec(folder.path());
  const model::Head head = make_head(3);
  torch::jit::Module body = graph::extract(model::load_script(spec.backbone_path, false).module, {"mixed_2"});
  {
    c10::NoGradGuard no_grad;
    at::Tensor weight = body.attr("mixed_2").toModule().attr("conv").toModule().attr("weight").toTensor();
    weight.add_(0.05);
    spec.trained = {{"mixed_2.conv.weight", weight}};
  }
  io::write_file(folder / "model.pt", model::compose_model(spec, head));
  model::Artifact artifact = model::load_artifact(folder / "model.pt", false);
  CHECK(artifact.classes == spec.classes);
  CHECK(artifact.preprocessing == spec.preprocessing);
  c10::NoGradGuard no_grad;
  const at::Tensor pixels = at::randint(0, 256, {2, 32, 32, 3}, at::kByte);
  const at::Tensor x = artifact.module.get_method("normalise")({pixels}).toTensor();
  const at::Tensor memory = head.forward(model::pooled(body.forward({x}).toTensor(), model::Pool::kAverage));
  CHECK(at::equal(artifact.module.forward({x}).toTensor(), memory));
  const at::Tensor scores = artifact.module.get_method("from_pixels")({pixels}).toTensor();
  CHECK(at::allclose(scores, memory.softmax(1)));
  for (const auto& parameter : artifact.module.named_parameters(true))
    CHECK(parameter.name.find("fc.weight") == std::string::npos);
}

TEST_CASE("a single logit gives one score", "[module]") {
  test::TempFolder folder;
  model::GraftSpec spec = make_spec(folder.path());
  spec.classes = {"ants", "bees"};
  spec.target = Target::kSigmoid;
  io::write_file(folder / "model.pt", model::compose_model(spec, make_head(1)));
  model::Artifact artifact = model::load_artifact(folder / "model.pt", false);
  c10::NoGradGuard no_grad;
  const at::Tensor scores =
      artifact.module.get_method("from_pixels")({at::zeros({1, 32, 32, 3}, at::kByte)}).toTensor();
  CHECK(scores.sizes() == at::IntArrayRef({1, 1}));
}

TEST_CASE("a multi-label model scores each class by itself", "[module]") {
  test::TempFolder folder;
  model::GraftSpec spec = make_spec(folder.path());
  spec.target = Target::kMultiLabel;
  io::write_file(folder / "model.pt", model::compose_model(spec, make_head(3)));
  model::Artifact artifact = model::load_artifact(folder / "model.pt", false);
  CHECK(artifact.target == Target::kMultiLabel);
  c10::NoGradGuard no_grad;
  const at::Tensor pixels = at::randint(0, 256, {2, 32, 32, 3}, at::kByte);
  const at::Tensor logits = artifact.module.forward({artifact.module.get_method("normalise")({pixels})}).toTensor();
  CHECK(at::equal(artifact.module.get_method("from_pixels")({pixels}).toTensor(), logits.sigmoid()));
}

TEST_CASE("a regression model gives numbers in the units of its labels", "[module]") {
  test::TempFolder folder;
  model::GraftSpec spec = make_spec(folder.path());
  spec.target = Target::kRegression;
  spec.classes.clear();
  spec.scale = {1000.25, 50.5};  // float32 has both
  const model::Head head = make_head(1);
  io::write_file(folder / "model.pt", model::compose_model(spec, head));
  model::Artifact artifact = model::load_artifact(folder / "model.pt", false);
  CHECK(artifact.target == Target::kRegression);
  CHECK(artifact.scale.mean == 1000.25);
  CHECK(artifact.scale.std == 50.5);
  c10::NoGradGuard no_grad;
  const torch::jit::Module body = graph::extract(model::load_script(spec.backbone_path, false).module, {"mixed_2"});
  const at::Tensor pixels = at::randint(0, 256, {2, 32, 32, 3}, at::kByte);
  const at::Tensor x = artifact.module.get_method("normalise")({pixels}).toTensor();
  torch::jit::Module memory = body;
  const at::Tensor standardised = head.forward(model::pooled(memory.forward({x}).toTensor(), model::Pool::kAverage));
  const at::Tensor expected = standardised * 50.5f + 1000.25f;
  CHECK(at::equal(artifact.module.forward({x}).toTensor(), expected));
  CHECK(at::equal(artifact.module.get_method("from_pixels")({pixels}).toTensor(), expected));
}

TEST_CASE("an engraft.json that does not fit its model is refused", "[module]") {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  test::TempFolder folder;
  model::GraftSpec spec = make_spec(folder.path());
  spec.target = Target::kRegression;
  spec.classes.clear();
  spec.scale = {3, 2};
  io::write_file(folder / "model.pt", model::compose_model(spec, make_head(1)));
  const model::Script script = model::load_script(folder / "model.pt", false);
  for (const Case& c :
       {Case{"\"regression\"", "\"ranking\"", "loss 'ranking' is none that this program knows"},
        Case{"\"regression\"", "\"sigmoid\"", "0 classes for 1 logits"},
        Case{"\"std\": 2.0", "\"std\": 0.0", "expected a std above 0"}, Case{"\"target\"", "\"aim\"", "target"}}) {
    INFO(c.to);
    REQUIRE(script.archive_json.find(c.from) != std::string::npos);
    script.module.save(folder / "changed.pt", {{"engraft.json", text::replace_all(script.archive_json, c.from, c.to)}});
    CHECK_THROWS_WITH(model::load_artifact(folder / "changed.pt", false), Catch::Contains(c.message));
  }
}

TEST_CASE("what is not a model, and a model whose weights were changed, are refused", "[module]") {
  test::TempFolder folder;
  const model::GraftSpec spec = make_spec(folder.path());
  CHECK_THROWS_WITH(model::load_artifact(spec.backbone_path, false), Catch::Contains("not a model of engraft"));
  io::write_file(folder / "model.pt", model::compose_model(spec, make_head(3)));
  CHECK_THROWS_WITH(model::load_backbone({folder / "model.pt", false, {}, true}), Catch::Contains("not a backbone"));
  const model::TrainingData data = model::load_artifact(folder / "model.pt", false).training_data;
  CHECK(data.val_fraction == 0.3);
  CHECK(data.path_sample == std::vector<std::string>{"0123"});
  model::Script script = model::load_script(folder / "model.pt", false);
  for (const at::Tensor& parameter : script.module.parameters(true)) parameter.detach().mul_(1.1);
  script.module.save(folder / "changed.pt", {{"engraft.json", script.archive_json}});
  CHECK_THROWS_WITH(model::load_artifact(folder / "changed.pt", false), Catch::Contains("the self-test fails"));
}

TEST_CASE("one flipped bit in any record is refused", "[module]") {
  test::TempFolder folder;
  const std::string good = model::compose_model(make_spec(folder.path()), make_head(3));
  const torch::jit::Module module = model::load_script(make_spec(folder.path()).backbone_path, false).module;
  const at::Tensor weight = module.attr("stem").toModule().attr("conv").toModule().attr("weight").toTensor();
  const std::string first_weight(static_cast<const char*>(weight.const_data_ptr()), 8);
  for (const std::string& place : {first_weight, std::string("\"bees\"")}) {
    const size_t at = good.find(place);
    REQUIRE(at != std::string::npos);
    std::string bytes = good;
    bytes[at + 1] = static_cast<char>(bytes[at + 1] ^ 1);  // in a weight: the least bit but eight of its fraction
    io::write_file(folder / "flipped.pt", bytes);
    CHECK_THROWS_WITH(model::load_artifact(folder / "flipped.pt", false),
                      Catch::Contains("does not have the bytes it was saved with"));
  }
}

TEST_CASE("a tap is a block, and the default is the last one with a map", "[module]") {
  test::TempFolder folder;
  const model::Backbone backbone = model::load_backbone({test::save_small_net(folder.path()), false, {}, true});
  CHECK(model::resolve_taps(backbone, "") == std::vector<std::string>{"mixed_2"});
  CHECK(model::resolve_taps(backbone, "mixed_1, stem") == std::vector<std::string>{"mixed_1", "stem"});
  CHECK_THROWS_WITH(model::resolve_taps(backbone, "mixd_1"), Catch::Contains("did you mean 'mixed_1'?"));
  CHECK_THROWS_WITH(model::resolve_taps(backbone, "mixed_1,"), Catch::Contains("a name between commas is missing"));
}
