#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "commands/common_options.h"

namespace engraft::commands {

struct ExportOptions {
  std::string model;
  std::string out;
  bool half = false;
  std::optional<int64_t> size;
  std::optional<double> crop_ratio;
  std::string name;
  std::string source;
  std::string licence = "unknown";
  bool trust = false;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, ExportOptions& o) {
  v.field("model", o.model, "the model.pt whose backbone is wanted").value("FILE").required();
  v.field("out", o.out, "TorchScript file to write; must not exist").value("FILE").required();
  v.field(
      "half", o.half,
      "weights as float16, in half the bytes; engraft computes with them in float32, in Python call .float() on what "
      "torch.jit.load gives");
  v.field("size", o.size, "side of the picture that it is to be used at; default: the model's")
      .value("PX")
      .at_least(8)
      .at_most(2048);
  v.field("crop_ratio", o.crop_ratio, "likewise: the short side becomes size / ratio before the centre crop")
      .above(0)
      .at_most(1);
  v.field("name", o.name, "of the network, for its record; default: the file's");
  v.field("source", o.source, "where its weights come from, for its record; default: what it was trained for");
  v.field("licence", o.licence, "terms of the weights, for its record");
  v.field("trust", o.trust, "load the TorchScript file even if the audit of its code finds something");
  describe(v, o.common);
}

}  // namespace engraft::commands
