#pragma once

#include <string>
#include <vector>

namespace engraft::commands {

/// Slices and gates, of commands that judge.
struct GateOptions {
  std::vector<std::string> by;
  std::vector<std::string> gate;
  double confidence = 0.95;
};

/// `examples` of gates.
template <class Visitor>
void describe(Visitor& v, GateOptions& o, const std::string& examples) {
  v.group("Slices and gates");
  v.field("by", o.by,
          "figures of their own for the pictures of each value of this column of the manifest; true_label: of each "
          "class")
      .value("COLUMN");
  v.field("assert", o.gate, "what must hold, else the exit code is 4: " + examples).value("COMPARISON").not_recorded();
  v.field("confidence", o.confidence, "of intervals, and of differences that are told").above(0).below(1);
}

}  // namespace engraft::commands
