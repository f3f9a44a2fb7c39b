#include "model/artifact.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "graph/reason.h"
#include "model/backbone.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

namespace {

constexpr uint64_t kSelfTestSeed = 7;
constexpr double kSelfTestTolerance = 1e-3;  // holds for float32 on any device, tf32 included

at::Tensor self_test_logits(const torch::jit::Module& given, const image::Preprocessing& p, uint64_t seed) {
  torch::jit::Module module = given;
  at::Tensor pixels = at::empty({1, p.size_px, p.size_px, 3}, at::kByte);
  RandomStream stream(seed, {0x73656c66 /* "self" */});
  uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < pixels.numel(); ++i) bytes[i] = static_cast<uint8_t>(stream.next_u32() >> 24);
  const auto parameters = module.parameters(true);
  if (parameters.size() > 0) pixels = pixels.to((*parameters.begin()).device());
  c10::NoGradGuard no_grad;
  return module.forward({module.get_method("normalise")({pixels})}).toTensor().to(at::kCPU).view({-1});  // [K]
}

/// `about` is engraft.json at `where`.
Target target_of(const io::Json& about, const std::string& where) {
  const auto name = about.at("loss").get<std::string>();
  const std::optional<Target> target = target_from_text(name);
  if (!target) throw ModelError(where + ": loss '" + name + "' is none that this program knows");
  return *target;
}

/// Throws ModelError where `found` outputs are not those of the classes.
void check_outputs(const Artifact& artifact, int64_t found, const std::string& where) {
  const auto classes = static_cast<int64_t>(artifact.classes.size());
  const bool fits_target = artifact.target == Target::kSigmoid      ? classes == 2
                           : artifact.target == Target::kRegression ? classes == 0
                                                                    : classes > 0;
  if (found == outputs_of(artifact.target, classes) && fits_target) return;
  throw ModelError(text::cat(where, ": ", classes, " classes for ", found, " logits"));
}

bool is_near(const at::Tensor& found, const at::Tensor& expected, const Artifact& artifact) {
  if (found.numel() != expected.numel()) return false;
  if (artifact.target != Target::kRegression) return tensor::relative_difference(found, expected) <= kSelfTestTolerance;
  const double most = kSelfTestTolerance * std::max(expected.abs().max().item<double>(), artifact.scale.std);
  return (found - expected).abs().max().item<double>() <= most;
}

}  // namespace

io::Json self_test(const torch::jit::Module& module, const image::Preprocessing& preprocessing) {
  const at::Tensor logits = self_test_logits(module, preprocessing, kSelfTestSeed);
  if (!logits.isfinite().all().item<bool>()) {
    throw ModelError(
        "the trained network gives what is not finite for a picture of noise; a lower --learning-rate is "
        "the usual remedy");
  }
  io::Json values = io::Json::array();
  for (int64_t i = 0; i < logits.numel(); ++i) values.push_back(static_cast<double>(logits[i].item<float>()));
  return io::Json{{"seed", kSelfTestSeed}, {"logits", values}};
}

bool is_model_json(const std::string& archive_json) {
  if (archive_json.empty()) return false;
  const io::Json about = io::Json::parse(archive_json, nullptr, /*allow_exceptions=*/false);
  return about.is_object() && about.value("format", "") == "engraft-model";
}

Artifact load_artifact(const std::string& path, bool trust) {
  Artifact out;
  out.path = path;
  const Script script = load_script(path, trust);
  out.module = script.module;
  const std::string& archive_json = script.archive_json;
  if (!is_model_json(archive_json)) {
    throw ModelError(path +
                     ": not a model of engraft (no engraft.json of format engraft-model inside); "
                     "`engraft train` makes one from a backbone");
  }
  const std::string where = path + ": engraft.json";
  out.about_json = archive_json;
  const io::Json about = io::parse_json(archive_json, where);
  try {
    if (about.at("version").get<int64_t>() != 1) {
      throw ModelError(where + ": version " + io::json_line(about.at("version")) + ", this program reads version 1");
    }
    about.at("classes").get_to(out.classes);
    out.target = target_of(about, where);
    if (out.target == Target::kRegression) {
      about.at("target").at("mean").get_to(out.scale.mean);
      about.at("target").at("std").get_to(out.scale.std);
      if (!(out.scale.std > 0)) throw ModelError(where + ": target: expected a std above 0");
    }
    out.preprocessing = preprocessing_from_json(about.at("preprocessing"), where);
    const io::Json& data = about.at("training_data");
    data.at("path_sample").get_to(out.training_data.path_sample);
    if (data.contains("val_fraction")) out.training_data.val_fraction = data.at("val_fraction").get<double>();
    const std::vector<float> recorded = about.at("self_test").at("logits").get<std::vector<float>>();
    const at::Tensor found =
        self_test_logits(out.module, out.preprocessing, about.at("self_test").at("seed").get<uint64_t>());
    const at::Tensor expected = at::tensor(recorded);
    for (const char* key : {"tap", "pool", "head"}) about.at(key).get<std::string>();
    check_outputs(out, found.numel(), where);
    if (!is_near(found, expected, out)) {
      throw ModelError(path + ": the self-test fails: it does not compute what it did when it was saved");
    }
  } catch (const Error&) {
    throw;
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(where + ": " + error.what());
  } catch (const std::exception& error) {
    throw ModelError(path + ": the model does not run: " + graph::reason(error));
  }
  return out;
}

}  // namespace engraft::model
