#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "finetune/cache_places.h"
#include "finetune/rows_keeper.h"
#include "finetune/setup.h"
#include "store/activation_cache.h"

namespace engraft::finetune {

/// What the frozen blocks of a run compute: the head's features, and the activations at the stages' cuts, by as few
/// passes over the pictures as can be. Rows stand in the order of the setup's training rows, each in all its views,
/// then its validation rows, as they are.
///
/// The first pass computes the features and, beside them, the activations of every cut below which nothing has learned
/// when its stage comes; a later cut has a pass of its own at its stage. What is kept, where, and why not is said to
/// the reporter. Rows are bit-equal to what the trunk gives on the fly.
class FrozenPart {
 public:
  /// Decides what is kept where. The setup must outlive it.
  FrozenPart(Setup& setup, Reporter& reporter);

  /// Reads every picture once, and drops the bad ones from the setup. Computes nothing that only stages before
  /// `first_stage` need. Throws as drop_bad and forward_pass.
  void first_pass(int64_t first_stage = 1);

  /// What a first_pass() that was stopped leaves for the next try, for the end of a line: "; …", or nothing.
  std::string after_a_stop() const;

  /// [training rows · views + validation rows, D]; none without a head stage.
  const store::ActivationRows& features() const { return features_; }
  void drop_features() { features_ = {}; }
  /// False where they are too many to be kept: then the head learns with the whole backbone on the fly.
  bool has_features() const { return features_place_ != Place::kNowhere; }

  /// The activations at the cut of `stage`, to be asked for when the stage begins; none where they are not kept, and
  /// the trunk must run in every epoch.
  std::optional<store::ActivationRows> activations(const StagePlan& stage);
  /// Gives back what no stage after `stage` needs.
  void drop_activations(const StagePlan& stage);

 private:
  struct Output {
    std::string cut;  // of an activation; empty and is_features for features
    bool is_features = false;
    Place place = Place::kMemory;
    int64_t bytes = 0;
    io::Json key;
  };
  struct Filled {
    std::vector<store::ActivationRows> rows;
    std::vector<BadPicture> bad;
  };

  int64_t row_count() const;
  std::string count_text() const;
  std::vector<int64_t> all_items() const;
  bool fits_first_pass(const StagePlan& stage) const;
  bool is_kept(const StagePlan& stage) const;
  bool is_used_once(const StagePlan& stage) const;
  static std::string name_of(const Output& output);
  Place& place_of(const Output& output) { return output.is_features ? features_place_ : places_[output.cut]; }
  void tell(const std::string& what, int64_t bytes, const Placement& placement) const;
  void decide_places();
  io::Json key_of(const Output& output, const StagePlan& stage);
  void add_bad(const std::vector<std::pair<int64_t, std::string>>& bad, Filled& filled) const;
  std::optional<store::CachedRows> find_on_disk(const Output& output) const;
  /// Finds or computes `outputs`, by one method of the body. The place of those that neither disk nor memory took is
  /// nowhere afterwards, and their rows are empty.
  Filled fill(std::vector<Output>& outputs, const std::string& what);
  std::string method_for(const std::vector<Output>& outputs);

  Setup& setup_;
  Reporter& reporter_;
  store::ActivationCache disk_;
  CachePlaces room_;
  std::map<std::string, Place> places_;  // by cut
  std::map<std::string, int64_t> bytes_;
  std::map<std::string, store::ActivationRows> kept_;
  Place features_place_ = Place::kNowhere;
  int64_t features_bytes_ = 0;
  store::ActivationRows features_;
};

}  // namespace engraft::finetune
