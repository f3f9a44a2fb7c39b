#include "store/rows_writer.h"

#include <ATen/ATen.h>

namespace engraft::store {

namespace {

class MemoryWriter : public RowsWriter {
 public:
  MemoryWriter(int64_t capacity, const c10::Device& device) : capacity_(capacity), device_(device) {}

  void append(const at::Tensor& output) override {
    if (!flat_.defined()) {
      layout_ = layout_of(output);
      flat_ = at::empty({capacity_, layout_.elements()}, output.options().device(device_));
    }
    flat_.narrow(0, rows_, output.size(0)).copy_(flat_rows(output, layout_));
    rows_ += output.size(0);
  }

  CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) override {
    if (!flat_.defined()) return {{}, std::move(bad)};
    return {ActivationRows(layout_, flat_.narrow(0, 0, rows_)), std::move(bad)};
  }

 private:
  int64_t capacity_;
  c10::Device device_;
  RowLayout layout_;
  at::Tensor flat_;
  int64_t rows_ = 0;
};

}  // namespace

std::unique_ptr<RowsWriter> make_memory_writer(int64_t capacity, const c10::Device& device) {
  return std::make_unique<MemoryWriter>(capacity, device);
}

}  // namespace engraft::store
