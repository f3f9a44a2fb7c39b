#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/report.h"
#include "io/json.h"
#include "sweep/spec.h"

namespace engraft::sweep {

/// One training of a sweep.
struct Trial {
  /// 16 hex digits of the digest of all that decides its result: train's options as resolved, the backbone's and the
  /// data's digests and the format's version; never a path, a device, a number of threads, or where caches lie.
  std::string id;
  /// Options of train as run.toml has them.
  io::Json options;
  /// Of these, what the SPEC varies.
  io::Json varied;
  /// Of its data set; 0 in a plan of before this was told.
  int64_t pictures = 0;
};

/// Trials that one worker runs together.
struct Group {
  /// Digest of its trials' ids.
  std::string id;
  /// Places in Plan::trials.
  std::vector<size_t> trials;
  /// Their heads are trained as one stack (finetune/head_stack.h).
  bool is_stack = false;
  /// Equal for groups that learn on the same features.
  std::string features;
};

struct Plan {
  /// In the order of the SPEC. Of two that are the same the first stands alone.
  std::vector<Trial> trials;
  std::vector<Group> groups;
  /// Names that some SPEC varied.
  std::vector<std::string> varied;
  /// Successive halving of the heads in a stack.
  bool halves = false;
  /// By "PATH" or "PATH FRACTION LOSS": digests of what lies there, and by what they are known again.
  io::Json digests = io::Json::object();
  /// Trials of the SPEC that are another's repetition.
  int64_t repeated = 0;
};

/// As many heads stand in one stack at most.
inline constexpr size_t kMostHeads = 64;

/// Resolves every trial and groups them. What `before` planned stays as it is, in its groups, whatever the SPEC says
/// by now; its trials are found again, with device, threads and paths as the SPEC has them, and new ones get groups of
/// their own. Only groups whose backbone or data changed where they lie are left out, with a warning: what is not done
/// of them cannot be any more, and what is has figures of something else. Paths are made absolute. Throws UsageError
/// for an option that train has not, or a value out of its range, naming the trial; DataError as list_data and where
/// the backbone cannot be read.
Plan make_plan(const Spec& spec, const std::string& where, const Plan& before, Reporter& reporter);

/// What a trial is planned to learn from: sha256 of its backbone's file, data_digest of its pictures. Empty where there
/// is none, as of a network without a file, and in a plan of before this was told.
struct Inputs {
  std::string backbone_sha256, data_digest;
};
Inputs planned_inputs(const Plan& plan, const Trial& trial);

/// As many epochs as a stack of `heads` heads takes when it halves, of `epochs` each; see StackOptions::halves.
int64_t epochs_when_halving(int64_t heads, int64_t epochs);

/// plan.json (src/store/FORMAT.md). read_plan gives an empty plan where there is none, and throws DataError for a file
/// that is no plan.
void write_plan(const std::string& folder, const Plan& plan);
Plan read_plan(const std::string& folder);

}  // namespace engraft::sweep
