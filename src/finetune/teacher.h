#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "engine/engine.h"
#include "finetune/precision.h"
#include "finetune/teacher_options.h"
#include "model/head.h"
#include "train/loss.h"

namespace engraft::finetune {

struct Setup;
struct StagePlan;

/// Knowledge distillation (Hinton et al. 2015) from a model.pt by its logits, or from a backbone by its embedding
/// (hints: Romero et al. 2015), here by the cosine.
struct Teacher {
  /// Maps pictures [B, 3, S, S] to a feature map, or to logits [B, K].
  torch::jit::Module network;
  /// By which it runs. The preprocessing is the backbone's resizing and crop, at the teacher's size and with its
  /// colours.
  engine::EngineOptions engine_options;
  PrecisionChoice precision;
  /// Of the engine, whose name says by which calibration it rounds.
  std::string engine;
  /// Of the file, and the tap, which is empty for a model.pt.
  std::string sha256, tap;
  train::TeacherLoss loss;
  /// Of what it gives: D or K numbers a picture.
  int64_t width = 0;
  /// Maps the student's embedding to the teacher's; learned beside the head, and no part of model.pt. None where
  /// logits stand against logits.
  std::optional<model::Head> projection;
  /// [training rows, width] float32, in their order: logits, or embeddings standardised by the training pictures' mean
  /// and deviation. Undefined before take_lessons().
  at::Tensor lessons;
};

/// Loads the teacher that the setup's options name, tries it, and chooses the precision and the engine that the run
/// asks for, on its training pictures; none where they name none. Throws ModelError for what cannot be a teacher;
/// UsageError where its classes or its target are not those of the data, where the stages cannot learn from it (mixed
/// pictures, or an embedding where no block learns), and for settings that nothing uses; and as choose_precision and
/// choose_engine.
std::optional<Teacher> load_teacher(const Setup& setup, Reporter& reporter);

/// Whether `stage` hears the teacher: any by scores, those that unfreeze something by an embedding.
bool is_taught(const Teacher& teacher, const StagePlan& stage);

/// Runs the setup's teacher over the training pictures as they are, without augmentation. Nothing without a teacher. To
/// be called when the bad pictures are out of the setup. Throws as forward_pass.
void take_lessons(Setup& setup, Reporter& reporter);

/// What run.toml and checkpoints say of it, and what bit-equality depends on.
io::Json to_json(const Teacher& teacher);

/// The same numbers, each column with mean 0 and deviation 1 over the rows [N, D] float32; a constant column is 0.
at::Tensor standardised_columns(const at::Tensor& rows);

}  // namespace engraft::finetune
