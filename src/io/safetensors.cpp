#include "io/safetensors.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
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
  return json_line(about);
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

/// The header padded with spaces to `bytes`, and before it how long it is.
std::string with_length(std::string header, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < kLengthBytes; ++i) out += static_cast<char>(bytes >> (8 * i) & 0xFF);
  header.resize(bytes, ' ');
  return out + header;
}

/// What with_length() put first.
uint64_t length_of(std::string_view bytes) {
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  return length;
}

DataError not_one(const std::string& path) { return DataError(path + ": not a safetensors file, or cut short"); }

std::vector<TensorEntry> entries_of(std::string_view header, size_t file_bytes, const std::string& path) {
  std::vector<TensorEntry> entries;
  const Json all = parse_json(header, path);
  try {
    for (const auto& [name, about] : all.items()) {
      if (name != kMetadata) entries.push_back(entry_of(name, about, kLengthBytes + header.size(), file_bytes, path));
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError(path + ": its header: " + error.what());
  }
  std::sort(entries.begin(), entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.offset < b.offset; });
  return entries;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors) {
  const std::string header = header_of(tensors);
  AtomicFile file(path);
  file.write(with_length(header, (header.size() + 7) / 8 * 8));
  for (const TensorView& tensor : tensors) file.write(tensor.data, static_cast<size_t>(tensor.bytes));
  file.commit();
}

SafetensorsRowWriter::SafetensorsRowWriter(const std::string& path, std::string name, std::string dtype,
                                           int64_t item_bytes, const std::vector<int64_t>& row_shape)
    : file_(path), name_(std::move(name)), dtype_(std::move(dtype)), row_shape_(row_shape), row_bytes_(item_bytes) {
  for (const int64_t size : row_shape) {
    if (size < 0 || __builtin_mul_overflow(row_bytes_, size, &row_bytes_))
      throw DataError(path + ": a row " + text::shape(row_shape) + " has no valid size");
  }
  // Room for the longest numbers, so that the final ones fit whatever they are.
  constexpr size_t kMostDigits = 19;  // of an int64_t
  header_bytes_ = (header(0).size() + 2 * kMostDigits + 7) / 8 * 8;
  file_.write(with_length(header(0), header_bytes_));
}

std::string SafetensorsRowWriter::header(int64_t rows) const {
  std::vector<int64_t> shape = row_shape_;
  shape.insert(shape.begin(), rows);
  return header_of({{name_, dtype_, shape, nullptr, rows * row_bytes_}});
}

void SafetensorsRowWriter::append(const void* data, int64_t rows) {
  file_.write(data, static_cast<size_t>(rows * row_bytes_));
  rows_ += rows;
}

void SafetensorsRowWriter::commit() {
  const std::string bytes = with_length(header(rows_), header_bytes_);
  file_.write_at(0, bytes.data(), bytes.size());
  file_.commit();
}

std::vector<TensorEntry> list_safetensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  if (!file || error) throw DataError("cannot read " + path);
  std::string start(kLengthBytes, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  const uint64_t length = file ? length_of(start) : 0;
  if (!file || length > file_bytes - kLengthBytes) throw not_one(path);
  std::string header(length, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header.size()));
  if (!file) throw not_one(path);
  return entries_of(header, file_bytes, path);
}

SafetensorsFile read_safetensors(const std::string& path) {
  SafetensorsFile out;
  out.bytes = read_file(path);
  if (out.bytes.size() < kLengthBytes) throw not_one(path);
  const uint64_t length = length_of(out.bytes);
  if (length > out.bytes.size() - kLengthBytes) throw not_one(path);
  out.tensors = entries_of(std::string_view(out.bytes).substr(kLengthBytes, length), out.bytes.size(), path);
  return out;
}

}  // namespace engraft::io
