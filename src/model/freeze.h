#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "tensor/named.h"

namespace engraft::model {

/// What becomes of the batch norms of blocks that learn; those of frozen blocks keep everything in any case, and weight
/// and bias of those of learning blocks learn in any case.
enum class NormPolicy {
  /// They normalise by the running statistics they came with.
  kFrozen,
  /// They normalise by each batch and move their running statistics, as in training from scratch.
  kTrain,
  /// Their running statistics are measured on the training pictures before the stage (norm_recalibration.h), then stay.
  kRecalibrate
};
/// "frozen", "train", "recalibrate". Throws UsageError for other text.
NormPolicy norm_policy_from_text(const std::string& text);
std::string to_text(NormPolicy policy);

/// Which blocks of an extracted backbone learn in a stage, and so which stay put.
struct FreezePlan {
  /// In forward's order.
  std::vector<std::string> learning;
  std::vector<std::string> frozen;
  /// Index into the blocks of the first that learns; -1 when none does.
  int64_t first_learning = -1;
  NormPolicy norms = NormPolicy::kFrozen;
};

/// Reads what a stage unfreezes: "BLOCK" (it and all above it), "last:N", "all", "none", or "A+B+C" (just those).
/// `blocks` are in forward's order, the last is the tap. A container's name stands for all blocks inside it.
/// `last:N` counts the blocks that `has_parameters` says have something to learn, so that pools and dropouts at the end
/// do not use N up; empty: all of them.
/// Throws ModelError for an unknown block, UsageError for a malformed last:N.
FreezePlan plan_freeze(const std::string& unfreeze, const std::vector<std::string>& blocks,
                       const std::vector<bool>& has_parameters = {});

/// For each of `blocks`, whether it has a parameter.
std::vector<bool> with_parameters(const torch::jit::Module& backbone, const std::vector<std::string>& blocks);

/// True if the tensor or module of dotted path `name` belongs to `block` (a call "x#2" belongs to block "x").
bool belongs_to(const std::string& name, const std::string& block);

/// The one function that owns train and eval modes and requires_grad, to be called at every change of either:
/// frozen blocks and everything outside a block are in eval mode with requires_grad off; learning blocks are in train
/// mode while `training`, except their batch norms, which stay in eval mode unless `plan.norms` is kTrain (Note [Frozen
/// batch norm] in the .cpp).
void set_modes(torch::jit::Module& backbone, const FreezePlan& plan, bool training);

/// Parameters and buffers of the frozen (or learning) blocks, with dotted paths, in the module's order. What belongs
/// to no block counts as frozen.
std::vector<tensor::NamedTensor> frozen_tensors(const torch::jit::Module& backbone, const FreezePlan& plan);
std::vector<tensor::NamedTensor> learning_parameters(const torch::jit::Module& backbone, const FreezePlan& plan);
std::vector<tensor::NamedTensor> learning_tensors(const torch::jit::Module& backbone, const FreezePlan& plan);

/// The frozen blocks with a batch norm in train mode, which would use and move batch statistics.
std::vector<std::string> frozen_in_train_mode(const torch::jit::Module& backbone, const FreezePlan& plan);

/// What was frozen when it was made, to be held against what is there later.
class FrozenProof {
 public:
  FrozenProof(const torch::jit::Module& backbone, const FreezePlan& plan);

  struct Verdict {
    int64_t blocks = 0;
    int64_t tensors = 0;
    /// Blocks any of whose parameters or buffers changed by a bit, or with a batch norm in train mode.
    std::vector<std::string> moved;
    bool holds() const { return moved.empty(); }
  };
  /// `seen_in_train_mode` are blocks that frozen_in_train_mode() named while weights moved: they count as moved.
  Verdict check(const torch::jit::Module& backbone, const std::vector<std::string>& seen_in_train_mode = {}) const;
  /// Block name and digest of its tensors, in order; "(outside any block)" last, where there is any.
  const std::vector<std::pair<std::string, std::string>>& digests() const { return digests_; }

 private:
  FreezePlan plan_;
  std::vector<std::pair<std::string, std::string>> digests_;
};

}  // namespace engraft::model
