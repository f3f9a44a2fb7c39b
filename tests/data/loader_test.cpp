#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <numeric>
#include <set>
#include <thread>

#include "base/errors.h"

using namespace engraft;
using data::Batch;
using data::Loader;
using data::LoaderOptions;

namespace {

constexpr int64_t kBytes = 100;  // not a multiple of the alignment

LoaderOptions make_options(int threads, int64_t batch_size, int slots) {
  LoaderOptions options;
  options.threads = threads;
  options.batch_size = batch_size;
  options.sample_bytes = kBytes;
  options.slots_in_flight = slots;
  return options;
}

std::vector<int64_t> count_to(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

uint8_t value_of(int64_t row) { return static_cast<uint8_t>(row % 251 + 1); }

void fill(int64_t row, uint8_t* out) { std::memset(out, value_of(row), kBytes); }

/// Fills half, then finds every seventh row bad.
void fill_or_fail(int64_t row, uint8_t* out) {
  std::memset(out, value_of(row), row % 7 == 3 ? kBytes / 2 : kBytes);
  if (row % 7 == 3) throw DataError("row " + std::to_string(row) + " is torn");
}

struct Loaded {
  std::vector<std::vector<int64_t>> rows;
  std::vector<std::string> bad;
  std::vector<uint8_t> bytes;
  bool operator==(const Loaded& other) const { return rows == other.rows && bad == other.bad && bytes == other.bytes; }
};

Loaded load_all(Loader& loader, int64_t batch_size) {
  Loaded out;
  while (const Batch* batch = loader.next()) {
    out.rows.push_back(batch->rows);
    for (const auto& bad : batch->bad) out.bad.push_back(std::to_string(bad.row) + ": " + bad.reason);
    out.bytes.insert(out.bytes.end(), batch->data, batch->data + batch_size * kBytes);
  }
  return out;
}

}  // namespace

TEST_CASE("batches hold the order's rows, and zeros for padding and bad rows", "[unit]") {
  const std::vector<int64_t> order = {5, 3, 9, 0, 10, 1, 2};  // 3 and 10 are bad
  for (const int threads : {0, 1, 2, 4}) {
    INFO(threads << " threads");
    Loader loader(order, fill_or_fail, make_options(threads, 4, 2));
    const Batch* batch = loader.next();
    REQUIRE(batch != nullptr);
    CHECK(batch->rows == std::vector<int64_t>{5, 3, 9, 0});
    REQUIRE(batch->bad.size() == 1);
    CHECK(batch->bad[0].row == 3);
    CHECK(batch->bad[0].reason == "row 3 is torn");
    CHECK(reinterpret_cast<uintptr_t>(batch->data) % 64 == 0);
    const auto all_are = [&](int64_t place, uint8_t value) {
      const uint8_t* begin = batch->data + place * kBytes;
      return std::all_of(begin, begin + kBytes, [&](uint8_t byte) { return byte == value; });
    };
    CHECK(all_are(0, value_of(5)));
    CHECK(all_are(1, 0));
    CHECK(all_are(2, value_of(9)));
    CHECK(all_are(3, value_of(0)));
    batch = loader.next();
    REQUIRE(batch != nullptr);
    CHECK(batch->rows == std::vector<int64_t>{10, 1, 2});
    CHECK(batch->bad.size() == 1);
    CHECK(reinterpret_cast<uintptr_t>(batch->data) % 64 == 0);
    CHECK(all_are(0, 0));
    CHECK(all_are(1, value_of(1)));
    CHECK(all_are(2, value_of(2)));
    CHECK(all_are(3, 0));
    CHECK(loader.next() == nullptr);
    CHECK(loader.next() == nullptr);
  }
}

TEST_CASE("the padding of the last batch is zero also where the slot was used before", "[unit]") {
  for (const int threads : {0, 2}) {
    Loader loader(count_to(6), fill, make_options(threads, 4, 1));
    loader.next();
    const Batch* batch = loader.next();
    REQUIRE(batch != nullptr);
    CHECK(batch->data[2 * kBytes - 1] == value_of(5));
    CHECK(std::all_of(batch->data + 2 * kBytes, batch->data + 4 * kBytes, [](uint8_t byte) { return byte == 0; }));
  }
}

TEST_CASE("the result does not depend on threads or slots", "[unit]") {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 997; ++i) order.push_back(i * 613 % 997);
  const auto load = [&](int threads, int slots) {
    Loader loader(order, fill_or_fail, make_options(threads, 16, slots));
    return load_all(loader, 16);
  };
  const Loaded expected = load(0, 1);
  CHECK(expected.rows.size() == 63);
  CHECK(expected.bad.size() == 142);
  for (const int threads : {1, 2, 4}) {
    for (const int slots : {1, 2, 3, 200}) {
      INFO(threads << " threads, " << slots << " slots");
      CHECK(load(threads, slots) == expected);
    }
  }
}

TEST_CASE("sizes at the edges", "[unit]") {
  for (const int threads : {0, 1, 4}) {
    for (const int64_t n : {0, 1, 3, 4, 5, 8}) {
      INFO(threads << " threads, " << n << " samples");
      Loader loader(count_to(n), fill, make_options(threads, 4, 3));
      const Loaded loaded = load_all(loader, 4);
      CHECK(static_cast<int64_t>(loaded.rows.size()) == (n + 3) / 4);
      CHECK(static_cast<int64_t>(loaded.bytes.size()) == (n + 3) / 4 * 4 * kBytes);
    }
  }
}

TEST_CASE("no more than the slots' samples are loaded ahead, and as many", "[unit]") {
  constexpr int64_t kBatch = 4;
  constexpr int kSlots = 3;
  constexpr int64_t kCount = 80;
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> started{0};
  std::atomic<bool> is_over{false};
  const auto load = [&](int64_t row, uint8_t* out) {
    // In the k-th call of next(), k - 1 batches have been given back.
    if (row / kBatch >= std::max<int64_t>(calls - 1, 0) + kSlots) is_over = true;
    ++started;
    fill(row, out);
  };
  Loader loader(count_to(kCount), load, make_options(4, kBatch, kSlots));
  for (;;) {
    ++calls;
    if (loader.next() == nullptr) break;
    // While this batch is looked at, the others fill up to the bound; without loading ahead this would not end.
    while (started < std::min(kCount, (calls - 1 + kSlots) * kBatch)) std::this_thread::yield();
  }
  CHECK(!is_over);
  CHECK(started == kCount);
}

TEST_CASE("the unit of work is a sample: two threads share a batch", "[unit]") {
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;
  bool met = true;
  const auto load = [&](int64_t row, uint8_t* out) {
    fill(row, out);
    std::unique_lock<std::mutex> lock(mutex);
    ++inside;
    changed.notify_all();
    // The limit only keeps a broken loader from hanging the test.
    if (!changed.wait_for(lock, std::chrono::seconds(60), [&] { return inside >= 2; })) met = false;
  };
  Loader loader(count_to(2), load, make_options(2, 2, 1));
  CHECK(loader.next() != nullptr);
  CHECK(met);
}

TEST_CASE("what is not a bad sample is thrown in its turn", "[unit]") {
  struct Case {
    const char* what;
    std::function<void()> raise;
    std::function<bool(std::exception_ptr)> is_it;
  };
  const auto is_a = [](auto* type) {
    return [type](std::exception_ptr error) {
      try {
        std::rethrow_exception(error);
      } catch (const std::remove_pointer_t<decltype(type)>&) {
        return true;
      } catch (...) {
      }
      return false;
    };
  };
  const std::vector<Case> cases = {
      {"memory", [] { throw std::bad_alloc(); }, is_a(static_cast<std::bad_alloc*>(nullptr))},
      {"system", [] { throw SystemError("too many open files"); }, is_a(static_cast<SystemError*>(nullptr))},
      {"stop", [] { throw Stopped(ExitCode::kInterrupted, "stopped"); }, is_a(static_cast<Stopped*>(nullptr))},
      {"no exception class at all", [] { throw 7; }, is_a(static_cast<int*>(nullptr))},
  };
  for (const Case& c : cases) {
    for (const int threads : {0, 1, 2, 4}) {
      INFO(c.what << ", " << threads << " threads");
      const auto load = [&](int64_t row, uint8_t* out) {
        if (row == 9) c.raise();
        fill(row, out);
      };
      Loader loader(count_to(40), load, make_options(threads, 4, 3));
      CHECK(loader.next() != nullptr);
      CHECK(loader.next() != nullptr);
      std::exception_ptr caught;
      try {
        loader.next();
      } catch (...) {
        caught = std::current_exception();
      }
      REQUIRE(caught != nullptr);
      CHECK(c.is_it(caught));
      CHECK(loader.next() == nullptr);
    }
  }
}

TEST_CASE("of two failures the first in order is thrown", "[unit]") {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> arrived{0};
    // Row 2 fails only after row 3 has been begun by another thread.
    const auto load = [&](int64_t row, uint8_t* out) {
      if (row == 3) {
        arrived = 1;
        throw std::runtime_error("second");
      }
      if (row == 2) {
        while (arrived == 0) std::this_thread::yield();
        throw std::runtime_error("first");
      }
      fill(row, out);
    };
    Loader loader(count_to(16), load, make_options(4, 2, 4));
    CHECK(loader.next() != nullptr);
    CHECK_THROWS_WITH(loader.next(), "first");
  }
}

TEST_CASE("a loader can be dropped at any moment", "[unit]") {
  for (const int threads : {0, 1, 4}) {
    for (int taken = 0; taken < 4; ++taken) {
      INFO(threads << " threads, after " << taken);
      std::atomic<int> active{0};
      std::atomic<int> started{0};
      {
        const auto load = [&](int64_t row, uint8_t* out) {
          ++active;
          ++started;
          fill(row, out);
          --active;
        };
        Loader loader(count_to(1000), load, make_options(threads, 8, 2));
        for (int i = 0; i < taken; ++i) REQUIRE(loader.next() != nullptr);
      }
      CHECK(active == 0);
      CHECK(started <= (std::max(taken - 1, 0) + 2) * 8);
    }
  }
}

TEST_CASE("options out of range are refused by name", "[unit]") {
  struct Case {
    LoaderOptions options;
    const char* error;
  };
  LoaderOptions no_bytes = make_options(1, 1, 1);
  no_bytes.sample_bytes = 0;
  const std::vector<Case> cases = {
      {make_options(-1, 1, 1), "loader: threads is -1; expected 0 or more"},
      {make_options(1, 0, 1), "loader: batch_size is 0; expected 1 or more"},
      {make_options(1, 1, 0), "loader: slots_in_flight is 0; expected 1 or more"},
      {no_bytes, "loader: sample_bytes is 0; expected 1 or more"},
  };
  for (const Case& c : cases) CHECK_THROWS_WITH(Loader(count_to(2), fill, c.options), c.error);
  LoaderOptions huge = make_options(1, int64_t{1} << 40, 2);
  huge.sample_bytes = int64_t{1} << 30;
  CHECK_THROWS_AS(Loader(count_to(2), fill, huge), SystemError);
}

TEST_CASE("a sample's seed depends on each of its three parts", "[unit]") {
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      for (int64_t row = 0; row < 100; ++row) seeds.insert(data::sample_seed(seed, epoch, row));
    }
  }
  CHECK(seeds.size() == 10000);
  CHECK(data::sample_seed(42, 3, 17) == data::sample_seed(42, 3, 17));
}
