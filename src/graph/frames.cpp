#include "graph/frames.h"

#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <map>
#include <set>

#include "base/text.h"

namespace engraft::graph {

namespace prim = c10::prim;
using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

class FrameBuilder {
 public:
  FrameBuilder(const FlatGraph& flat, std::shared_ptr<torch::jit::CompilationUnit> unit)
      : flat_(flat), unit_(std::move(unit)) {}

  Module run() {
    frames_.insert("");
    visit(flat_.graph->block(), [&](Node* node) { note_whole(node); });
    visit(flat_.graph->block(), [&](Node* node) { note_read(node); });
    Module root = build("", flat_.root);
    flat_.graph->inputs()[0]->setType(root.type());
    visit(flat_.graph->block(), [&](Node* node) { retype(node); });
    return root;
  }

 private:
  template <class Visit>
  void visit(Block* block, const Visit& see) {
    for (Node* node : block->nodes()) {
      see(node);
      for (Block* inner : node->blocks()) visit(inner, see);
    }
  }

  /// Modules that a node other than GetAttr takes stay whole.
  void note_whole(Node* node) {
    if (node->kind() == prim::GetAttr || node->kind() == prim::SetAttr) return;
    for (const Value* input : node->inputs())
      if (const auto path = path_of(input)) whole_.insert(*path);
  }

  std::optional<std::string> path_of(const Value* value) const {
    const auto type = value->type()->cast<c10::ClassType>();
    return type && type->is_module() ? module_path(value) : std::nullopt;
  }

  bool inside_whole(const std::string& path) const {
    for (size_t end = path.find('.'); end != std::string::npos; end = path.find('.', end + 1))
      if (whole_.count(path.substr(0, end)) != 0) return true;
    return whole_.count(path) != 0;
  }

  /// The attributes that are read or written in frames.
  void note_read(Node* node) {
    if (node->kind() != prim::GetAttr && node->kind() != prim::SetAttr) return;
    const auto owner = path_of(node->input(0));
    if (!owner || inside_whole(*owner)) return;
    frames_.insert(*owner);
    read_[*owner].insert(node->s(c10::attr::name));
  }

  Module build(const std::string& path, const Module& original) {
    Module frame(frame_name(path, original), unit_);
    const auto type = original.type();
    frame.register_attribute("training", c10::BoolType::get(), original.attr("training", false).toBool());
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const std::string name = type->getAttributeName(i);
      if (read_[path].count(name) == 0 || name == "training") continue;
      const auto value = original.attr(name);
      const std::string inner = path.empty() ? name : path + "." + name;
      if (!value.isModule()) {
        frame.register_attribute(name, type->getAttribute(i), value, type->is_parameter(i), type->is_buffer(i));
      } else if (frames_.count(inner) != 0) {
        frame.register_module(name, build(inner, value.toModule()));
      } else {
        frame.register_module(name, value.toModule());
      }
    }
    types_[path] = frame.type();
    return frame;
  }

  /// __torch__.engraft.ResNet for the root, __torch__.engraft.at_layer1.Sequential for layer1.
  c10::QualifiedName frame_name(const std::string& path, const Module& original) {
    const auto given = original.type()->name();
    std::string name = "__torch__.engraft.";
    if (!path.empty()) name += "at_" + text::replace_all(path, ".", "_") + ".";
    for (char& c : name)
      if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.')) c = '_';
    name += given ? given->name() : "Module";
    while (unit_->get_type(c10::QualifiedName(name))) name += "_";
    return c10::QualifiedName(name);
  }

  void retype(Node* node) {
    if (node->kind() != prim::GetAttr) return;
    const auto path = path_of(node->output());
    if (path && types_.count(*path) != 0) node->output()->setType(types_.at(*path));
  }

  const FlatGraph& flat_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::set<std::string> whole_;
  std::set<std::string> frames_;
  std::map<std::string, std::set<std::string>> read_;
  std::map<std::string, c10::ClassTypePtr> types_;
};

}  // namespace

Module build_frames(const FlatGraph& flat, std::shared_ptr<torch::jit::CompilationUnit> unit) {
  return FrameBuilder(flat, std::move(unit)).run();
}

}  // namespace engraft::graph
