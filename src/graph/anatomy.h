#pragma once

#include <torch/csrc/jit/api/module.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace engraft::graph {

struct FlatGraph;

/// A child of the network that forward calls: the unit of tapping, cutting and freezing.
struct BlockInfo {
  /// Dotted path from the root ("Mixed_7a", "layer1.0"); a child called more than once is name#1, name#2 …
  std::string name;
  /// Class name without namespace ("Inception", "Conv2d").
  std::string type;
  /// Its output can be read: one tensor, made at every run.
  bool can_tap = false;
  /// The network can be divided here: its output is the only value that later blocks need.
  bool legal_cut = false;
  /// Why not, when it cannot be tapped or cut; else empty.
  std::string why_not;
};

/// The blocks of one network in the order in which they run. Cheap to copy; holds the module, never edits it.
class Anatomy {
 public:
  explicit Anatomy(std::shared_ptr<const FlatGraph> flat);

  const std::vector<BlockInfo>& blocks() const& { return blocks_; }
  std::vector<BlockInfo> blocks() && { return std::move(blocks_); }

  /// Throws ModelError "no block 'Mixed_8a'; did you mean 'Mixed_7a'? blocks: a … z".
  const BlockInfo& block(const std::string& name) const;

  /// As block(), and throws ModelError with the reason where it cannot be tapped.
  const BlockInfo& tap(const std::string& name) const;

  /// The names that split() takes between block `name` and the next one: the block itself where its output is a legal
  /// cut, then "name+1", "name+2" … behind each operator that follows it (a pool, the sum of a residual) and gives the
  /// only tensor that is needed later. They carry the same values, or fewer: the smallest is the cheapest to cache.
  std::vector<std::string> cuts_behind(const std::string& name) const;

  /// The flattened forward behind the blocks; for this floor.
  const FlatGraph& flat() const { return *flat_; }

 private:
  std::shared_ptr<const FlatGraph> flat_;
  std::vector<BlockInfo> blocks_;
  std::map<std::string, std::vector<std::string>> cuts_;
};

/// Finds the blocks of `module`: the children that forward calls, containers opened until their children are called.
/// A container is a child
/// - of class Sequential, ModuleList or ModuleDict (subclasses with a name of their own are blocks),
/// - named features, backbone, encoder, trunk, body, model, module or base_model that calls two children or more,
/// - that is the only one that forward calls, if it calls children itself (a wrapper),
/// - that is a strict prefix of one of `extra_paths`. A child that `extra_paths` names is never opened itself, so
///   that "layer1" asks for the container as one block, and "Mixed_7a.branch3x3_1" for a block inside a block.
/// Opened containers are read with eval semantics (`training` is false there); blocks keep their own mode.
/// Throws ModelError: no forward, forward with more than one input (unless the others have defaults), a file frozen by
/// torch.jit.freeze, no blocks, or an extra path that is no block.
Anatomy analyse(const torch::jit::Module& module, const std::vector<std::string>& extra_paths = {});

}  // namespace engraft::graph
