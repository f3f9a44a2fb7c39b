#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace engraft::finetune {

/// A network whose answers are learned beside the labels.
struct TeacherOptions {
  std::string teacher;
  std::string teacher_tap;
  std::optional<int64_t> teacher_size;
  std::optional<double> teacher_weight;
  std::optional<double> teacher_temperature;
};

/// Where nothing is said.
inline constexpr double kTeacherWeight = 2, kTeacherTemperature = 4;

template <class Visitor>
void describe(Visitor& v, TeacherOptions& o) {
  v.group("Teacher (its answers for the training pictures, computed once, are learned beside the labels)");
  v.field("teacher", o.teacher,
          "a pretrained TorchScript network, whose embedding the unfrozen blocks learn to give, or a model.pt with the "
          "data's classes and --loss softmax, whose scores are learned")
      .value("FILE");
  v.field("teacher_tap", o.teacher_tap, "its last block kept; default: the last legal 4-D one").value("BLOCK");
  v.field("teacher_size", o.teacher_size,
          "side of the picture it sees, cut out as the backbone's is; default: the teacher's own")
      .value("PX")
      .at_least(8)
      .at_most(8192);
  v.field("teacher_weight", o.teacher_weight,
          "what its part of the loss is multiplied by; the labels' part counts once; default: 2")
      .value("X")
      .at_least(0);
  v.field("teacher_temperature", o.teacher_temperature, "what a model.pt's logits and ours are divided by; default: 4")
      .value("X")
      .above(0);
}

}  // namespace engraft::finetune
