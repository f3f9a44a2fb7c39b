#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/row_writer.h"

namespace engraft::store {

/// The elements of a store's arrays, in the words of store.json and --dtype: "float32" or "float16", in .npy files, or
/// "bfloat16", which NumPy does not know, in .safetensors files.
enum class FeatureType { kFloat32, kFloat16, kBfloat16 };

std::string to_text(FeatureType type);
/// The reverse. Throws UsageError for other text.
FeatureType feature_type_from_text(const std::string& text);
/// LibTorch's word for it.
c10::ScalarType scalar_type(FeatureType type);
/// ".npy" or ".safetensors".
std::string shard_extension(FeatureType type);

/// A new shard. Throws SystemError.
std::unique_ptr<io::RowWriter> make_shard_writer(const std::string& path, FeatureType type,
                                                 const std::vector<int64_t>& row_shape);

/// An open shard. Not thread-safe.
class ShardReader {
 public:
  virtual ~ShardReader() = default;
  /// What the file says it holds, [N, row_shape…].
  virtual const std::vector<int64_t>& shape() const = 0;
  /// Reads `size` bytes of the elements from byte `offset` of them on. Throws DataError.
  virtual void read(int64_t offset, int64_t size, void* out) const = 0;
};

/// Throws DataError "PATH: …" for a file that is none, or holds another type.
std::unique_ptr<ShardReader> open_shard(const std::string& path, FeatureType type);

}  // namespace engraft::store
