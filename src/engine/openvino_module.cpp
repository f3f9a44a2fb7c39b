#include "engine/openvino_module.h"

#include <ATen/ATen.h>

#include <openvino/core/preprocess/pre_post_process.hpp>
#include <openvino/core/version.hpp>
#include <openvino/openvino.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "engine/quantisation.h"
#include "engine/response_norm.h"
#include "engine/torch_script_decoder.h"

namespace engraft::engine {

namespace {

/// "2026.4.1" of "2026.4.1-22085-…".
std::string version() {
  const std::string build = ov::get_openvino_version().buildNumber;
  return build.substr(0, build.find('-'));
}

/// What is between `mark` and the end of its line; empty where there is no mark.
std::string after(const std::string& message, const std::string& mark) {
  const size_t at = message.find(mark);
  if (at == std::string::npos) return "";
  const size_t begin = at + mark.size();
  return text::trim(message.substr(begin, message.find('\n', begin) - begin));
}

/// The one line of an OpenVINO error that says what is wrong.
std::string reason(const std::exception& error) {
  const std::string message = error.what();
  const std::string missing = after(message, "No conversion rule found for operations: ");
  if (!missing.empty()) return "no rule for " + missing;
  const std::string failed = after(message, "Conversion is failed for: ");
  std::string last;
  for (const std::string& line : text::split(message, '\n'))
    if (!text::trim(line).empty() && !text::starts_with(text::trim(line), "Check '") &&
        !text::starts_with(text::trim(line), "Exception from "))
      last = last.empty() ? text::trim(line) : last;
  if (last.empty()) last = text::trim(message.substr(0, message.find('\n')));
  return failed.empty() ? last : "cannot convert " + failed;
}

std::vector<float> scaled(const std::array<double, 3>& rgb) {
  return {static_cast<float>(rgb[0] * 255), static_cast<float>(rgb[1] * 255), static_cast<float>(rgb[2] * 255)};
}

// Note [Outputs in bf16]
// ~~~~~~~~~~~~~~~~~~~~~~
// The CPU plugin leaves what stands between the last convolution and a float32 output in float32, in a network that
// computes in bf16: a block then gives other values where it is an output than where it is on the way, and so do all
// behind it. Outputs that are bf16 have no such tail. So a block has the same bytes whatever else the network gives,
// which the caches at the stages' cuts live by.

/// uint8 [B, H, W, 3] RGB in, `output_type` out; 4-D outputs [B, H, W, C], as LibTorch has them in channels_last.
std::shared_ptr<ov::Model> with_pictures(const std::shared_ptr<ov::Model>& model, const image::Preprocessing& p,
                                         ov::element::Type output_type) {
  ov::preprocess::PrePostProcessor steps(model);
  steps.input().tensor().set_element_type(ov::element::u8).set_layout("NHWC");
  steps.input().model().set_layout("NCHW");
  steps.input().preprocess().convert_element_type(ov::element::f32).mean(scaled(p.mean)).scale(scaled(p.std));
  if (p.channels == "bgr") steps.input().preprocess().reverse_channels();
  for (size_t i = 0; i < model->outputs().size(); ++i) {
    auto& output = steps.output(i);
    output.tensor().set_element_type(output_type);
    if (model->output(i).get_partial_shape().size() != 4) continue;
    output.model().set_layout("NCHW");
    output.tensor().set_layout("NHWC");
  }
  return steps.build();
}

/// Layers whose time is arithmetic, as the CPU plugin names them in its runtime model; of int8 those with weights.
bool is_arithmetic(const std::string& layer, tensor::Precision precision) {
  static const std::set<std::string> weighted = {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected"};
  static const std::set<std::string> others = {"MatMul", "ScaledDotProductAttention", "MHA", "LLMMLP", "QKVProjection"};
  return weighted.count(layer) != 0 || (precision != tensor::Precision::kInt8 && others.count(layer) != 0);
}

std::map<std::string, int64_t> executed_precisions(const ov::CompiledModel& compiled, tensor::Precision asked) {
  std::map<std::string, int64_t> executed;
  const auto runtime = compiled.get_runtime_model();
  for (const auto& node : runtime->get_ops()) {
    const auto& info = node->get_rt_info();
    const auto layer = info.find("layerType");
    const auto precision = info.find("runtimePrecision");
    if (layer == info.end() || precision == info.end() || !is_arithmetic(layer->second.as<std::string>(), asked))
      continue;
    ++executed[precision->second.as<ov::element::Type>().to_string()];
  }
  return executed;
}

/// What the CPU plugin calls the precisions that it computes in; a layer in whole numbers is called by its input.
std::set<std::string> names_of(tensor::Precision precision) {
  if (precision == tensor::Precision::kInt8) return {"u8", "i8"};
  return {precision == tensor::Precision::kBfloat16 ? "bf16" : "f32"};
}

/// The model that a request is about, before the pictures are put in front of it.
std::shared_ptr<ov::Model> requested_model(const OpenVinoRequest& request) {
  const auto model = openvino_model(request.graph);
  if (request.observes) {
    observe(model, request.options.batch_size);
  } else if (request.options.precision == tensor::Precision::kInt8) {
    quantise(model, request.options.calibration->ranges, request.has_narrow_weights);
  }
  shorten_response_norms(model);  // behind the roundings: what it multiplies by is none of them
  return model;
}

class OpenVinoEngine : public Engine {
 public:
  explicit OpenVinoEngine(const OpenVinoRequest& request)
      : options_(request.options), name_("openvino " + version() + " " + request.arithmetic) {
    const bool is_bf16 = options_.precision == tensor::Precision::kBfloat16;
    output_type_ = is_bf16 ? ov::element::bf16 : ov::element::f32;  // Note [Outputs in bf16]
    const auto model = with_pictures(requested_model(request), options_.preprocessing, output_type_);
    compiled_ = core_.compile_model(model, "CPU", settings(request));
    request_ = compiled_.create_infer_request();
    executed_ = executed_precisions(compiled_, options_.precision);
    for (const auto& output : compiled_.outputs()) {
      shapes_.emplace_back(output.get_shape());
      check_rows(shapes_.back());
    }
  }

  std::string name() const override { return name_; }
  const EngineOptions& options() const override { return options_; }

  std::vector<at::Tensor> run(const uint8_t* pixels) override {
    try {
      return outputs_of(pixels);
    } catch (const std::exception& error) {
      throw ModelError(
          text::cat("openvino: the network fails on a batch of ", options_.batch_size, ": ", reason(error)));
    }
  }

  EngineReport report() const override {
    EngineReport report{name(), executed_, 1, -1, "", EngineKind::kOpenVino};
    int64_t layers = 0;
    for (const auto& [precision, count] : executed_) layers += count;
    int64_t as_asked = 0;
    for (const std::string& name : names_of(options_.precision)) {
      const auto asked = executed_.find(name);
      if (asked != executed_.end()) as_asked += asked->second;
    }
    if (layers != 0) report.share_as_asked = 1.0 * as_asked / layers;
    return report;
  }

 private:
  static ov::AnyMap settings(const OpenVinoRequest& request) {
    const bool is_bf16 = request.options.precision == tensor::Precision::kBfloat16;
    return {ov::hint::inference_precision(is_bf16 ? ov::element::bf16 : ov::element::f32),
            ov::hint::execution_mode(ov::hint::ExecutionMode::PERFORMANCE), ov::hint::enable_cpu_pinning(false),
            ov::inference_num_threads(static_cast<int32_t>(request.threads)), ov::num_streams(1)};
  }

  /// A trace with a batch size of its own gives other rows than it was given.
  void check_rows(const ov::Shape& shape) const {
    if (!shape.empty() && static_cast<int64_t>(shape[0]) == options_.batch_size) return;
    throw ModelError(text::cat("it gives ", text::shape({shape.begin(), shape.end()}), " for ", options_.batch_size,
                               " pictures; a trace with a fixed batch size cannot be used"));
  }

  std::vector<at::Tensor> outputs_of(const uint8_t* pixels) {
    const size_t size = options_.preprocessing.size_px;
    const ov::Shape shape{static_cast<size_t>(options_.batch_size), size, size, 3};
    // ov::Tensor takes a mutable pointer; nothing writes through it.
    request_.set_input_tensor(ov::Tensor(ov::element::u8, shape, const_cast<uint8_t*>(pixels)));
    std::vector<at::Tensor> outputs;
    for (size_t i = 0; i < shapes_.size(); ++i) {
      const auto type = output_type_ == ov::element::bf16 ? at::kBFloat16 : at::kFloat;
      outputs.push_back(at::empty(std::vector<int64_t>(shapes_[i].begin(), shapes_[i].end()), type));
      request_.set_output_tensor(i, ov::Tensor(output_type_, shapes_[i], outputs.back().mutable_data_ptr()));
    }
    request_.infer();
    for (at::Tensor& output : outputs) {
      output = output.to(at::kFloat);
      if (output.dim() == 4) output = output.permute({0, 3, 1, 2});  // [B, C, H, W], channels_last as it lies
    }
    return outputs;
  }

  EngineOptions options_;
  std::string name_;
  ov::Core core_;
  ov::CompiledModel compiled_;
  ov::InferRequest request_;
  ov::element::Type output_type_;
  std::vector<ov::Shape> shapes_;
  std::map<std::string, int64_t> executed_;
};

}  // namespace

}  // namespace engraft::engine

extern "C" __attribute__((visibility("default"))) engraft::engine::Engine* engraft_make_openvino_engine_2(
    const engraft::engine::OpenVinoRequest& request) {
  using namespace engraft;
  try {
    return new engine::OpenVinoEngine(request);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ModelError("openvino: " + engine::reason(error));
  }
}
