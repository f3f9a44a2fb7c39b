#include "graph/audit.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::graph {

namespace {

/// aten operators that leave the world of tensors.
const std::array<const char*, 5> kReachFiles = {"save", "from_file", "load", "to_file", "_load_from_bytes"};

/// prim operators and builtins that real networks are written with; the archive spells them ops.prim.NAME.
const std::array<const char*, 29> kPrim = {"NumToTensor",
                                           "TupleUnpack",
                                           "ListUnpack",
                                           "TupleConstruct",
                                           "ListConstruct",
                                           "unchecked_cast",
                                           "min",
                                           "max",
                                           "abs",
                                           "RaiseException",
                                           "device",
                                           "dtype",
                                           "layout",
                                           "is_cuda",
                                           "is_cpu",
                                           "shape",
                                           "data",
                                           "requires_grad",
                                           "Uninitialized",
                                           "TupleIndex",
                                           "isinstance",
                                           "tolist",
                                           "ConstantChunk",
                                           "BroadcastSizes",
                                           "type",
                                           "AutogradZero",
                                           "id",
                                           "unchecked_unwrap_optional",
                                           "is_quantized"};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// The line without the insides of its string literals and without comments.
std::string without_strings(const std::string& line) {
  std::string out;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
        out += c;
      }
      continue;
    }
    if (c == '#') break;
    if (c == '"' || c == '\'') quote = c;
    out += c;
  }
  return out;
}

/// The dotted names that follow `prefix` ("torch.") at word borders in `line`.
std::vector<std::string> names_after(const std::string& line, const std::string& prefix) {
  std::vector<std::string> names;
  for (size_t at = line.find(prefix); at != std::string::npos; at = line.find(prefix, at + 1)) {
    if (at > 0 && (is_word(line[at - 1]) || line[at - 1] == '.')) continue;
    size_t end = at + prefix.size();
    while (end < line.size() && (is_word(line[end]) || line[end] == '.')) ++end;
    names.push_back(line.substr(at + prefix.size(), end - at - prefix.size()));
  }
  return names;
}

bool is_registered_aten(const std::string& name) {
  return !torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("aten::" + name)).empty();
}

template <class List>
bool contains(const List& list, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const char* item) { return name == item; });
}

/// What is wrong with an operator of this namespace, or nothing.
std::string problem_with(const std::string& space, const std::string& name) {
  const std::string shown = space == "aten" ? "torch." + name : space + "." + name;
  if (space == "aten") {
    if (contains(kReachFiles, name)) return shown + " reads or writes files";
    return is_registered_aten(name) ? "" : shown + " is no operator of this LibTorch";
  }
  if (space == "prim") return contains(kPrim, name) ? "" : shown + " is not among the operators networks need";
  return shown + " is an operator of an extension";
}

/// Names that may follow "torch." and are no operators: types, constants, and inner namespaces.
std::string problem_with_torch_name(const std::string& dotted) {
  const std::vector<std::string> parts = text::split(dotted, '.');
  const std::string& first = parts.front();
  if (first == "classes") return "torch." + dotted + " is a class of a compiled extension";
  const bool is_plain_attribute = parts.size() == 1 && !is_registered_aten(first) && !contains(kReachFiles, first);
  static const std::array<const char*, 24> kTypes = {"float", "float16", "float32", "float64",  "half",    "double",
                                                     "int",   "int8",    "int16",   "int32",    "int64",   "uint8",
                                                     "long",  "short",   "bool",    "bfloat16", "strided", "device",
                                                     "dtype", "Tensor",  "inf",     "nan",      "qint8",   "quint8"};
  if (is_plain_attribute && contains(kTypes, first)) return "";
  // torch.nn.functional.x, torch._C._nn.x and the like print operators of aten under an older path.
  return problem_with("aten", parts.back());
}

std::string what_it_is(const std::string& head) {
  const auto starts = [&](const char* bytes, size_t size) { return head.compare(0, size, bytes, size) == 0; };
  const std::string remedy = "models/export_backbone.py turns a network's weights into TorchScript";
  if (head.empty()) return "an empty file";
  if (starts("\x89HDF", 4))
    return "an HDF5 file (Keras weights?), not TorchScript; export the network to TorchScript first";
  if (head.size() > 8 && head[8] == '{') return "a safetensors file: weights without a network; " + remedy;
  if (head[0] == '\x80') return "a Python pickle (torch.save), not TorchScript; " + remedy;
  if (head[0] == '\x08') return "an ONNX file, not TorchScript; export the network to TorchScript first";
  const std::string shown = text::lower(text::trim(head.substr(0, 64)));
  if (text::starts_with(shown, "<")) return "a web page, not TorchScript: the download went wrong";
  if (text::starts_with(shown, "version https://git-lfs"))
    return "a Git LFS pointer, not TorchScript: fetch the file itself";
  return "not a TorchScript file (no zip archive)";
}

void require_archive(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw ModelError(path + ": no such file");
  if (std::filesystem::is_directory(path, error)) throw ModelError(path + ": a folder, not a TorchScript file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ModelError(path + ": cannot be read");
  std::string head(256, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(file.gcount()));
  if (head.compare(0, 2, "PK") != 0) throw ModelError(path + ": " + what_it_is(head));
}

}  // namespace

std::string describe(const Finding& finding) {
  return text::cat(finding.record, ":", finding.line, ": ", finding.what);
}

std::vector<Finding> audit_code(const std::string& record, const std::string& code) {
  std::vector<Finding> findings;
  int64_t number = 0;
  for (const std::string& raw : text::split(code, '\n')) {
    ++number;
    const std::string line = without_strings(raw);
    const auto find = [&](const std::string& what) {
      if (!what.empty()) findings.push_back({record, number, what});
    };
    for (const char* hook : {"def __setstate__", "def __getstate__"}) {
      if (line.find(hook) != std::string::npos) find(std::string(hook + 4) + " runs while the file is loaded or saved");
    }
    if (line.find("__torch__.torch.classes.") != std::string::npos) find("a class of a compiled extension");
    for (const std::string& name : names_after(line, "torch.")) find(problem_with_torch_name(name));
    for (const std::string& name : names_after(line, "ops.")) {
      const std::vector<std::string> parts = text::split(name, '.');
      find(parts.size() < 2 ? "ops." + name + " is no operator" : problem_with(parts[0], parts[1]));
    }
    const size_t print = line.find("print(");
    if (print != std::string::npos && (print == 0 || !(is_word(line[print - 1]) || line[print - 1] == '.'))) {
      find("print writes into the results on stdout");
    }
  }
  return findings;
}

std::vector<Finding> audit(const std::string& path) {
  require_archive(path);
  std::vector<Finding> findings;
  bool has_code = false;
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    for (const std::string& record : reader.getAllRecords()) {
      if (!text::starts_with(record, "code/") || !text::ends_with(record, ".py")) continue;
      has_code = true;
      const auto [data, size] = reader.getRecord(record);
      const auto found = audit_code(record, std::string(static_cast<const char*>(data.get()), size));
      findings.insert(findings.end(), found.begin(), found.end());
    }
  } catch (const c10::Error& error) {
    throw ModelError(path + ": a zip archive that cannot be read, cut or damaged: " +
                     text::split(error.what_without_backtrace(), '\n').front());
  }
  if (!has_code) {
    throw ModelError(path +
                     ": a torch.save archive (a state_dict or a Python object), not TorchScript; "
                     "models/export_backbone.py turns a network's weights into TorchScript");
  }
  return findings;
}

}  // namespace engraft::graph
