#include "store/activation_cache.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"
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

int64_t entries(const ActivationCache& cache) {
  return std::distance(fs::directory_iterator(cache.folder()), fs::directory_iterator());
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
  CHECK_FALSE(cache.find(key));
  write_entry(cache, key, 5);
  const auto found = cache.find(key);
  REQUIRE(found);
  CHECK(found->rows.rows() == 5);
  CHECK(at::equal(found->rows.batch(at::tensor({3}, at::kLong)), numbers({5, 2, 3}).narrow(0, 3, 1)));
  REQUIRE(found->bad.size() == 1);
  CHECK(found->bad.front() == std::pair<int64_t, std::string>{7, "cut short"});
  for (const auto& [name, value] : {std::pair<const char*, io::Json>{"cut", "mixed_2"}, {"batch", 33}, {"seed", 1}}) {
    io::Json other = key;
    other[name] = value;
    CHECK_FALSE(cache.find(other));
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
  CHECK_FALSE(cache.find(key));
  write_entry(cache, key, 2);
  REQUIRE(cache.find(key));
  const std::string entry = fs::directory_iterator(cache.folder())->path().string();
  const std::string about = io::read_file(entry + "/cache.json");
  const std::string rows = io::read_file(entry + "/rows.npy");
  io::Json changed = io::parse_json(about, "cache.json");
  changed["version"] = 2;
  io::write_file(entry + "/cache.json", changed.dump());
  CHECK_FALSE(cache.find(key));
  io::write_file(entry + "/cache.json", about.substr(0, about.size() / 2));
  CHECK_FALSE(cache.find(key));
  io::write_file(entry + "/cache.json", about);
  io::write_file(entry + "/rows.npy", rows.substr(0, rows.size() - 4));
  CHECK_FALSE(cache.find(key));
  io::write_file(entry + "/rows.npy", rows);
  CHECK(cache.find(key));
}

TEST_CASE("without a folder there is nothing on disk, and no error", "[unit]") {
  const ActivationCache cache("", 1 << 20);
  CHECK_FALSE(cache.find({{"cut", "a"}}));
  CHECK_FALSE(cache.has_room_for(1));
}

TEST_CASE("the longest unused entries go where the limit asks for it", "[unit]") {
  test::TempFolder folder;
  const ActivationCache large(folder / "cache", 1 << 20);
  for (const char* name : {"a", "b", "c"}) write_entry(large, {{"cut", name}}, 40);
  const auto age = [&](const char* name, int hours) {
    for (const auto& entry : fs::directory_iterator(large.folder())) {
      const io::Json about = io::read_json(entry.path().string() + "/cache.json");
      if (about["key"]["cut"] != name) continue;
      fs::last_write_time(entry.path() / "cache.json", fs::file_time_type::clock::now() - std::chrono::hours(hours));
    }
  };
  age("a", 3);
  age("b", 2);
  age("c", 1);
  REQUIRE(large.find({{"cut", "a"}}));  // used now
  const ActivationCache small(folder / "cache", 4000);
  CHECK_FALSE(small.has_room_for(4001));
  CHECK(small.has_room_for(1000));
  write_entry(small, {{"cut", "d"}}, 40);
  CHECK_FALSE(small.find({{"cut", "b"}}));
  CHECK(small.find({{"cut", "a"}}));
  CHECK(small.find({{"cut", "d"}}));
  CHECK(entries(small) < 4);
}
