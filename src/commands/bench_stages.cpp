#include "commands/bench_stages.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "base/errors.h"
#include "base/report.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/embed_rows.h"
#include "data/picture_file.h"
#include "finetune/forward_pass.h"
#include "image/decode.h"
#include "image/transform.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

constexpr double kPeakSeconds = 0.1;
constexpr double kLeastEngineSeconds = 0.5;
constexpr int64_t kWrittenBatches = 8;

/// A store in a folder of its own, which goes when this does.
class ScratchStore {
 public:
  ScratchStore(const std::string& scratch, const std::vector<store::TapShape>& taps) : folder_(scratch + "/store") {
    std::filesystem::remove_all(folder_);
    store::FeatureStoreOptions options;
    options.folder = folder_;
    options.taps = taps;
    writer_ = std::make_unique<store::FeatureStoreWriter>(options);
  }
  ~ScratchStore() {
    writer_.reset();
    std::error_code unknown;
    std::filesystem::remove_all(folder_, unknown);
  }
  ScratchStore(const ScratchStore&) = delete;
  ScratchStore& operator=(const ScratchStore&) = delete;

  void append(const std::vector<store::IndexRow>& rows, const std::vector<at::Tensor>& outputs, model::Pool pool) {
    std::vector<at::Tensor> pooled;
    for (const at::Tensor& output : outputs) pooled.push_back(model::pooled(output, pool).to(at::kCPU));
    writer_->append(rows, std::vector<io::FileFacts>(rows.size()), pooled);
  }
  void finish() { writer_->finish(io::Json::object()); }

 private:
  std::string folder_;
  std::unique_ptr<store::FeatureStoreWriter> writer_;
};

}  // namespace

double Rounds::median() const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Rounds::largest() const { return values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end()); }

double Rounds::smallest() const { return values_.empty() ? 0 : *std::min_element(values_.begin(), values_.end()); }

void Ceilings::measure(int64_t threads) {
  if (arithmetic.empty()) {
    for (const auto precision : {tensor::Precision::kFloat32, tensor::Precision::kBfloat16, tensor::Precision::kInt8})
      arithmetic.push_back({precision, "", {}});
  }
  for (Arithmetic& one : arithmetic) {
    const tensor::Peak peak = tensor::arithmetic_peak(one.precision, threads, kPeakSeconds);
    one.unit = peak.unit;
    if (!peak.unit.empty()) one.ops_per_second.add(peak.ops_per_second);
  }
  copied_bytes_per_second.add(tensor::copy_rate(threads, tensor::uncached_bytes(), kPeakSeconds));
}

void PictureTimes::measure(const data::Listing& listing, const std::vector<int64_t>& rows,
                           const image::Preprocessing& preprocessing) {
  std::vector<uint8_t> square(static_cast<size_t>(preprocessing.size_px) * static_cast<size_t>(preprocessing.size_px) *
                              3);
  const image::DecodeOptions decoding = image::decode_options(preprocessing);
  double seconds_of_read = 0, seconds_of_decode = 0, seconds_of_resize = 0;
  readable.clear();
  unreadable = 0;
  bytes = width_px = height_px = 0;
  std::string last_reason;
  for (const int64_t row : rows) {
    throw_if_stopped("bench");
    try {
      const Stopwatch watch;
      const std::string file = data::read_picture(listing.samples[static_cast<size_t>(row)]);
      const double after_read = watch.seconds();
      const image::Decoded decoded = image::decode(image::ByteSpan(file), decoding);
      const double after_decode = watch.seconds();
      image::preprocess(decoded.picture, preprocessing, square.data());
      seconds_of_resize += watch.seconds() - after_decode;
      seconds_of_decode += after_decode - after_read;
      seconds_of_read += after_read;
      bytes += static_cast<double>(file.size());
      width_px += decoded.info.width_px;
      height_px += decoded.info.height_px;
      readable.push_back(row);
    } catch (const DataError& error) {
      last_reason = listing.samples[static_cast<size_t>(row)].image_path + ": " + error.what();
      ++unreadable;
    }
  }
  if (readable.empty()) throw DataError("none of the pictures can be read; the last: " + last_reason);
  const auto n = static_cast<double>(readable.size());
  read.add(seconds_of_read / n);
  decode.add(seconds_of_decode / n);
  resize.add(seconds_of_resize / n);
  bytes /= n;
  width_px /= n;
  height_px /= n;
}

void NetworkTimes::measure(engine::Engine& network, const std::vector<uint8_t>& pixels, model::Pool pool,
                           const std::vector<store::TapShape>& taps, const std::string& scratch) {
  const int64_t batch = network.options().batch_size;
  const c10::Device device = network.options().device;
  std::vector<at::Tensor> outputs = network.run(pixels.data());  // what slept wakes up
  tensor::synchronize(device);
  int64_t runs = 0;
  const Stopwatch engine_watch;
  do {
    throw_if_stopped("bench");
    outputs = network.run(pixels.data());
    tensor::synchronize(device);
    ++runs;
  } while (engine_watch.seconds() < kLeastEngineSeconds);
  engine.add(engine_watch.seconds() / static_cast<double>(runs * batch));

  store::IndexRow row;
  row.image_path = "picture.jpg";
  const std::vector<store::IndexRow> rows(static_cast<size_t>(batch), row);
  ScratchStore store(scratch, taps);
  const Stopwatch write_watch;
  for (int64_t i = 0; i < kWrittenBatches; ++i) store.append(rows, outputs, pool);
  store.finish();
  write.add(write_watch.seconds() / static_cast<double>(kWrittenBatches * batch));
}

void NetworkTimes::measure_pipeline(engine::Engine& network, const data::Listing& listing,
                                    const std::vector<int64_t>& rows, int64_t loader_threads, model::Pool pool,
                                    const std::vector<store::TapShape>& taps, const std::string& scratch) {
  SilentReporter silent;
  ScratchStore store(scratch, taps);
  const Stopwatch watch;
  finetune::forward_pass(
      listing, rows, network, {loader_threads, "bench"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        std::vector<store::IndexRow> lines;
        for (const int64_t row : good) {
          lines.push_back(index_row_of(listing.samples[static_cast<size_t>(row)]));
          lines.back().slices.clear();
        }
        store.append(lines, outputs, pool);
      },
      silent);
  store.finish();
  pipeline.add(watch.seconds() / static_cast<double>(rows.size()));
}

std::vector<int64_t> whole_batches(std::vector<int64_t> rows, int64_t batch) {
  const auto count = static_cast<int64_t>(rows.size());
  if (count > batch) rows.resize(static_cast<size_t>(count / batch * batch));
  return rows;
}

}  // namespace engraft::commands
