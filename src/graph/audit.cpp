#include "graph/audit.h"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/errors.h"
#include "base/text.h"
#include "graph/audit_code.h"

namespace engraft::graph {

namespace fs = std::filesystem;
using caffe2::serialize::PyTorchStreamReader;

namespace {

/// A format that is not ours, by how its files begin.
struct Signature {
  std::string start;
  const char* what;
};

const std::vector<Signature>& signatures() {
  static const std::vector<Signature> table = {
      {"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras or h5py weights), not TorchScript"},
      {"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"},
      {"<!DOCTYPE", "a web page, not a model; the download went to a page instead of the file"},
      {"<!doctype", "a web page, not a model; the download went to a page instead of the file"},
      {"<html", "a web page, not a model; the download went to a page instead of the file"},
      {"<HTML", "a web page, not a model; the download went to a page instead of the file"},
      {"<?xml", "an XML file, not TorchScript"},
      {"\x1f\x8b", "gzip-compressed; unpack it first"},
      {"BZh", "bzip2-compressed; unpack it first"},
      {"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"},
      {"\x93NUMPY", "a NumPy array, not TorchScript"},
      {"\x80\x02", "a Python pickle (torch.save of old), not TorchScript"},
      {"\x80\x03", "a Python pickle, not TorchScript"},
      {"\x80\x04", "a Python pickle, not TorchScript"},
      {"\x80\x05", "a Python pickle, not TorchScript"},
      {"{", "a JSON file, not TorchScript"},
  };
  return table;
}

std::string read_start(const std::string& path, size_t size) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ModelError(path + ": cannot be opened");
  std::string start(size, '\0');
  file.read(start.data(), static_cast<std::streamsize>(size));
  start.resize(static_cast<size_t>(file.gcount()));
  return start;
}

/// Whether the end record of a zip archive is where it must be: in the last 64 KiB.
bool has_zip_end(const std::string& path, uint64_t file_bytes) {
  const uint64_t tail = std::min<uint64_t>(file_bytes, 65536 + 22);
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(file_bytes - tail));
  std::string end(tail, '\0');
  file.read(end.data(), static_cast<std::streamsize>(tail));
  const size_t place = end.rfind("PK\x05\x06");
  return place != std::string::npos && place + 22 <= end.size();
}

/// A header's length as 8 little-endian bytes, then JSON.
bool looks_like_safetensors(const std::string& start, uint64_t file_bytes) {
  if (start.size() < 10) return false;
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<unsigned char>(start[i]);
  return header + 8 <= file_bytes && start[8] == '{' && (start[9] == '"' || start[9] == '}');
}

/// A protobuf message that begins with ir_version (field 1, a small number) and names its producer early (field 2).
bool looks_like_onnx(const std::string& start) {
  return start.size() > 4 && start[0] == '\x08' && static_cast<unsigned char>(start[1]) < 32 && start[2] == '\x12';
}

std::string what_else(const std::string& start, uint64_t file_bytes) {
  for (const Signature& signature : signatures())
    if (text::starts_with(start, signature.start)) return signature.what;
  if (looks_like_safetensors(start, file_bytes))
    return "a safetensors file: weights without a network; models/export_backbone.py makes TorchScript of them";
  if (looks_like_onnx(start)) return "an ONNX model, not TorchScript";
  return "not a TorchScript archive (a zip archive was expected)";
}

std::string what_kind_of_zip(const std::vector<std::string>& records) {
  const auto has = [&](const std::string& name) {
    return std::find(records.begin(), records.end(), name) != records.end();
  };
  const auto any = [&](const auto& test) { return std::any_of(records.begin(), records.end(), test); };
  if (any([](const std::string& name) { return name.find("exported_program") != std::string::npos; }) ||
      has("archive_format"))
    return "a torch.export program (.pt2), not TorchScript; save it by torch.jit.script or torch.jit.trace";
  if (has("data.pkl"))
    return "holds a state_dict or a pickled object, not TorchScript: models/export_backbone.py turns it into one";
  if (has("model.weights.h5")) return "a Keras model, not TorchScript";
  return "a zip archive without TorchScript in it (no constants.pkl and code/)";
}

bool is_code(const std::string& name) { return text::starts_with(name, "code/") && text::ends_with(name, ".py"); }

/// A reader for an archive that LibTorch can load.
std::unique_ptr<PyTorchStreamReader> open_archive(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) throw ModelError(path + ": is a folder; expected a TorchScript file");
  if (!fs::exists(path, error)) throw ModelError(path + ": no such file");
  const uint64_t bytes = fs::file_size(path, error);
  if (error) throw ModelError(path + ": not a file that can be read");
  if (bytes == 0) throw ModelError(path + ": is empty (0 bytes)");
  const std::string start = read_start(path, 64);
  if (!text::starts_with(start, "PK\x03\x04")) throw ModelError(path + ": " + what_else(start, bytes));
  std::unique_ptr<PyTorchStreamReader> reader;
  std::vector<std::string> records;
  try {
    reader = std::make_unique<PyTorchStreamReader>(path);
    records = reader->getAllRecords();
  } catch (const c10::Error&) {
    throw ModelError(path +
                     (has_zip_end(path, bytes) ? ": a zip archive, but not one of PyTorch's"
                                               : ": is cut short or damaged: the zip archive has no end") +
                     text::cat(" (", bytes, " bytes)"));
  }
  const bool code = std::any_of(records.begin(), records.end(), is_code);
  const bool constants = std::find(records.begin(), records.end(), "constants.pkl") != records.end();
  if (!code || !constants) throw ModelError(path + ": " + what_kind_of_zip(records));
  return reader;
}

std::string read_record(PyTorchStreamReader& reader, const std::string& path, const std::string& name) {
  try {
    const auto [data, size] = reader.getRecord(name);
    return std::string(static_cast<const char*>(data.get()), size);
  } catch (const c10::Error&) {
    throw ModelError(path + ": record '" + name + "' is damaged");
  }
}

}  // namespace

void check_is_torchscript(const std::string& path) { open_archive(path); }

std::vector<Finding> audit(const std::string& path) {
  const auto reader = open_archive(path);
  std::vector<CodeRecord> code;
  std::vector<Finding> findings;
  for (const std::string& name : reader->getAllRecords()) {
    if (is_code(name)) code.push_back({name, read_record(*reader, path, name)});
    if (text::ends_with(name, ".pkl") && !text::ends_with(name, ".debug_pkl") &&
        read_record(*reader, path, name).find("__torch__.torch.classes") != std::string::npos)
      findings.push_back({name, 0, "holds an object of a custom class"});
  }
  std::sort(code.begin(), code.end(), [](const CodeRecord& a, const CodeRecord& b) { return a.name < b.name; });
  for (Finding& finding : audit_code(code)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace engraft::graph
