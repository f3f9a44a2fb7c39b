#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/activation_rows.h"

namespace engraft::store {

/// Rows with what could not be computed: index into the order that the rows were asked for, and the reason.
struct CachedRows {
  ActivationRows rows;
  std::vector<std::pair<int64_t, std::string>> bad;
};

/// Takes rows batch by batch. Throws SystemError when memory or disk refuse.
class RowsWriter {
 public:
  virtual ~RowsWriter() = default;
  /// Appends `output` [B, …]; all have the layout of the first.
  virtual void append(const at::Tensor& output) = 0;
  /// To be called once, at the end.
  virtual CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) = 0;
};

/// Up to `capacity` rows in the memory of `device`.
std::unique_ptr<RowsWriter> make_memory_writer(int64_t capacity, const c10::Device& device);

}  // namespace engraft::store
