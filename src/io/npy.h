#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/row_writer.h"

namespace engraft::io {

// NumPy's array file, as numpy.lib.format documents it (NEP 1): the magic "\x93NUMPY", two version bytes, the length of
// the header (2 bytes little-endian in version 1.0, 4 in 2.0 and 3.0), the header, a Python dict literal with the keys
// 'descr', 'fortran_order' and 'shape', padded with spaces and ended by "\n" so that the data begin at a multiple of
// 64; then the elements in C order. Written: version 1.0. Read: 1.0, 2.0 and 3.0, little-endian, C order, plain
// numbers.

/// The bytes of one element of `dtype` ('<f4', '<f2', '<i8', '|u1', '|b1', …). Throws DataError "WHERE: …" for what is
/// not a plain little-endian number.
int64_t npy_item_bytes(const std::string& dtype, const std::string& where);

class NpyWriter : public RowWriter {
 public:
  /// An empty `row_shape` makes the array [N]. Throws SystemError when the file cannot be made.
  NpyWriter(const std::string& path, const std::string& dtype, const std::vector<int64_t>& row_shape);

  void append(const void* data, int64_t rows) override;
  /// Reads back `rows` rows from `first` on, before commit(). Throws SystemError.
  void read(int64_t first, int64_t rows, void* out) const;
  int64_t rows() const override { return rows_; }
  int64_t row_bytes() const override { return row_bytes_; }
  void commit() override;

 private:
  std::string header(int64_t rows) const;

  AtomicFile file_;
  std::string dtype_;
  std::vector<int64_t> row_shape_;
  int64_t row_bytes_;
  int64_t data_offset_ = 0;
  int64_t rows_ = 0;
};

/// An open array file; rows are read where they are wanted, so that an array larger than memory can be used.
/// Not thread-safe.
class NpyReader {
 public:
  /// Throws DataError "PATH: …" for a file that is not such an array, or whose size is not what its header says.
  explicit NpyReader(const std::string& path);
  ~NpyReader();
  NpyReader(const NpyReader&) = delete;
  NpyReader& operator=(const NpyReader&) = delete;

  const std::string& dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  /// Where the elements begin in the file.
  int64_t data_offset() const { return data_offset_; }
  /// Of all elements together.
  int64_t data_bytes() const { return data_bytes_; }
  /// Reads `size` bytes of the data from byte `offset` of the data on.
  void read(int64_t offset, int64_t size, void* out) const;

 private:
  void open();

  std::string path_;
  int descriptor_ = -1;
  std::string dtype_;
  std::vector<int64_t> shape_;
  int64_t data_offset_ = 0;
  int64_t data_bytes_ = 0;
};

/// The elements of an array file, mapped read-only: pages come in as they are touched, and may be dropped again.
class NpyMap {
 public:
  /// Throws DataError as NpyReader does, SystemError when the file cannot be mapped.
  explicit NpyMap(const std::string& path);
  ~NpyMap();
  NpyMap(const NpyMap&) = delete;
  NpyMap& operator=(const NpyMap&) = delete;

  const std::string& dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  /// The elements in C order, 64-byte aligned where the writer was NpyWriter.
  const void* data() const { return static_cast<const char*>(mapping_) + data_offset_; }

 private:
  std::string dtype_;
  std::vector<int64_t> shape_;
  int64_t data_offset_ = 0;
  void* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
};

/// A whole array in memory.
struct NpyArray {
  std::string dtype;
  std::vector<int64_t> shape;
  /// The elements in C order.
  std::vector<uint8_t> bytes;
};

/// Throws DataError as NpyReader does.
NpyArray read_npy(const std::string& path);

}  // namespace engraft::io
