#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace engraft::data {

struct LoaderOptions {
  /// Threads that load. 0: next() loads in the caller's thread. The result does not depend on it.
  int threads = 2;
  int64_t batch_size = 32;
  /// Bytes of one loaded sample, for instance H * W * 3.
  int64_t sample_bytes = 0;
  /// Batches held in memory at once, the one that the caller looks at included. At least 1; with 1 nothing is loaded
  /// ahead.
  int slots_in_flight = 3;
};

/// Fills all sample_bytes at `out` with sample `row`. Called from several threads at a time, for different rows.
/// Throws an Error of ExitCode::kBadInput (a DataError) for a sample that cannot be used.
using LoadFunction = std::function<void(int64_t row, uint8_t* out)>;

struct BadSample {
  int64_t row;
  /// what() of the error.
  std::string reason;
};

struct Batch {
  /// [batch_size, sample_bytes], 64-byte aligned. Rows beyond rows.size() (the last batch keeps the shape) and the rows
  /// of bad samples are zero.
  const uint8_t* data = nullptr;
  /// The samples in the batch, bad ones included, in the loader's order.
  std::vector<int64_t> rows;
  /// Those of `rows` that could not be loaded, in the same order.
  std::vector<BadSample> bad;
};

/// Loads samples ahead of its user, several at a time, and hands them out as batches in a fixed order: the k-th batch
/// holds order[k * batch_size …]. The unit of work is a sample, so one slow picture holds up one thread, not a batch.
/// Memory is bounded by slots_in_flight batches, allocated once. Waiting threads sleep.
///
/// next() is for one thread. The loader does not look at the stop flag (base/stop.h): its user does, between two
/// batches; destruction at any moment waits for the samples being loaded, one a thread, and no more.
class Loader {
 public:
  /// Starts loading. Throws UsageError for options out of range, SystemError when memory or threads are refused.
  Loader(std::vector<int64_t> order, LoadFunction load, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, or nullptr at the end. It stays valid until the following call.
  /// Rethrows what `load` threw, where that is not a bad sample, once the batches before that sample are handed out;
  /// after that the loader is at its end.
  const Batch* next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The seed for all that is drawn at random about one sample in one epoch: a pure function, so that neither thread
/// count nor resuming can change it.
uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t row);

}  // namespace engraft::data
