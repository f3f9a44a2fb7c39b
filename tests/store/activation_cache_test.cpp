#include "store/activation_cache.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "support/file_size_limit.h"
#include "support/support.h"

using namespace engraft;
using store::ActivationCache;

namespace fs = std::filesystem;

namespace {

at::Tensor numbers(std::vector<int64_t> sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return at::arange(count, at::kFloat).view(sizes);
}

/// An entry of `rows` rows [2, 3], and one bad picture.
void write_entry(const ActivationCache& cache, const io::Json& key, int64_t rows) {
  const auto writer = cache.begin(key, rows * 24);
  writer->append(numbers({rows, 2, 3}));
  writer->finish({{7, "cut short"}});
}

int64_t entries(const ActivationCache& cache) { return static_cast<int64_t>(store::entries_in(cache.folder()).size()); }

std::string only_entry(const ActivationCache& cache) {
  const auto all = store::entries_in(cache.folder());
  REQUIRE(all.size() == 1);
  return all.front().path.string();
}

}  // namespace

TEST_CASE("rows come back as batches with the strides of what a network gave", "[unit]") {
  const at::Tensor map = numbers({6, 5, 4, 3});
  for (const at::Tensor& given : {map, map.contiguous(at::MemoryFormat::ChannelsLast), numbers({6, 5})}) {
    const store::RowLayout layout = store::layout_of(given);
    const store::ActivationRows rows(layout, store::flat_rows(given, layout));
    const at::Tensor batch = rows.batch(at::tensor({4, 0, 4}, at::kLong));
    CHECK(at::equal(batch, given.index_select(0, at::tensor({4, 0, 4}, at::kLong))));
    CHECK(batch.strides() == given.narrow(0, 0, 3).strides());
    CHECK(at::equal(rows.slice(2, 3).batch(at::tensor({1}, at::kLong)), given.narrow(0, 3, 1)));
  }
  const store::RowLayout layout = store::layout_of(map);
  CHECK_THROWS_WITH(store::flat_rows(numbers({2, 5, 4, 4}), layout), Catch::Contains("[5, 4, 4]"));
}

TEST_CASE("an entry is found by its key and by no other", "[unit]") {
  test::TempFolder folder;
  const ActivationCache cache(folder / "cache", 1 << 20);
  const io::Json key = {{"cut", "mixed_1"}, {"mean", {0.485, 0.456, 0.406}}, {"batch", 32}};
  CHECK_FALSE(cache.find(key).rows);
  write_entry(cache, key, 5);
  const auto found = cache.find(key).rows;
  REQUIRE(found);
  CHECK(found->rows.rows() == 5);
  CHECK(at::equal(found->rows.batch(at::tensor({3}, at::kLong)), numbers({5, 2, 3}).narrow(0, 3, 1)));
  REQUIRE(found->bad.size() == 1);
  CHECK(found->bad.front() == std::pair<int64_t, std::string>{7, "cut short"});
  for (const auto& [name, value] : {std::pair<const char*, io::Json>{"cut", "mixed_2"}, {"batch", 33}, {"seed", 1}}) {
    io::Json other = key;
    other[name] = value;
    CHECK_FALSE(cache.find(other).rows);
  }
}

TEST_CASE("an entry that is not whole, or of another version, is none", "[unit]") {
  test::TempFolder folder;
  const ActivationCache cache(folder / "cache", 1 << 20);
  const io::Json key = {{"cut", "a"}};
  {
    const auto writer = cache.begin(key, 100);
    writer->append(numbers({2, 2, 3}));  // never finished
  }
  CHECK_FALSE(cache.find(key).rows);
  write_entry(cache, key, 2);
  REQUIRE(cache.find(key).rows);
  const std::string entry = only_entry(cache);
  const std::string about = io::read_file(entry + "/cache.json");
  const std::string rows = io::read_file(entry + "/rows.npy");
  const auto find = [&](const std::string& about_now, const std::string& rows_now) {
    fs::create_directories(entry);
    io::write_file(entry + "/cache.json", about_now);
    io::write_file(entry + "/rows.npy", rows_now);
    return cache.find(key);
  };
  for (const char* missing : {"version", "xxh3_128"}) {
    INFO(missing);
    io::Json changed = io::parse_json(about, "cache.json");
    changed[missing] = 2;
    if (std::string(missing) == "xxh3_128") changed.erase(missing);  // as it was before there were digests
    const auto found = find(changed.dump(), rows);
    CHECK_FALSE(found.rows);
    CHECK_FALSE(found.is_damaged);
  }
  CHECK(find(about, rows).rows);

  std::string flipped = rows, other_bad = about;
  flipped[flipped.size() - 3] ^= 4;
  other_bad.replace(other_bad.find("cut short"), 3, "put");
  for (const auto& [about_now, rows_now] : {std::pair{about.substr(0, about.size() / 2), rows},
                                            {about, rows.substr(0, rows.size() - 4)},
                                            {about, flipped},
                                            {about, rows + "more"},
                                            {other_bad, rows}}) {
    const auto found = find(about_now, rows_now);
    CHECK_FALSE(found.rows);
    CHECK(found.is_damaged);
    CHECK_FALSE(fs::exists(entry));
  }
  CHECK(find(about, rows).rows);
  fs::remove(entry + "/rows.npy");
  CHECK_FALSE(cache.find(key).is_damaged);
}

TEST_CASE("entries that others are writing stay and count; what was left behind goes", "[unit]") {
  test::TempFolder folder;
  const ActivationCache cache(folder / "cache", 3000), other(folder / "cache", 3000);
  write_entry(other, {{"cut", "old"}}, 10);
  const std::string left = cache.folder() + "/" + std::string(32, 'a') + ".tmp-1-0";
  test::put_file(left + "/rows.npy", "x");
  test::put_file(left + "/lock", "1000");
  auto writer = cache.begin({{"cut", "a"}}, 2400);
  CHECK_FALSE(fs::exists(left));
  CHECK_THAT(other.refusal(1000), Catch::Contains("beside what other runs are writing"));
  CHECK(other.refusal(500).empty());
  CHECK_THROWS_WITH(other.begin({{"cut", "b"}}, 1000), Catch::Contains("--cache-limit"));
  const auto same = other.begin({{"cut", "a"}}, 500);  // the same rows: whoever comes first
  for (const auto& one : {&*writer, &*same}) one->append(numbers({2, 2, 3}));
  CHECK(at::equal(writer->finish({}).rows.batch(at::tensor({1}, at::kLong)), numbers({2, 2, 3}).narrow(0, 1, 1)));
  writer.reset();
  CHECK(cache.find({{"cut", "a"}}).rows);
  CHECK(same->finish({}).rows.rows() == 2);
  CHECK(cache.find({{"cut", "a"}}).rows);
  CHECK(fs::exists(only_entry(cache) + "/rows.npy"));
}

TEST_CASE("a writer whose disk is full gives back what it took, and leaves nothing", "[unit]") {
  test::TempFolder folder;
  const ActivationCache cache(folder / "cache", 1 << 20);
  const at::Tensor all = numbers({90, 4, 3, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto memory = store::make_memory_writer(90, at::kCPU);
  {
    const auto writer = cache.begin({{"cut", "a"}}, all.nbytes());
    {
      const test::FileSizeLimit limit(6000);
      writer->append(all.narrow(0, 0, 50));
      CHECK_THROWS_AS(writer->append(all.narrow(0, 50, 40)), SystemError);
    }
    writer->copy_to(*memory);
  }
  memory->append(all.narrow(0, 50, 40));
  CHECK(at::equal(memory->finish({}).rows.batch(at::arange(90, at::kLong)), all));
  CHECK(entries(cache) == 0);
}

TEST_CASE("a place is refused with its reason, and a relative one is none", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "file", "x");
  CHECK_THAT(ActivationCache(folder / "file/activations", 1 << 20).refusal(1), Catch::Contains("Not a directory"));
  CHECK_THROWS_AS(ActivationCache(folder / "file/activations", 1 << 20).begin({{"cut", "a"}}, 1), SystemError);
  CHECK(ActivationCache("no-such-folder", 1 << 20).refusal(1).empty());
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  CHECK_THAT(ActivationCache(folder / "cache", kMost).refusal(int64_t{1} << 60), Catch::Contains("free)"));
  CHECK(store::cache_limit_bytes(0) == 0);
  CHECK(store::cache_limit_bytes(0.5) == 1 << 29);
  for (const double gib : {1e10, 1e300}) CHECK(store::cache_limit_bytes(gib) == kMost);
}

TEST_CASE("without a folder there is nothing on disk, and no error", "[unit]") {
  const ActivationCache cache("", 1 << 20);
  CHECK_FALSE(cache.find({{"cut", "a"}}).rows);
  CHECK_THAT(cache.refusal(1), Catch::Contains("--cache-dir"));
}

TEST_CASE("the longest unused entries go where the limit asks for it", "[unit]") {
  test::TempFolder folder;
  const ActivationCache large(folder / "cache", 1 << 20);
  for (const char* name : {"a", "b", "c"}) write_entry(large, {{"cut", name}}, 40);
  const auto age = [&](const char* name, int hours) {
    for (const store::CacheEntry& entry : store::entries_in(large.folder())) {
      const io::Json about = io::read_json(entry.path.string() + "/cache.json");
      if (about["key"]["cut"] != name) continue;
      fs::last_write_time(entry.path / "cache.json", fs::file_time_type::clock::now() - std::chrono::hours(hours));
    }
  };
  age("a", 3);
  age("b", 2);
  age("c", 1);
  REQUIRE(large.find({{"cut", "a"}}).rows);  // used now
  const ActivationCache small(folder / "cache", 4000);
  CHECK(small.refusal(4001) == "more than --cache-limit allows");
  CHECK(small.refusal(1000).empty());
  write_entry(small, {{"cut", "d"}}, 40);
  CHECK_FALSE(small.find({{"cut", "b"}}).rows);
  CHECK(small.find({{"cut", "a"}}).rows);
  CHECK(small.find({{"cut", "d"}}).rows);
  CHECK(entries(small) < 4);
}
