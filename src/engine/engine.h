#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/calibration.h"
#include "image/preprocessing.h"
#include "tensor/precision.h"

namespace engraft::engine {

/// Which library runs the network. kAuto: OpenVINO on a CPU where it can and agrees, else LibTorch; see make_engine().
enum class EngineKind { kAuto, kTorch, kOpenVino };

/// "auto", "torch" or "openvino".
std::string to_text(EngineKind kind);

/// The reverse. Throws UsageError for other text.
EngineKind engine_kind_from_text(const std::string& text);

/// What comparisons with plain LibTorch found in earlier runs, by Engine::name(): of the network, its pictures and this
/// machine, as whoever made it knows them.
struct KnownDifferences {
  std::function<std::optional<double>(const std::string& name)> find;
  /// Told of each that was found anew and is within the bound.
  std::function<void(const std::string& name, double difference)> keep;
};

struct EngineOptions {
  image::Preprocessing preprocessing;
  /// Every run has this many pictures, so that an engine may compile for one shape.
  int64_t batch_size = 32;
  c10::Device device = c10::Device(c10::kCPU);
  /// What the network computes in; its outputs are float32 in any case.
  tensor::Precision precision = tensor::Precision::kFloat32;
  /// What int8 rounds by; none for the other precisions.
  std::shared_ptr<const Calibration> calibration = nullptr;
  /// Heeded by make_engine().
  EngineKind kind = EngineKind::kAuto;
  /// Nothing that the method computes with changes while the engine lives. Where it can, LibTorch then folds it on a
  /// CPU (folded_network.h) and records it on a GPU (device_graph.h), and its name says so: "torch f32 folded",
  /// "torch f32 graph".
  bool is_frozen = false;
  /// An engine of these options was compared with plain LibTorch float32 by a method that holds all of this one, as
  /// the options() of one that make_engine() gave say; it is not done again.
  bool is_compared = false;
  /// Heeded by make_engine(), which then does not compare again what is known; may be none.
  std::shared_ptr<const KnownDifferences> known = nullptr;
};

/// What an engine turned out to be, for records and for the user.
struct EngineReport {
  /// As Engine::name().
  std::string name;
  /// The precisions really executed ("f32", "bf16", "u8") with the number of arithmetic layers (convolutions, matrix
  /// products, attention) of each; empty where the library does not tell.
  std::map<std::string, int64_t> executed;
  /// The share of these layers that ran in the precision asked for, 0 to 1; 1 where the library does not tell.
  double share_as_asked = 1;
  /// The RMS of the difference from plain LibTorch float32 over the RMS of that, on two synthetic pictures, the largest
  /// of all outputs (parity.h); negative where nothing was compared.
  double difference = -1;
  /// Why the engine is not the one that kAuto prefers, in words for the user; empty where it is.
  std::string fallback;
  /// Never kAuto.
  EngineKind kind = EngineKind::kTorch;
};

/// What the torch engine is called, for records and keys: "torch f32", "torch bf16 AVX-512"; "torch bf16 in software"
/// where the device has no unit for it. Equal names on equal machines give equal bytes.
std::string engine_name(const EngineOptions& options);

/// Runs a frozen network on pictures. One thread at a time.
class Engine {
 public:
  virtual ~Engine() = default;
  /// As engine_name; OpenVINO: "openvino 2026.4.1 f32", "openvino 2026.4.1 bf16 AVX-512", "openvino 2026.4.1 int8
  /// AVX-512 VNNI by 1f0c2a93", where the last is the calibration's digest. On the same conditions.
  virtual std::string name() const = 0;
  virtual const EngineOptions& options() const = 0;
  /// Maps `pixels` uint8 [batch_size, size, size, 3] RGB in host memory to the network's outputs, in order, each
  /// [batch_size, …] float32 on the engine's device, without gradients. Throws ModelError naming the cause.
  virtual std::vector<at::Tensor> run(const uint8_t* pixels) = 0;
  /// What is known of it without running it.
  virtual EngineReport report() const { return {name(), {}, 1, -1, ""}; }
};

/// The engine that `options.kind` asks for. Always LibTorch with an empty `method`. kAuto takes OpenVINO where the
/// device is a CPU, `options.is_frozen`, this build has OpenVINO, the network converts, runs in the precision asked for
/// (90 % of the arithmetic layers) and agrees with plain LibTorch float32 (parity.h), but for int8, which whoever
/// calibrates has to judge; else LibTorch, folded or recorded
/// where that agrees too. report().fallback says why what was tried was not taken. Throws where kOpenVino or int8,
/// which nothing else has, is asked for and cannot be had: UsageError for a GPU, ModelError with the reason otherwise.
/// The module is treated as by make_torch_engine. The engine's options() are those by which it is had again, for
/// another method of the module too: with the kind that it is, whether it was compared, and `is_frozen` only where that
/// made a difference.
std::unique_ptr<Engine> make_engine(const torch::jit::Module& module, const std::string& method,
                                    const EngineOptions& options);

/// LibTorch runs `method` of `module`, which gives a tensor or a tuple of tensors; with an empty `method` the output is
/// the normalised pictures themselves. The module is shared, not copied:
/// it is moved to the device and its convolution weights to channels_last in place, and stays in the modes it has, so
/// what learns elsewhere is seen by the next run. Throws ModelError for int8.
std::unique_ptr<Engine> make_torch_engine(const torch::jit::Module& module, const std::string& method,
                                          const EngineOptions& options);

/// Whether this build has OpenVINO.
bool has_openvino();

/// "2026.4.1", the version that this build was made for; empty without.
std::string openvino_version();

/// OpenVINO's CPU plugin runs `method` of `module`, which gives a tensor or a tuple of tensors, on
/// at::get_num_threads() threads. The module is not touched, its modes are taken as they are. Its weights are shared:
/// they must not be changed in place while the engine lives, and what is put in their place is not seen.
/// In float32 a row depends neither on its neighbours nor on its place in the batch; in bf16 that was seen to hold. An
/// output has the bytes that it has alone. 4-D outputs are channels_last.
/// int8: as quantisation.h puts it, by `options.calibration`, which an observer of the same method gave.
/// Throws ModelError: this build has no OpenVINO or cannot open it; bf16 on a CPU without a unit for it; int8 without a
/// calibration or by another network's; norms or dropouts that train; operators without a rule, named; what OpenVINO
/// refuses, with its reason.
std::unique_ptr<Engine> make_openvino_engine(const torch::jit::Module& module, const std::string& method,
                                             const EngineOptions& options);

/// What int8 is calibrated by: the same network in float32, whose outputs are the least and the largest value that each
/// place to be rounded has in each picture, by turns, [batch_size] each. Throws as make_openvino_engine.
std::unique_ptr<Engine> make_openvino_observer(const torch::jit::Module& module, const std::string& method,
                                               const EngineOptions& options);

/// What `method` of `module` gives for one grey picture, on the CPU: outputs [1, …], for their shapes.
std::vector<at::Tensor> run_grey(const torch::jit::Module& module, const std::string& method,
                                 const image::Preprocessing& preprocessing);

/// Moves a module's tensors to `device` and its 4-D parameters to channels_last, in place. Tensors of one dimension and
/// more that stand in its code as constants, as traces leave them, are moved as well.
void prepare_module(const torch::jit::Module& module, const c10::Device& device);

}  // namespace engraft::engine
