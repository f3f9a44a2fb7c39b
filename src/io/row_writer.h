#pragma once

#include <cstdint>

namespace engraft::io {

/// Writes an array [N, row_shape…] row by row; N need not be known before. The file appears at commit().
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  /// Appends `rows` rows of row_bytes() each, little-endian. Throws SystemError.
  virtual void append(const void* data, int64_t rows) = 0;
  virtual int64_t rows() const = 0;
  virtual int64_t row_bytes() const = 0;
  /// Puts the number of rows into the header, then AtomicFile::commit(). Throws SystemError.
  virtual void commit() = 0;
};

}  // namespace engraft::io
