#include "graph/audit_code.h"

#include <torch/csrc/jit/frontend/lexer.h>
#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <memory>
#include <unordered_set>

#include "graph/audit_names.h"
#include "graph/reason.h"

namespace engraft::graph {

using torch::jit::Tree;
using torch::jit::TreeRef;

namespace {

/// The classes and functions of one record. Throws what LibTorch's parser throws.
std::vector<TreeRef> parse(const CodeRecord& record) {
  torch::jit::Parser parser(std::make_shared<torch::jit::Source>(record.text, record.name, 1));
  auto& lexer = parser.lexer();
  if (lexer.cur().kind == torch::jit::TK_IDENT && lexer.cur().text() == "op_version_set") {
    lexer.next();
    lexer.expect('=');
    lexer.expect(torch::jit::TK_NUMBER);
    lexer.expect(torch::jit::TK_NEWLINE);
  }
  while (lexer.nextIf(torch::jit::TK_IMPORT)) {
    while (lexer.cur().kind != torch::jit::TK_NEWLINE) lexer.next();
    lexer.next();
  }
  std::vector<TreeRef> trees;
  while (lexer.cur().kind != torch::jit::TK_EOF) {
    if (lexer.cur().kind == torch::jit::TK_CLASS_DEF)
      trees.push_back(parser.parseClass());
    else
      trees.push_back(parser.parseFunction(/*is_method=*/false));
  }
  return trees;
}

template <class Visit>
void for_each_tree(const TreeRef& tree, const Visit& visit) {
  visit(tree);
  for (const TreeRef& inner : tree->trees()) for_each_tree(inner, visit);
}

const std::string& identifier(const TreeRef& ident) { return ident->tree(0)->stringValue(); }

/// "torch.nn.f" of nested selects over a plain name, as its parts; empty for anything else.
std::vector<std::string> dotted(const TreeRef& tree) {
  if (tree->kind() == torch::jit::TK_VAR) return {identifier(tree->tree(0))};
  if (tree->kind() != '.') return {};
  auto parts = dotted(tree->tree(0));
  if (!parts.empty()) parts.push_back(identifier(tree->tree(1)));
  return parts;
}

/// Operators that are known to LibTorch, so that `x.save(…)` on a tensor would reach one.
bool is_operator(const std::string& name) {
  return !torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("aten::" + name)).empty() ||
         !torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("prim::" + name)).empty();
}

class CodeAudit {
 public:
  std::vector<Finding> run(const std::vector<CodeRecord>& records) {
    std::vector<std::vector<TreeRef>> parsed;
    for (const CodeRecord& record : records) {
      record_ = record.name;
      try {
        parsed.push_back(parse(record));
      } catch (const std::exception& error) {
        parsed.emplace_back();
        findings_.push_back({record_, 0, "cannot be parsed: " + reason(error)});
      }
      for (const TreeRef& tree : parsed.back()) collect_names(tree);
    }
    for (size_t i = 0; i < records.size(); ++i) {
      record_ = records[i].name;
      for (const TreeRef& tree : parsed[i]) walk(tree);
    }
    return std::move(findings_);
  }

 private:
  /// Methods, functions and attributes that the archive declares, and variables it assigns.
  void collect_names(const TreeRef& tree) {
    for_each_tree(tree, [&](const TreeRef& node) {
      if (node->kind() == torch::jit::TK_DEF) methods_.insert(identifier(node->tree(0)));
      if (node->kind() == torch::jit::TK_CLASS_DEF) classes_.insert(identifier(node->tree(0)));
      if (node->kind() == torch::jit::TK_PARAM) variables_.insert(identifier(node->tree(0)));
      if (node->kind() == torch::jit::TK_ASSIGN)
        for (const TreeRef& left : node->tree(0)->trees())
          for_each_tree(left, [&](const TreeRef& inner) {
            if (inner->kind() == torch::jit::TK_VAR) variables_.insert(identifier(inner->tree(0)));
          });
    });
  }

  void flag(const TreeRef& where, const std::string& what) {
    int line = 0;
    if (!where->isAtom()) {
      const auto place = where->range().file_line_col();
      if (place) line = static_cast<int>(std::get<1>(*place));
    }
    for (const Finding& known : findings_)
      if (known.record == record_ && known.line == line && known.what == what) return;
    findings_.push_back({record_, line, what});
  }

  void walk(const TreeRef& tree) {
    switch (tree->kind()) {
      case torch::jit::TK_DEF:
        check_definition(tree);
        break;
      case torch::jit::TK_APPLY:
        check_call(tree);
        break;
      case torch::jit::TK_VAR:
        check_root(tree);
        break;
      case '.':
        if (check_dotted(tree)) return;
        check_attribute(tree, identifier(tree->tree(1)));
        break;
      default:
        break;
    }
    for (const TreeRef& inner : tree->trees()) walk(inner);
  }

  void check_definition(const TreeRef& tree) {
    const std::string& name = identifier(tree->tree(0));
    if (name == "__setstate__" || name == "__getstate__")
      flag(tree, "defines " + name + ", which runs at load or save");
  }

  void check_call(const TreeRef& call) {
    const TreeRef& callee = call->tree(0);
    if (callee->kind() != torch::jit::TK_VAR) return;  // selects are seen on their own
    const std::string& name = identifier(callee->tree(0));
    if (name == "getattr") return check_getattr(call);
    if (is_allowed_builtin(name) || variables_.count(name) != 0) return;
    flag(call, name == "print" ? "prints" : "calls " + name + ", which is not on the list of builtins");
  }

  /// The roots of operators and classes have no use as values, other than to hide what is taken from them.
  void check_root(const TreeRef& tree) {
    const std::string& name = identifier(tree->tree(0));
    if (name == "torch" || name == "ops" || name == "__torch__") flag(tree, "uses " + name + " as a value");
  }

  void check_getattr(const TreeRef& call) {
    const auto& arguments = call->tree(1)->trees();
    if (arguments.size() < 2 || arguments[1]->kind() != torch::jit::TK_STRINGLITERAL)
      return flag(call, "reads an attribute by a name that is not written out");
    check_attribute(call, arguments[1]->tree(0)->stringValue());
  }

  /// Names that start at torch, ops or __torch__; false for the attributes of other values.
  bool check_dotted(const TreeRef& tree) {
    const auto parts = dotted(tree);
    if (parts.empty()) return false;
    std::string name = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) name += "." + parts[i];
    if (parts[0] == "torch") {
      if (parts.size() != 2 || !is_allowed_operator(parts[1]))
        flag(tree, name + " is not on the list of operators that networks use");
      return true;
    }
    if (parts[0] == "ops") {
      const bool known = parts.size() == 3 && (parts[1] == "prim" || parts[1] == "aten");
      if (!known || !is_allowed_operator(parts[2]))
        flag(tree, name + " is not on the list of operators that networks use");
      return true;
    }
    if (parts[0] == "__torch__") {
      const bool own = classes_.count(parts.back()) != 0 || methods_.count(parts.back()) != 0;
      if (parts.size() > 2 && parts[1] == "torch" && parts[2] == "classes")
        flag(tree, name + " is a custom class");
      else if (!own)
        flag(tree, name + " is not defined in the archive");
      return true;
    }
    return false;
  }

  /// An attribute or method of some value: what is an operator too may be called on a tensor this way.
  void check_attribute(const TreeRef& tree, const std::string& name) {
    static const std::unordered_set<std::string> dangerous = {"save", "from_file", "set_data", "__setstate__",
                                                              "__getstate__"};
    const bool own = methods_.count(name) != 0 || variables_.count(name) != 0;
    if (dangerous.count(name) != 0 || (!own && !is_allowed_operator(name) && is_operator(name)))
      flag(tree, "." + name + " is not on the list of operators that networks use");
  }

  std::string record_;
  std::vector<Finding> findings_;
  std::unordered_set<std::string> classes_;
  std::unordered_set<std::string> methods_;
  std::unordered_set<std::string> variables_;
};

}  // namespace

std::vector<Finding> audit_code(const std::vector<CodeRecord>& records) { return CodeAudit().run(records); }

}  // namespace engraft::graph
