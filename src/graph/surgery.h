#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>
#include <vector>

namespace engraft::graph {

/// A module of its own that computes the outputs of `taps` and holds only what that needs: classifier, auxiliary heads
/// and later blocks are gone. `forward(x)` gives one tensor for one tap, a tuple in the order of `taps` for several;
/// each is bit-equal to what the tap returns inside the whole network in eval mode.
///
/// - Parameters, buffers and the modules of the blocks are shared with `source`, which is not edited; dotted names of
///   parameters and their order stay. Changing the mode or the weights of a block changes it in both.
/// - Opened containers have eval semantics (see FlatGraph); blocks obey train() and eval().
/// - Classes are made in `unit` (a new one by default), under names that depend on nothing but `source` and `taps`:
///   the same file gives byte-identical archives by torch::jit::ExportModule in every process. The blocks' classes
///   stay where they are and live as long as the result.
/// - torch.jit.save, torch::jit::load and Python's torch.jit.load work on it.
///
/// `taps` are block names as analyse(source, taps) lists them. Throws ModelError where analyse does, for a tap that
/// cannot be read, and UsageError for no taps.
torch::jit::Module extract(const torch::jit::Module& source, const std::vector<std::string>& taps,
                           std::shared_ptr<torch::jit::CompilationUnit> unit = nullptr);

/// Names of the two methods that split() makes.
struct Split {
  std::string trunk_method;
  std::string top_method;
};

/// Gives `module` two more methods: `trunk(x)` is the value at `cut`, `top(h)` what forward makes of it. `cut` is the
/// name of a block, for its output, or of an edge behind it ("conv_2+1", see Anatomy::cuts_behind);
/// top(trunk(x)) is bit-equal to forward(x). They share the parameters, survive save and load, and top never changes
/// `h` in place. Where `cut` gives forward's own output, top returns `h`.
///
/// One module can be split at several blocks: the method names carry the cut. Splitting again at the same block
/// returns the methods that are there. The class of `module` is edited, so it should come from extract(); objects that
/// share that class get the methods as well.
/// Throws ModelError when `cut` is no legal cut of this module, with the reason.
Split split(torch::jit::Module& module, const std::string& cut);

/// Gives `module` a method that computes the values at `cuts` and forward's own output in one go: `collect(x)` is a
/// tuple of them, in the order of `cuts`, the output last; each is bit-equal to what trunk() of the cut and forward()
/// give. Returns its name; the same cuts again give the method that is there. Otherwise as split(). Throws ModelError
/// when one of `cuts` is no legal cut, UsageError for none.
std::string collect(torch::jit::Module& module, const std::vector<std::string>& cuts);

/// The names that split() gives the methods for `cut`.
Split split_methods(const std::string& cut);

}  // namespace engraft::graph
