#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::io {

// Tensors in a file as Hugging Face's safetensors 0.4 documents it: the header's length as 8 little-endian bytes; the
// header, a JSON object {"NAME": {"dtype": "F32", "shape": […], "data_offsets": [begin, end]}, …}, padded with spaces
// to a multiple of 8; then the bytes, row-major and little-endian, offsets counted from the end of the header.

/// A tensor to be written; the data stay the caller's.
struct TensorView {
  std::string name;
  /// "F32", "F64", "I64", …
  std::string dtype;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  int64_t bytes = 0;
};

/// Writes `tensors` in their order as the file `path`, by AtomicFile. Throws SystemError.
void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors);

/// A tensor of a file that was read.
struct TensorEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  /// Where its bytes begin in SafetensorsFile::bytes, and how many they are.
  int64_t offset = 0;
  int64_t bytes = 0;
};

struct SafetensorsFile {
  /// The whole file.
  std::string bytes;
  /// In the order of their bytes.
  std::vector<TensorEntry> tensors;
};

/// Throws DataError "PATH: …" for what is no such file, or one whose offsets do not fit it.
SafetensorsFile read_safetensors(const std::string& path);

}  // namespace engraft::io
