#include "io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/json.h"

namespace engraft::io {

namespace {

constexpr const char* kMetadata = "__metadata__";
constexpr size_t kLengthBytes = 8;

std::string header_of(const std::vector<TensorView>& tensors) {
  Json about = Json::object();
  int64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    about[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string header = json_line(about);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

TensorEntry entry_of(const std::string& name, const Json& about, size_t data_begin, size_t file_bytes,
                     const std::string& path) {
  TensorEntry entry;
  entry.name = name;
  about.at("dtype").get_to(entry.dtype);
  about.at("shape").get_to(entry.shape);
  const auto begin = about.at("data_offsets").at(0).get<int64_t>();
  const auto end = about.at("data_offsets").at(1).get<int64_t>();
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > file_bytes - data_begin) {
    throw DataError(text::cat(path, ": tensor '", name, "' is said to lie at ", begin, " to ", end, ", the data have ",
                              file_bytes - data_begin, " bytes"));
  }
  entry.offset = static_cast<int64_t>(data_begin) + begin;
  entry.bytes = end - begin;
  return entry;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors) {
  const std::string header = header_of(tensors);
  std::string length;
  for (size_t i = 0; i < kLengthBytes; ++i) length += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  AtomicFile file(path);
  file.write(length + header);
  for (const TensorView& tensor : tensors) file.write(tensor.data, static_cast<size_t>(tensor.bytes));
  file.commit();
}

SafetensorsFile read_safetensors(const std::string& path) {
  SafetensorsFile out;
  out.bytes = read_file(path);
  uint64_t length = 0;
  if (out.bytes.size() >= kLengthBytes) {
    for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | static_cast<unsigned char>(out.bytes[i]);
  }
  if (out.bytes.size() < kLengthBytes || length > out.bytes.size() - kLengthBytes) {
    throw DataError(path + ": not a safetensors file, or cut short");
  }
  const size_t data_begin = kLengthBytes + length;
  const Json header = parse_json(std::string_view(out.bytes).substr(kLengthBytes, length), path);
  try {
    for (const auto& [name, about] : header.items()) {
      if (name != kMetadata) out.tensors.push_back(entry_of(name, about, data_begin, out.bytes.size(), path));
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError(path + ": its header: " + error.what());
  }
  std::sort(out.tensors.begin(), out.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.offset < b.offset; });
  return out;
}

}  // namespace engraft::io
