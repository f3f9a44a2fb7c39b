#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::model {

/// One step of a head: a fully connected layer, an activation or a dropout.
struct HeadLayer {
  enum class Kind { kLinear, kRelu, kGelu, kSilu, kTanh, kDropout };
  Kind kind = Kind::kLinear;
  /// Outputs of a linear layer.
  int64_t width = 0;
  /// Dropout probability.
  double probability = 0;

  bool operator==(const HeadLayer& other) const {
    return kind == other.kind && width == other.width && probability == other.probability;
  }
};

/// Reads "fc=1024,relu,dropout=0.2" (empty: no hidden layer). The last linear layer, to the classes, is not written:
/// Head adds it. Throws UsageError naming the part that is wrong.
std::vector<HeadLayer> parse_head(const std::string& spec);

/// An activation's name in a spec, and in TorchScript.
struct ActivationName {
  HeadLayer::Kind kind;
  const char* name;
  const char* function;
};
inline constexpr ActivationName kActivations[] = {
    {HeadLayer::Kind::kRelu, "relu", "torch.relu"},
    {HeadLayer::Kind::kGelu, "gelu", "torch.gelu"},
    {HeadLayer::Kind::kSilu, "silu", "torch.silu"},
    {HeadLayer::Kind::kTanh, "tanh", "torch.tanh"},
};

}  // namespace engraft::model
