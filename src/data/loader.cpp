#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"

namespace engraft::data {

namespace {

constexpr size_t kAlignment = 64;

struct FreeMemory {
  void operator()(uint8_t* memory) const { std::free(memory); }
};

const LoaderOptions& checked(const LoaderOptions& options) {
  const auto require = [](bool holds, const char* name, int64_t value, const char* range) {
    if (!holds) throw UsageError(text::cat("loader: ", name, " is ", value, "; expected ", range));
  };
  require(options.threads >= 0, "threads", options.threads, "0 or more");
  require(options.batch_size >= 1, "batch_size", options.batch_size, "1 or more");
  require(options.sample_bytes >= 1, "sample_bytes", options.sample_bytes, "1 or more");
  require(options.slots_in_flight >= 1, "slots_in_flight", options.slots_in_flight, "1 or more");
  return options;
}

/// The memory of all slots, each beginning at a multiple of kAlignment.
class Slab {
 public:
  Slab(const LoaderOptions& options, int64_t slots) {
    size_t bytes = 0;
    const bool fits = !__builtin_mul_overflow(static_cast<size_t>(options.batch_size),
                                              static_cast<size_t>(options.sample_bytes), &stride_) &&
                      !__builtin_add_overflow(stride_, kAlignment - 1, &stride_) &&
                      !__builtin_mul_overflow(stride_ / kAlignment * kAlignment, static_cast<size_t>(slots), &bytes);
    stride_ = stride_ / kAlignment * kAlignment;
    if (fits && bytes > 0) memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, bytes)));
    if (memory_ == nullptr && slots > 0) {
      throw SystemError(text::cat("no memory for ", text::count_of(slots, "batch", "batches"), " of ",
                                  options.batch_size, " samples of ", options.sample_bytes, " bytes"));
    }
  }
  uint8_t* slot(int64_t index) const { return memory_.get() + static_cast<size_t>(index) * stride_; }

 private:
  size_t stride_ = 0;
  std::unique_ptr<uint8_t, FreeMemory> memory_;
};

/// A failure of one sample that is none of its own: it ends the loading.
struct Failure {
  int64_t position = std::numeric_limits<int64_t>::max();
  std::exception_ptr error;
};

}  // namespace

// Note [Loader]
// Positions in `order` are taken one by one, in order, under the mutex; position p belongs to batch p / batch_size,
// which lives in slot (batch % slots). A position may be taken only while its batch is less than `slots` ahead of the
// oldest batch that is not given back: that bounds the memory, and keeps a slot from being written while it is read.
// After a failure nothing more is taken. As all positions before a failed one were taken before it, the failure with
// the least position does not depend on timing, and every batch before it completes.
struct Loader::Impl {
  Impl(std::vector<int64_t> given_order, LoadFunction given_load, const LoaderOptions& given)
      : order(std::move(given_order)),
        load(std::move(given_load)),
        options(checked(given)),
        batches((count() + options.batch_size - 1) / options.batch_size),
        slots(std::min<int64_t>(options.slots_in_flight, batches)),
        slab(options, slots),
        states(static_cast<size_t>(slots)) {
    for (Slot& slot : states) slot.bad.reserve(static_cast<size_t>(options.batch_size));  // workers allocate nothing
    for (int64_t batch = 0; batch < slots; ++batch) prepare(batch);
    const int64_t threads = std::min<int64_t>(options.threads, count());
    try {
      for (int64_t i = 0; i < threads; ++i) workers.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      stop();
      throw SystemError(text::cat("cannot start thread ", workers.size() + 1, " of ", threads, ": ", error.what()));
    }
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// One batch being filled.
  struct Slot {
    Batch batch;
    int64_t remaining = 0;
    /// Position and reason.
    std::vector<std::pair<int64_t, std::string>> bad;
  };

  int64_t count() const { return static_cast<int64_t>(order.size()); }
  Slot& slot_of(int64_t batch) { return states[static_cast<size_t>(batch % slots)]; }
  uint8_t* memory_of(int64_t position) const {
    return slab.slot(position / options.batch_size % slots) + position % options.batch_size * options.sample_bytes;
  }

  /// Makes the slot of `batch` ready to be filled.
  void prepare(int64_t batch) {
    const int64_t first = batch * options.batch_size;
    const int64_t last = std::min(first + options.batch_size, count());
    Slot& slot = slot_of(batch);
    slot.remaining = last - first;
    slot.bad.clear();
    slot.batch.data = slab.slot(batch % slots);
    slot.batch.rows.assign(order.begin() + first, order.begin() + last);
    slot.batch.bad.clear();
    const int64_t padding = (options.batch_size - slot.remaining) * options.sample_bytes;
    if (padding > 0) {
      uint8_t* begin = slab.slot(batch % slots) + slot.remaining * options.sample_bytes;
      std::memset(begin, 0, static_cast<size_t>(padding));
    }
  }

  bool may_take() const { return next_position < count() && next_position / options.batch_size < oldest_batch + slots; }

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      work_ready.wait(lock, [this] { return stopping || failure.error || next_position == count() || may_take(); });
      if (stopping || failure.error || next_position == count()) return;
      take_one(lock);
    }
  }

  /// Loads the next position; the lock is open meanwhile.
  void take_one(std::unique_lock<std::mutex>& lock) {
    const int64_t position = next_position++;
    ++in_progress;
    lock.unlock();
    std::string reason;
    std::exception_ptr error;
    bool is_bad = false;
    try {
      load(order[static_cast<size_t>(position)], memory_of(position));
    } catch (const Error& caught) {
      is_bad = caught.code() == ExitCode::kBadInput;
      if (is_bad) {
        reason = caught.what();
      } else {
        error = std::current_exception();
      }
    } catch (...) {
      error = std::current_exception();
    }
    if (is_bad) std::memset(memory_of(position), 0, static_cast<size_t>(options.sample_bytes));
    lock.lock();
    --in_progress;
    if (error) {
      if (position < failure.position) failure = {position, error};
      work_ready.notify_all();
    } else {
      Slot& slot = slot_of(position / options.batch_size);
      if (is_bad) slot.bad.emplace_back(position, std::move(reason));
      --slot.remaining;
      if (slot.remaining > 0 && !failure.error) return;
    }
    batch_ready.notify_one();
  }

  const Batch* next() {
    std::unique_lock<std::mutex> lock(mutex);
    if (has_batch_out) {
      has_batch_out = false;
      ++oldest_batch;
      if (oldest_batch + slots - 1 < batches) prepare(oldest_batch + slots - 1);
      work_ready.notify_all();
    }
    if (oldest_batch == batches || ended) return nullptr;
    Slot& slot = slot_of(oldest_batch);
    if (workers.empty()) {
      while (slot.remaining > 0 && !failure.error) take_one(lock);
    } else {
      batch_ready.wait(lock, [&] { return slot.remaining == 0 || (failure.error && in_progress == 0); });
    }
    if (slot.remaining > 0) {
      ended = true;
      std::rethrow_exception(failure.error);
    }
    std::sort(slot.bad.begin(), slot.bad.end());
    for (auto& [position, reason] : slot.bad) {
      slot.batch.bad.push_back({order[static_cast<size_t>(position)], std::move(reason)});
    }
    has_batch_out = true;
    return &slot.batch;
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    work_ready.notify_all();
    for (std::thread& worker : workers) worker.join();
    workers.clear();
  }

  const std::vector<int64_t> order;
  const LoadFunction load;
  const LoaderOptions options;
  const int64_t batches;
  const int64_t slots;
  const Slab slab;

  std::mutex mutex;  // guards all that follows, but for the bytes in the slab
  std::condition_variable work_ready;
  std::condition_variable batch_ready;
  std::vector<Slot> states;
  int64_t next_position = 0;
  int64_t oldest_batch = 0;
  int64_t in_progress = 0;
  bool has_batch_out = false;
  bool stopping = false;
  bool ended = false;
  Failure failure;
  std::vector<std::thread> workers;  // touched by the owner's thread alone
};

Loader::Loader(std::vector<int64_t> order, LoadFunction load, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(order), std::move(load), options)) {}
Loader::~Loader() = default;

const Batch* Loader::next() { return impl_->next(); }

uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t row) {
  return mix(mix(seed, static_cast<uint64_t>(epoch)), static_cast<uint64_t>(row));
}

}  // namespace engraft::data
