#include "store/shard_file.h"

#include <c10/util/BFloat16.h>

#include <fstream>

#include "base/errors.h"
#include "base/text.h"
#include "io/npy.h"
#include "io/safetensors.h"

namespace engraft::store {

namespace {

// The one tensor of a .safetensors shard.
constexpr const char* kTensor = "features";
constexpr const char* kTensorType = "BF16";

const char* npy_type(FeatureType type) { return type == FeatureType::kFloat32 ? "<f4" : "<f2"; }

class NpyShard : public ShardReader {
 public:
  NpyShard(const std::string& path, FeatureType type) : file_(path) {
    if (file_.dtype() == npy_type(type)) return;
    throw DataError(text::cat(path, ": holds ", file_.dtype(), "; the store says ", npy_type(type)));
  }
  const std::vector<int64_t>& shape() const override { return file_.shape(); }
  void read(int64_t offset, int64_t size, void* out) const override { file_.read(offset, size, out); }

 private:
  io::NpyReader file_;
};

class SafetensorsShard : public ShardReader {
 public:
  explicit SafetensorsShard(const std::string& path) : path_(path), file_(path, std::ios::binary) {
    for (const io::TensorEntry& entry : io::list_safetensors(path)) {
      if (entry.name == kTensor) tensor_ = entry;
    }
    int64_t bytes = sizeof(c10::BFloat16);
    for (const int64_t size : tensor_.shape) {
      if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) bytes = -1;
    }
    if (tensor_.dtype != kTensorType || tensor_.bytes != bytes)
      throw DataError(text::cat(path, ": expected a tensor '", kTensor, "' of ", kTensorType));
  }
  const std::vector<int64_t>& shape() const override { return tensor_.shape; }
  void read(int64_t offset, int64_t size, void* out) const override {
    if (offset < 0 || size < 0 || offset > tensor_.bytes || size > tensor_.bytes - offset)
      throw DataError(text::cat(path_, ": bytes ", offset, " to ", offset + size, " wanted of ", tensor_.bytes));
    file_.clear();
    file_.seekg(tensor_.offset + offset);
    if (!file_.read(static_cast<char*>(out), size)) throw DataError("cannot read " + path_);
  }

 private:
  std::string path_;
  mutable std::ifstream file_;
  io::TensorEntry tensor_;
};

}  // namespace

std::string to_text(FeatureType type) {
  if (type == FeatureType::kFloat32) return "float32";
  return type == FeatureType::kFloat16 ? "float16" : "bfloat16";
}

FeatureType feature_type_from_text(const std::string& text) {
  for (const FeatureType type : {FeatureType::kFloat32, FeatureType::kFloat16, FeatureType::kBfloat16})
    if (text == to_text(type)) return type;
  throw UsageError("dtype: must be float32, float16 or bfloat16, not '" + text + "'");
}

c10::ScalarType scalar_type(FeatureType type) {
  if (type == FeatureType::kFloat32) return c10::ScalarType::Float;
  return type == FeatureType::kFloat16 ? c10::ScalarType::Half : c10::ScalarType::BFloat16;
}

std::string shard_extension(FeatureType type) { return type == FeatureType::kBfloat16 ? ".safetensors" : ".npy"; }

std::unique_ptr<io::RowWriter> make_shard_writer(const std::string& path, FeatureType type,
                                                 const std::vector<int64_t>& row_shape) {
  if (type != FeatureType::kBfloat16) return std::make_unique<io::NpyWriter>(path, npy_type(type), row_shape);
  const auto item_bytes = static_cast<int64_t>(sizeof(c10::BFloat16));
  return std::make_unique<io::SafetensorsRowWriter>(path, kTensor, kTensorType, item_bytes, row_shape);
}

std::unique_ptr<ShardReader> open_shard(const std::string& path, FeatureType type) {
  if (type == FeatureType::kBfloat16) return std::make_unique<SafetensorsShard>(path);
  return std::make_unique<NpyShard>(path, type);
}

}  // namespace engraft::store
