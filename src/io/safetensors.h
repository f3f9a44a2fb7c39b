#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/row_writer.h"

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

/// A file of one tensor.
class SafetensorsRowWriter : public RowWriter {
 public:
  /// `dtype` as in TensorView, `item_bytes` of one element. Throws SystemError when the file cannot be made.
  SafetensorsRowWriter(const std::string& path, std::string name, std::string dtype, int64_t item_bytes,
                       const std::vector<int64_t>& row_shape);

  void append(const void* data, int64_t rows) override;
  int64_t rows() const override { return rows_; }
  int64_t row_bytes() const override { return row_bytes_; }
  void commit() override;

 private:
  std::string header(int64_t rows) const;

  AtomicFile file_;
  std::string name_, dtype_;
  std::vector<int64_t> row_shape_;
  int64_t row_bytes_ = 0;
  size_t header_bytes_ = 0;
  int64_t rows_ = 0;
};

/// A tensor of a file that was read.
struct TensorEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  /// Where its bytes begin in the file (and in SafetensorsFile::bytes), and how many they are.
  int64_t offset = 0;
  int64_t bytes = 0;
};

struct SafetensorsFile {
  /// The whole file.
  std::string bytes;
  /// In the order of their bytes.
  std::vector<TensorEntry> tensors;
};

/// The tensors of a file in the order of their bytes, without reading these. Throws as read_safetensors.
std::vector<TensorEntry> list_safetensors(const std::string& path);

/// Throws DataError "PATH: …" for what is no such file, or one whose offsets do not fit it.
SafetensorsFile read_safetensors(const std::string& path);

}  // namespace engraft::io
