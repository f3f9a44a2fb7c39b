#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "base/target.h"
#include "finetune/teacher_options.h"
#include "image/preprocessing.h"
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
  /// The backbone's resizing and crop, at the teacher's size and with its colours.
  image::Preprocessing preprocessing;
  /// Of the file, and the tap, which is empty for a model.pt.
  std::string sha256, tap;
  train::TeacherLoss loss;
  /// Of what it gives: D or K numbers a picture.
  int64_t width = 0;
  /// Maps the student's embedding to the teacher's; learned beside the head, and no part of model.pt. None where
  /// logits stand against logits.
  std::optional<model::Head> projection;
  /// [training rows, width] float32, in their order: logits, or embeddings standardised by the training pictures' mean
  /// and deviation. Undefined before learn_from().
  at::Tensor lessons;
};

/// Loads what `options` name for a student with embeddings of `embedding_dim` numbers and `preprocessing`; none where
/// they name nothing. Throws ModelError for what cannot be a teacher, UsageError where its classes or its target are
/// not those of the data.
std::optional<Teacher> load_teacher(const TeacherOptions& options, const Setup& setup);

/// Throws UsageError where `stages` cannot learn from the teacher: mixed pictures, or an embedding where no block
/// learns.
void check_stages(const Teacher& teacher, const std::vector<StagePlan>& stages);

/// Runs the setup's teacher over the training pictures as they are, without augmentation, in the precision and by the
/// engine that the run asks for. Nothing without a teacher. To be called when the bad pictures are out of the setup.
/// Throws as forward_pass, choose_precision and choose_engine.
void take_lessons(Setup& setup, Reporter& reporter);

/// The same numbers, each column with mean 0 and deviation 1 over the rows [N, D] float32; a constant column is 0.
at::Tensor standardised_columns(const at::Tensor& rows);

}  // namespace engraft::finetune
