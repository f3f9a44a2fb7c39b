#include "graph/anatomy.h"

#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>

#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "graph/cuts.h"
#include "graph/flatten.h"
#include "graph/reason.h"

namespace engraft::graph {

using torch::jit::Module;

namespace {

bool holds_parameters(const Module& module) {
  const auto parameters = module.parameters();
  return parameters.begin() != parameters.end();
}

void check_blocks(const FlatGraph& flat) {
  if (!flat.calls.empty()) return;
  if (!holds_parameters(flat.root))
    throw ModelError(
        "the module has no parameters and calls no child: it was frozen by torch.jit.freeze; expected a module saved "
        "before freezing");
  throw ModelError(
      "the module's forward calls no child module, so there is no block to tap; expected a scripted or traced "
      "module that was not inlined");
}

std::vector<std::string> names_of(const std::vector<BlockInfo>& blocks) {
  std::vector<std::string> names;
  for (const BlockInfo& block : blocks) names.push_back(block.name);
  return names;
}

}  // namespace

Anatomy::Anatomy(std::shared_ptr<const FlatGraph> flat) : flat_(std::move(flat)) {
  const Crossings crossings(*flat_);
  for (const Call& call : flat_->calls) {
    for (const Edge& edge : crossings.edges_behind(call)) cuts_[call.name].push_back(edge.name);
    BlockInfo block;
    block.name = call.name;
    block.type = call.type;
    if (call.nested) {
      block.why_not = "it is called inside an if or a loop that depends on data";
    } else if (!is_one_tensor(call)) {
      block.why_not = "it returns " + call.node->output()->type()->repr_str() + ", not one tensor";
    } else {
      block.can_tap = true;
      block.why_not = crossings.beside(call.node->output());
      block.legal_cut = block.why_not.empty();
    }
    blocks_.push_back(std::move(block));
  }
}

const BlockInfo& Anatomy::block(const std::string& name) const {
  for (const BlockInfo& block : blocks_)
    if (block.name == name) return block;
  std::vector<std::string> names = names_of(blocks_);
  std::vector<std::string> inside;
  for (const std::string& other : names)
    if (text::starts_with(other, name + "#") || text::starts_with(other, name + ".")) inside.push_back(other);
  if (!inside.empty() && text::starts_with(inside[0], name + "#"))
    throw ModelError(text::cat("block '", name, "' is called ", inside.size(), " times; expected one of ",
                               text::abridge(inside, 4)));
  if (!inside.empty())
    throw ModelError(text::cat("'", name, "' is opened into blocks here; expected one of ", text::abridge(inside, 4)));
  std::string message = "no block '" + name + "'";
  if (const auto near = text::closest(name, names)) message += "; did you mean '" + *near + "'?";
  throw ModelError(message + (message.back() == '?' ? " blocks: " : "; blocks: ") + text::abridge(names, 8));
}

const BlockInfo& Anatomy::tap(const std::string& name) const {
  const BlockInfo& found = block(name);
  if (!found.can_tap) throw ModelError("block '" + name + "' cannot be tapped: " + found.why_not);
  return found;
}

std::vector<std::string> Anatomy::cuts_behind(const std::string& name) const {
  block(name);
  const auto found = cuts_.find(name);
  return found == cuts_.end() ? std::vector<std::string>() : found->second;
}

Anatomy analyse(const Module& module, const std::vector<std::string>& extra_paths) try {
  FlattenOptions options;
  options.wanted = extra_paths;
  const auto flat = std::make_shared<const FlatGraph>(flatten(module, options));
  check_blocks(*flat);
  Anatomy anatomy(flat);
  for (const std::string& path : extra_paths) anatomy.block(path);
  return anatomy;
} catch (const c10::Error& error) {
  throw ModelError(std::string("cannot read the module's forward: ") + reason(error));
}

}  // namespace engraft::graph
