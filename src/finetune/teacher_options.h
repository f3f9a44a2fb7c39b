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
  double teacher_weight = 2;
  double teacher_temperature = 4;
};

template <class Visitor>
void describe(Visitor& v, TeacherOptions& o) {
  v.group("Teacher (its answers for the training pictures, computed once, are learned beside the labels)");
  v.field("teacher", o.teacher,
          "a pretrained TorchScript network, whose embedding the unfrozen blocks learn to give, or a model.pt with the "
          "data's classes, whose scores are learned")
      .value("FILE");
  v.field("teacher_tap", o.teacher_tap, "its last block kept; default: the last legal 4-D one").value("BLOCK");
  v.field("teacher_size", o.teacher_size,
          "side of the picture it sees, cut out as the backbone's is; default: the teacher's own")
      .value("PX")
      .at_least(8)
      .at_most(8192);
  v.field("teacher_weight", o.teacher_weight, "its share of the loss, in units of the labels'").at_least(0);
  v.field("teacher_temperature", o.teacher_temperature, "what logits are divided by, of a model.pt").above(0);
}

}  // namespace engraft::finetune
