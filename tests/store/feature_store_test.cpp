#include "store/feature_store.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/npy.h"
#include "store/feature_case.h"
#include "store/out_folder.h"
#include "support/support.h"

using namespace engraft;
using store::FeatureStoreOptions;
using store::FeatureStoreReader;
using store::FeatureStoreWriter;
using store::IndexRow;
using test::add;
using test::facts_of;
using test::make_options;
using test::names_in;
using test::row_of;

namespace fs = std::filesystem;

namespace {

/// The store that src/store/FORMAT.md shows.
void write_example(const std::string& folder) {
  FeatureStoreOptions options = make_options(folder, 2);
  options.slice_names = {"site"};
  FeatureStoreWriter writer(options, R"({"backbone_sha256": "edcf…", "pool": "avg"})");
  writer.append(
      {row_of("val/ants/10.jpg", "ants", "val", {"Rome"}), row_of("val/bees/\"b\",1.jpg", "bees", "val", {""})},
      {facts_of(5120), facts_of(48)}, {at::tensor({0.5F, 1.0F, 2.0F, -3.0F}).view({2, 2})});
  writer.skip("val/bees/torn.jpg", "premature end of JPEG data", facts_of(7));
  add(writer, row_of("val/bees/7.jpg", "bees", "val", {"Oslo, harbour"}), {at::tensor({0.25F, 8.0F})}, 9000);
  io::Json meta;
  meta["data"] = {{"digest", "51c3…"}};
  writer.finish(meta);
}

}  // namespace

TEST_CASE("a store is what FORMAT.md shows", "[golden]") {
  test::TempFolder folder;
  write_example(folder / "feats");
  const std::string format = io::read_file(ENGRAFT_SOURCE_DIR "/src/store/FORMAT.md");
  for (const char* name : {"store.json", "index.csv", "files.csv", "skipped.csv"}) {
    const std::string bytes = io::read_file(folder / "feats/" + name);
    INFO(name << ":\n" << bytes);
    CHECK(format.find(text::cat("\n", bytes, "```\n")) != std::string::npos);
  }
  CHECK(names_in(folder / "feats") == std::vector<std::string>{"features-00000.npy", "features-00001.npy", "files.csv",
                                                               "index.csv", "skipped.csv", "store.json"});
  const io::NpyArray shard = io::read_npy(folder / "feats/features-00001.npy");
  CHECK(shard.dtype == "<f4");
  CHECK(shard.shape == std::vector<int64_t>{1, 2});
  CHECK(shard.bytes == std::vector<uint8_t>{0, 0, 0x80, 0x3e, 0, 0, 0, 0x41});
}

TEST_CASE("what is written reads back, whatever the shards", "[unit]") {
  constexpr int64_t kRows = 11;
  for (const int64_t shard_rows : {1, 2, 5, 11, 12, 100}) {
    INFO(shard_rows << " rows a shard");
    test::TempFolder folder;
    FeatureStoreOptions options = make_options(folder / "feats", shard_rows);
    options.taps = {{"a.b#2", {3}}, {"map", {2, 1, 2}}};
    options.slice_names = {"s"};
    std::vector<float> first(kRows * 3);
    std::vector<float> second(kRows * 4);
    std::iota(first.begin(), first.end(), 0.5f);
    std::iota(second.begin(), second.end(), 1000.0f);
    const at::Tensor all_first = at::tensor(first).view({kRows, 3}),
                     all_second = at::tensor(second).view({kRows, 2, 1, 2});
    {
      FeatureStoreWriter writer(options);
      constexpr int64_t kBatch = 4;
      for (int64_t begin = 0; begin < kRows; begin += kBatch) {
        const int64_t count = std::min(kBatch, kRows - begin);
        std::vector<IndexRow> rows;
        for (int64_t i = begin; i < begin + count; ++i)
          rows.push_back(row_of(text::cat("p\xFF\n", i), "l", "", {text::cat("s", i)}));
        writer.append(rows, std::vector<io::FileFacts>(rows.size()),
                      {all_first.narrow(0, begin, count), all_second.narrow(0, begin, count)});
      }
      CHECK(writer.rows() == kRows);
      writer.finish(io::Json::object());
    }
    CHECK(fs::exists(folder / "feats/features.a.b#2-00000.npy"));
    CHECK(!fs::exists(folder / "feats/skipped.csv"));
    const int64_t shards = (kRows + shard_rows - 1) / shard_rows;
    CHECK(static_cast<int64_t>(names_in(folder / "feats").size()) == 2 * shards + 3);
    const FeatureStoreReader reader(folder / "feats");
    CHECK(reader.rows() == kRows);
    CHECK(reader.taps()[1].tap == "map");
    CHECK(reader.taps()[1].row_shape == std::vector<int64_t>{2, 1, 2});
    CHECK(reader.slice_names() == options.slice_names);
    CHECK(reader.index()[10].image_path == "p\xFF\n10");
    CHECK(reader.index()[10].slices == std::vector<std::string>{"s10"});
    CHECK(reader.read_all("a.b#2") == first);
    CHECK(reader.read_all("map") == second);
    for (int64_t begin = 0; begin <= kRows; ++begin) {
      for (int64_t end = begin; end <= kRows; ++end) {
        std::vector<float> part(static_cast<size_t>((end - begin) * 3));
        reader.read("a.b#2", begin, end - begin, part.data());
        CHECK(std::equal(part.begin(), part.end(), first.begin() + begin * 3));
      }
    }
    reader.verify();
    float row[4];
    CHECK_THROWS_AS(reader.read("map", kRows, 1, row), DataError);
    CHECK_THROWS_AS(reader.read("map", -1, 1, row), DataError);
    CHECK_THROWS_WITH(reader.read_all("b"), Catch::EndsWith("feats: no tap 'b'; taps: a.b#2, map"));
  }
}

TEST_CASE("a store without rows keeps its shape", "[unit]") {
  test::TempFolder folder;
  FeatureStoreWriter(make_options(folder / "feats", 4)).finish(io::Json::object());
  const FeatureStoreReader reader(folder / "feats");
  CHECK(reader.rows() == 0);
  CHECK(reader.read_all("mixed_7").empty());
  CHECK(io::read_npy(folder / "feats/features-00000.npy").shape == std::vector<int64_t>{0, 2});
}

TEST_CASE("a folder in use is refused before any work", "[unit]") {
  test::TempFolder folder;
  fs::create_directories(folder / "empty");
  test::put_file(folder / "used/x", "");
  test::put_file(folder / "file", "");
  test::put_file(folder / "run/run.toml", "");
  test::put_file(folder / "done/run.toml", "");
  test::put_file(folder / "done/result.json", "");
  write_example(folder / "store");
  const std::string expected = "; expected a new or empty folder: remove it, or give --out another";
  struct Case {
    const char* name;
    std::string error;
  };
  const std::vector<Case> cases = {
      {"used", "used: is not empty" + expected},
      {"store", "store: holds a feature store" + expected},
      {"run", "run: holds a run that was not finished" + expected},
      {"done", "done: holds a finished run" + expected},
      {"file", "file: exists and is not a folder; expected a new folder"},
  };
  for (const Case& c : cases) {
    CHECK_THROWS_WITH(store::require_free_folder(folder / c.name), Catch::EndsWith(c.error));
    CHECK_THROWS_AS(FeatureStoreWriter(make_options(folder / c.name, 4)), UsageError);
  }
  CHECK(names_in(folder / "used") == std::vector<std::string>{"x"});
  CHECK_NOTHROW(store::require_free_folder(folder / "empty"));
  CHECK_NOTHROW(store::require_free_folder(folder / "none/yet"));
  CHECK_NOTHROW(FeatureStoreWriter(make_options(folder / "none/yet", 4)).finish(io::Json::object()));
}

TEST_CASE("a store that was not finished is none", "[unit]") {
  test::TempFolder folder;
  {
    FeatureStoreWriter writer(make_options(folder / "feats", 1));
    for (const char* name : {"a", "b"}) add(writer, row_of(name), {at::zeros({2})});
  }
  CHECK(names_in(folder / "feats") == std::vector<std::string>{"features-00000.npy", "features-00001.npy",
                                                               "unfinished-files.csv", "unfinished-index.csv",
                                                               "unfinished-skipped.csv", "unfinished.json"});
  CHECK_THROWS_WITH(FeatureStoreReader(folder / "feats"),
                    Catch::Contains("feats: not a feature store, or one that was not finished"));
  CHECK_THROWS_WITH(store::require_free_folder(folder / "feats"),
                    Catch::Contains("feats: holds a feature store that was not finished (embed --resume goes on)"));
}

TEST_CASE("options that make no store are refused", "[unit]") {
  struct Case {
    const char* what;
    std::function<void(FeatureStoreOptions&)> change;
  };
  const std::vector<Case> cases = {
      {"no tap", [](FeatureStoreOptions& o) { o.taps.clear(); }},
      {"two taps of one name", [](FeatureStoreOptions& o) { o.taps.push_back(o.taps[0]); }},
      {"a tap that is a path", [](FeatureStoreOptions& o) { o.taps[0].tap = "../x"; }},
      {"a tap without a name", [](FeatureStoreOptions& o) { o.taps[0].tap.clear(); }},
      {"an empty row", [](FeatureStoreOptions& o) { o.taps[0].row_shape = {0}; }},
      {"no rows a shard", [](FeatureStoreOptions& o) { o.shard_rows = 0; }},
      {"a slice named like a column", [](FeatureStoreOptions& o) { o.slice_names = {"label"}; }},
      {"two slices of one name",
       [](FeatureStoreOptions& o) {
         o.slice_names = {"s", "s"};
       }},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    FeatureStoreOptions options = make_options(folder / "feats", 4);
    c.change(options);
    CHECK_THROWS_AS(FeatureStoreWriter(options), UsageError);
    CHECK(!fs::exists(folder / "feats"));
  }
}

TEST_CASE("rows and keys that do not fit are our own faults", "[unit]") {
  test::TempFolder folder;
  FeatureStoreWriter writer(make_options(folder / "feats", 4));
  const at::Tensor row = at::zeros({2});
  CHECK_THROWS_AS(add(writer, row_of("a"), {row, row}), std::invalid_argument);
  CHECK_THROWS_AS(add(writer, row_of("a"), {at::zeros({3})}), std::invalid_argument);
  CHECK_THROWS_AS(add(writer, row_of("a", "", "", {"slice"}), {row}), std::invalid_argument);
  CHECK(writer.rows() == 0);
  io::Json meta;
  meta["rows"] = 7;
  CHECK_THROWS_AS(writer.finish(meta), std::invalid_argument);
}

TEST_CASE("a damaged store names what is wrong", "[unit]") {
  struct Case {
    const char* what;
    std::function<void(const std::string&)> damage;
    const char* error;
  };
  const auto replace = [](const char* name, const char* from, const char* to) {
    return [=](const std::string& folder) {
      const std::string bytes = io::read_file(folder + "/" + name);
      const std::string changed = text::replace_all(bytes, from, to);
      REQUIRE(changed != bytes);
      io::write_file(folder + "/" + name, changed);
    };
  };
  const std::vector<Case> cases = {
      {"version", replace("store.json", "\"version\": 2", "\"version\": 1"), "store.json: version 1; expected 2"},
      {"format", replace("store.json", "feature store", "thing"),
       "store.json: format 'engraft thing'; expected 'engraft feature store'"},
      {"type", replace("store.json", "float32", "float16"), "features-00000.npy: holds <f4; the store says <f2"},
      {"no type", replace("store.json", "float32", "float8"),
       "store.json: dtype: must be float32, float16 or bfloat16, not 'float8'"},
      {"no key", replace("store.json", "\"taps\"", "\"tips\""), "store.json: no 'taps'"},
      {"wrong kind", replace("store.json", "\"rows\": 3", "\"rows\": \"3\""),
       "store.json: 'rows' is \"3\"; expected a number of 0 or more"},
      {"not JSON", replace("store.json", "{", "["), "store.json"},
      {"row count", replace("store.json", "\"rows\": 3", "\"rows\": 4"), "tap 'mixed_7' has 3 rows; expected 4"},
      {"a shard elsewhere", replace("store.json", "features-00001", "../f"), "shard '../f.npy' is not in the folder"},
      {"huge rows",
       replace("store.json", "\"row_shape\": [\n        2\n", "\"row_shape\": [\n 9000000000,9000000000\n"),
       "row_shape [9000000000, 9000000000] is too large"},
      {"another shape", replace("store.json", "\"row_shape\": [\n        2\n", "\"row_shape\": [\n        3\n"),
       "features-00000.npy: holds [2, 2]; the store says [2, 3]"},
      {"a shard is gone", [](const std::string& folder) { fs::remove(folder + "/features-00001.npy"); },
       "features-00001.npy: No such file or directory"},
      {"a shard is cut", [](const std::string& folder) { fs::resize_file(folder + "/features-00001.npy", 130); },
       "features-00001.npy: <f4 [1, 2] needs 8 bytes of data; found 2"},
      {"the index is short", replace("index.csv", "2,val/bees/7.jpg,bees,val,0,0,,\"Oslo, harbour\"\n", ""),
       "index.csv: 2 rows; the store has 3"},
      {"the index is out of order", replace("index.csv", "1,\"val", "5,\"val"), "index.csv:3: '5'; expected row 1"},
      {"the index lacks a column", replace("index.csv", "view,generation", "generation,view"),
       "index.csv: columns row,image_path,label,split,generation,view,superseded,site; expected row,image_path"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    write_example(folder / "feats");
    CHECK_NOTHROW(FeatureStoreReader(folder / "feats"));
    c.damage(folder / "feats");
    CHECK_THROWS_WITH(FeatureStoreReader(folder / "feats"), Catch::Contains(c.error));
    CHECK_THROWS_AS(FeatureStoreReader(folder / "feats"), DataError);
  }
  CHECK_THROWS_AS(FeatureStoreReader("no/such/store"), DataError);
}

TEST_CASE("a changed byte of a shard is found by verify", "[unit]") {
  test::TempFolder folder;
  write_example(folder / "feats");
  FeatureStoreReader(folder / "feats").verify();
  std::string bytes = io::read_file(folder / "feats/features-00001.npy");
  bytes.back() ^= 1;
  io::write_file(folder / "feats/features-00001.npy", bytes);
  const FeatureStoreReader reader(folder / "feats");
  CHECK_THROWS_WITH(reader.verify(), Catch::Contains("features-00001.npy: its data have the digest"));
}

TEST_CASE("rows are kept in the type that is asked for", "[unit]") {
  const at::Tensor values = at::tensor({1.0F, 3.14159F, -65000.0F, 1e-5F}).view({2, 2});
  for (const store::FeatureType type :
       {store::FeatureType::kFloat32, store::FeatureType::kFloat16, store::FeatureType::kBfloat16}) {
    INFO(store::to_text(type));
    test::TempFolder folder;
    FeatureStoreOptions options = make_options(folder / "feats", 1);
    options.type = type;
    {
      FeatureStoreWriter writer(options);
      writer.append({row_of("a"), row_of("b")}, std::vector<io::FileFacts>(2), {values});
      if (type == store::FeatureType::kFloat16)
        CHECK_THROWS_WITH(add(writer, row_of("c"), {at::tensor({0.0F, 1e6F})}),
                          Catch::Contains("c: gives 1e+06, beyond float16's 65504; use bfloat16 or float32"));
      writer.finish(io::Json::object());
    }
    const FeatureStoreReader reader(folder / "feats");
    reader.verify();
    const at::Tensor expected = values.to(store::scalar_type(type)).to(at::kFloat).flatten();
    CHECK(at::equal(at::tensor(reader.read_all("mixed_7")), expected));
    const bool is_bf16 = type == store::FeatureType::kBfloat16;
    CHECK(fs::exists(folder / (is_bf16 ? "feats/features-00001.safetensors" : "feats/features-00001.npy")));
  }
}
