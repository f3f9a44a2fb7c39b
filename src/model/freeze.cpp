#include "model/freeze.h"

#include <algorithm>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "graph/norms.h"

namespace engraft::model {

namespace {

const char* const kOutside = "(outside any block)";

/// "x#2" is a second call of block x: the tensors are those of x.
std::string block_path(const std::string& block) { return block.substr(0, block.find('#')); }

bool belongs_to_any(const std::string& name, const std::vector<std::string>& blocks) {
  return std::any_of(blocks.begin(), blocks.end(), [&](const std::string& block) { return belongs_to(name, block); });
}

/// Every named tensor of the module that `wanted` accepts.
template <class Predicate>
std::vector<tensor::NamedTensor> tensors_where(const torch::jit::Module& module, bool buffers, Predicate wanted) {
  std::vector<tensor::NamedTensor> out;
  for (const auto& item : module.named_parameters(true)) {
    if (wanted(item.name)) out.push_back({item.name, item.value});
  }
  if (!buffers) return out;
  for (const auto& item : module.named_buffers(true)) {
    if (wanted(item.name)) out.push_back({item.name, item.value});
  }
  return out;
}

[[noreturn]] void throw_unknown(const std::string& name, const std::vector<std::string>& blocks) {
  const auto near = text::closest(name, blocks);
  throw ModelError("no block '" + name + "' up to the tap" + (near ? "; did you mean '" + *near + "'?" : "") +
                   "; blocks: " + text::abridge(blocks, 8));
}

}  // namespace

bool belongs_to(const std::string& name, const std::string& block) {
  const std::string path = block_path(block);
  return text::starts_with(name, path) && (name.size() == path.size() || name[path.size()] == '.');
}

std::vector<bool> with_parameters(const torch::jit::Module& backbone, const std::vector<std::string>& blocks) {
  std::vector<bool> out;
  for (const std::string& block : blocks) {
    out.push_back(
        !tensors_where(backbone, false, [&](const std::string& name) { return belongs_to(name, block); }).empty());
  }
  return out;
}

FreezePlan plan_freeze(const std::string& unfreeze, const std::vector<std::string>& blocks,
                       const std::vector<bool>& has_parameters) {
  std::vector<bool> learns(blocks.size(), false);
  // A name is a block, or a container that blocks lie in.
  const auto mark = [&](const std::string& name, bool and_above) {
    bool found = false;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool here = blocks[i] == name || belongs_to(blocks[i], name);
      found = found || here;
      if (here || (and_above && found)) learns[i] = true;
    }
    if (!found) throw_unknown(name, blocks);
  };
  if (unfreeze == "all") {
    learns.assign(blocks.size(), true);
  } else if (text::starts_with(unfreeze, "last:")) {
    // A block called twice counts once, at its last call.
    const auto counts = [&](size_t i) {
      const auto again = [&](const std::string& later) { return block_path(later) == block_path(blocks[i]); };
      if (std::any_of(blocks.begin() + static_cast<std::ptrdiff_t>(i) + 1, blocks.end(), again)) return false;
      return has_parameters.empty() || has_parameters[i];
    };
    int64_t most = 0;
    for (size_t i = 0; i < blocks.size(); ++i) most += counts(i) ? 1 : 0;
    const auto count = text::to_int(unfreeze.substr(5));
    if (!count || *count < 1 || *count > most) {
      throw UsageError(text::cat("unfreeze '", unfreeze, "': last:N takes N from 1 to ", most,
                                 ", the blocks up to the tap that have something to learn"));
    }
    int64_t left = *count;
    for (size_t i = blocks.size(); left > 0; left -= counts(i) ? 1 : 0) learns[--i] = true;
  } else if (unfreeze.find('+') != std::string::npos) {
    for (const std::string& name : text::split(unfreeze, '+')) mark(text::trim(name), false);
  } else if (unfreeze != "none") {
    mark(unfreeze, true);
  }
  // A block called twice learns in both calls or in none.
  for (size_t i = 0; i < blocks.size(); ++i) {
    for (size_t j = 0; j < blocks.size(); ++j) {
      if (learns[i] && block_path(blocks[i]) == block_path(blocks[j])) learns[j] = true;
    }
  }
  FreezePlan plan;
  for (size_t i = 0; i < blocks.size(); ++i) {
    (learns[i] ? plan.learning : plan.frozen).push_back(blocks[i]);
    if (learns[i] && plan.first_learning < 0) plan.first_learning = static_cast<int64_t>(i);
  }
  return plan;
}

NormPolicy norm_policy_from_text(const std::string& name) {
  for (const NormPolicy policy : {NormPolicy::kFrozen, NormPolicy::kTrain, NormPolicy::kRecalibrate}) {
    if (to_text(policy) == name) return policy;
  }
  throw UsageError("batch norms: expected frozen, train or recalibrate, found '" + name + "'");
}

std::string to_text(NormPolicy policy) {
  switch (policy) {
    case NormPolicy::kFrozen:
      return "frozen";
    case NormPolicy::kTrain:
      return "train";
    case NormPolicy::kRecalibrate:
      return "recalibrate";
  }
  return "";
}

// Note [Frozen batch norm]
// Fine-tuning data are few and unlike the pretraining data: batch statistics of small batches wreck what the affine
// parameters were trained with, so the running statistics stay and are used, also in blocks that learn: kFrozen.
// The affine weight and bias of a learning block's norms do learn. requires_grad alone would not stop the statistics:
// only eval mode does.
// A network from scratch has no statistics worth keeping (mean 0, variance 1, whatever its layers give), so its norms
// must see batches: kTrain. Pictures unlike the pretraining data may be served better by statistics of their own, over
// all of them rather than a batch: kRecalibrate measures those once, and from then on they are as frozen.
// A frozen block's norms stay in eval mode under every policy: what was computed once must stay true.
void set_modes(torch::jit::Module& backbone, const FreezePlan& plan, bool training) {
  backbone.train(false);
  std::set<std::string> norms;
  for (const graph::NormLayer& norm : graph::norm_layers(backbone)) norms.insert(norm.path);
  for (const auto& item : backbone.named_modules()) {
    if (item.name.empty() || !belongs_to_any(item.name, plan.learning)) continue;
    torch::jit::Module module = item.value;
    const bool may_train = plan.norms == NormPolicy::kTrain || norms.count(item.name) == 0;
    if (module.hasattr("training")) module.setattr("training", training && may_train);
  }
  for (const auto& item : backbone.named_parameters(true)) {
    item.value.set_requires_grad(belongs_to_any(item.name, plan.learning));
  }
}

std::vector<tensor::NamedTensor> frozen_tensors(const torch::jit::Module& backbone, const FreezePlan& plan) {
  return tensors_where(backbone, true, [&](const std::string& name) { return !belongs_to_any(name, plan.learning); });
}

std::vector<tensor::NamedTensor> learning_parameters(const torch::jit::Module& backbone, const FreezePlan& plan) {
  return tensors_where(backbone, false, [&](const std::string& name) { return belongs_to_any(name, plan.learning); });
}

std::vector<tensor::NamedTensor> learning_tensors(const torch::jit::Module& backbone, const FreezePlan& plan) {
  return tensors_where(backbone, true, [&](const std::string& name) { return belongs_to_any(name, plan.learning); });
}

namespace {

/// The tensors of one entry of a proof.
std::vector<tensor::NamedTensor> tensors_of(const torch::jit::Module& backbone, const FreezePlan& plan,
                                            const std::string& block) {
  return tensors_where(backbone, true, [&](const std::string& name) {
    if (block != kOutside) return belongs_to(name, block);
    return !belongs_to_any(name, plan.learning) && !belongs_to_any(name, plan.frozen);
  });
}

void add_once(const std::string& block, std::vector<std::string>& blocks) {
  if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) blocks.push_back(block);
}

}  // namespace

std::vector<std::string> frozen_in_train_mode(const torch::jit::Module& backbone, const FreezePlan& plan) {
  std::set<std::string> norms;
  for (const graph::NormLayer& norm : graph::norm_layers(backbone)) norms.insert(norm.path);
  std::vector<std::string> out;
  for (const auto& item : backbone.named_modules()) {
    if (norms.count(item.name) == 0 || !item.value.is_training()) continue;
    for (const std::string& block : plan.frozen) {
      if (belongs_to(item.name, block)) add_once(block, out);
    }
  }
  return out;
}

FrozenProof::FrozenProof(const torch::jit::Module& backbone, const FreezePlan& plan) : plan_(plan) {
  for (const std::string& block : plan.frozen) {
    if (block.find('#') != std::string::npos && text::ends_with(block, "#1") == false) continue;
    digests_.emplace_back(block, tensor::digest(tensors_of(backbone, plan, block)));
  }
  const auto outside = tensors_of(backbone, plan, kOutside);
  if (!outside.empty()) digests_.emplace_back(kOutside, tensor::digest(outside));
}

FrozenProof::Verdict FrozenProof::check(const torch::jit::Module& backbone,
                                        const std::vector<std::string>& seen_in_train_mode) const {
  Verdict verdict;
  for (const auto& [block, before] : digests_) {
    const auto tensors = tensors_of(backbone, plan_, block);
    verdict.blocks += block == kOutside ? 0 : 1;
    verdict.tensors += static_cast<int64_t>(tensors.size());
    if (tensor::digest(tensors) != before) verdict.moved.push_back(block);
  }
  for (const std::string& block : frozen_in_train_mode(backbone, plan_)) add_once(block, verdict.moved);
  for (const std::string& block : seen_in_train_mode) add_once(block, verdict.moved);
  return verdict;
}

}  // namespace engraft::model
