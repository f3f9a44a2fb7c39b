#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "store/feature_case.h"
#include "store/feature_index.h"
#include "store/feature_store.h"
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

namespace {

/// A store of pictures "0", "1", … where each number says what a picture holds.
class Pictures {
 public:
  std::vector<int64_t> contents;
  /// That cannot be read.
  int64_t torn = -1;

  /// Writes what the store lacks from its `done` on; is cut off before picture `end` of what is lacking.
  void write(FeatureStoreWriter& writer, const std::vector<int64_t>& lacking, int64_t end) const {
    for (int64_t i = writer.done(); i < end; ++i) {
      const int64_t picture = lacking[static_cast<size_t>(i)], content = contents[static_cast<size_t>(picture)];
      const std::string name = std::to_string(picture);
      if (content == torn) {
        writer.skip(name, "torn", facts_of(content));
      } else {
        add(writer, row_of(name, "l"), {at::tensor({static_cast<float>(picture), static_cast<float>(content)})},
            content);
      }
    }
  }
};

std::vector<int64_t> first_numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

/// Every file with its bytes.
std::map<std::string, std::string> bytes_in(const std::string& folder) {
  std::map<std::string, std::string> bytes;
  for (const std::string& name : names_in(folder)) bytes[name] = io::read_file(folder + "/" + name);
  return bytes;
}

constexpr const char* kComputed = R"({"engine": "a"})";

}  // namespace

TEST_CASE("a writing that was cut off anywhere is resumed to the same bytes", "[unit]") {
  constexpr int64_t kPictures = 11;
  Pictures pictures{first_numbers(kPictures), /*torn=*/4};
  const std::vector<int64_t> all = first_numbers(kPictures);
  for (const int64_t shard_rows : {1, 3, 4, 20}) {
    test::TempFolder folder;
    {
      FeatureStoreWriter writer(make_options(folder / "whole", shard_rows), kComputed, store::StoreMode::kResume);
      pictures.write(writer, all, kPictures);
      writer.finish(io::Json::object());
    }
    for (int64_t cut = 0; cut <= kPictures; ++cut) {
      INFO(shard_rows << " rows a shard, cut off before picture " << cut);
      const std::string out = folder / text::cat("cut-", cut);
      {
        FeatureStoreWriter writer(make_options(out, shard_rows), kComputed, store::StoreMode::kResume);
        pictures.write(writer, all, cut);
      }
      if (!names_in(out).empty()) {  // not one whole shard, and nothing is left
        CHECK_THROWS_AS(FeatureStoreWriter(make_options(out, shard_rows), kComputed), UsageError);
      }
      FeatureStoreWriter writer(make_options(out, shard_rows), kComputed, store::StoreMode::kResume);
      CHECK(writer.done() <= cut);
      CHECK(cut - writer.done() <= shard_rows + 1);
      pictures.write(writer, all, kPictures);
      writer.finish(io::Json::object());
      CHECK(bytes_in(out) == bytes_in(folder / "whole"));
    }
  }
}

TEST_CASE("an addition leaves old shards alone and marks the rows of changed pictures", "[unit]") {
  test::TempFolder folder;
  const std::string out = folder / "feats";
  const FeatureStoreOptions options = make_options(out, 4);
  Pictures pictures{{10, 11, 12, 13, 14, 15}, /*torn=*/12};
  {
    FeatureStoreWriter writer(options, kComputed);
    pictures.write(writer, first_numbers(6), 6);
    writer.finish(io::Json::object());
  }
  const auto before = bytes_in(out);
  // Picture 1 holds something else, 2 can be read, 5 cannot any more, 6 and 7 are new.
  pictures = {{10, 21, 22, 13, 14, 25, 16, 17}, /*torn=*/25};
  const std::vector<int64_t> lacking = {1, 2, 5, 6, 7};
  for (const int64_t cut : {0, 2, 5}) {  // cut off before these many
    FeatureStoreWriter writer(options, kComputed, cut == 0 ? store::StoreMode::kAppend : store::StoreMode::kResume);
    CHECK(writer.generation() == 1);
    CHECK(writer.files().size() >= 6);
    pictures.write(writer, lacking, cut);
    if (cut < 5) {
      CHECK(FeatureStoreReader(out).rows() == 5);  // what it was
      continue;
    }
    writer.relabel({row_of("0", "m", "val")});
    writer.finish(io::Json::object());
  }
  for (const auto& [name, bytes] : before) {
    if (text::ends_with(name, ".npy")) CHECK(io::read_file(out + "/" + name) == bytes);
  }
  const FeatureStoreReader reader(out);
  reader.verify();
  CHECK(reader.generations() == 2);
  CHECK(reader.meta()["superseded"] == 2);
  CHECK(reader.meta()["skipped"] == 1);
  CHECK(io::read_file(out + "/skipped.csv") == "image_path,reason\n5,torn\n");
  std::vector<std::string> rows;
  for (const IndexRow& row : reader.index())
    rows.push_back(text::cat(row.image_path, " ", row.label, row.split, " ", row.generation, " ", row.superseded));
  CHECK(rows == std::vector<std::string>{"0 mval 0 -1", "1 l 0 1", "3 l 0 -1", "4 l 0 -1", "5 l 0 1", "1 l 1 -1",
                                         "2 l 1 -1", "6 l 1 -1", "7 l 1 -1"});
  const std::vector<float> features = reader.read_all("mixed_7");
  CHECK(features[2 * 5] == 1);
  CHECK(features[2 * 5 + 1] == 21);
  CHECK(reader.files().size() == 11);
  CHECK(store::newest_files(reader.files()).size() == 8);
}

TEST_CASE("an addition begins behind what another left unfinished", "[unit]") {
  test::TempFolder folder;
  const std::string out = folder / "feats";
  const Pictures pictures{first_numbers(6)};
  {
    FeatureStoreWriter writer(make_options(out, 2), kComputed, store::StoreMode::kAppend);
    pictures.write(writer, first_numbers(6), 5);
  }
  FeatureStoreWriter writer(make_options(out, 2), kComputed, store::StoreMode::kAppend);
  CHECK(writer.rows() == 4);  // two whole shards
  CHECK(writer.generation() == 1);
  CHECK(writer.done() == 0);
  pictures.write(writer, {4, 5}, 2);
  writer.finish(io::Json::object());
  CHECK(FeatureStoreReader(out).rows() == 6);
  CHECK(FeatureStoreReader(out).index()[5].image_path == "5");
}

TEST_CASE("a store of another kind is not gone on with", "[unit]") {
  test::TempFolder folder;
  const std::string out = folder / "feats";
  const Pictures pictures{first_numbers(3)};
  {
    FeatureStoreWriter writer(make_options(out, 1), kComputed);
    pictures.write(writer, first_numbers(3), 2);
  }
  const auto resumed = [&](const char* computed, const char* plan) {
    FeatureStoreWriter(make_options(out, 1), computed, store::StoreMode::kResume).set_plan(plan);
  };
  resumed(kComputed, R"({"data": "x"})");
  CHECK_THROWS_WITH(resumed(R"({"engine": "b"})", "{}"),
                    Catch::Contains("was begun with another engine (\"a\", now \"b\")"));
  CHECK_THROWS_WITH(resumed(R"({"engine": "a", "views": 3})", "{}"), Catch::Contains("another views (none, now 3)"));
  CHECK_THROWS_WITH(resumed("{}", "{}"), Catch::Contains("another engine (\"a\", now none)"));
  CHECK_THROWS_WITH(resumed(kComputed, R"({"data": "y"})"),
                    Catch::Contains("another data (\"x\", now \"y\"); --append keeps its whole shards"));
  FeatureStoreOptions other = make_options(out, 1);
  other.taps = {{"mixed_7", {3}}};
  CHECK_THROWS_WITH(FeatureStoreWriter(other, kComputed, store::StoreMode::kResume),
                    Catch::Contains("has the taps mixed_7 [2]; now mixed_7 [3]"));
  CHECK(store::recorded_computed(out) == R"({"engine":"a"})");
  FeatureStoreWriter writer(make_options(out, 1), kComputed, store::StoreMode::kResume);
  pictures.write(writer, first_numbers(3), 3);
  writer.finish(io::Json::object());
  CHECK_THROWS_WITH(resumed(kComputed, "{}"),
                    Catch::Contains("holds a finished feature store; --append adds to it what is new"));
}

TEST_CASE("a picture whose views were cut short is read anew", "[unit]") {
  test::TempFolder folder;
  FeatureStoreOptions options = make_options(folder / "feats", 2);
  options.has_views = true;
  const auto add_view = [](FeatureStoreWriter& writer, const char* name, int64_t view) {
    IndexRow row = row_of(name);
    row.view = view;
    add(writer, row, {at::zeros({2})});
  };
  {
    FeatureStoreWriter writer(options, kComputed);
    for (const int64_t view : {1, 2, 3}) add_view(writer, "a", view);
    add_view(writer, "b", 1);
  }
  {
    FeatureStoreWriter writer(options, kComputed, store::StoreMode::kResume);
    CHECK(writer.done() == 4);
    add_view(writer, "b", 2);
    add_view(writer, "b", 3);
  }
  FeatureStoreWriter writer(options, kComputed, store::StoreMode::kAppend);
  REQUIRE(writer.files().size() == 1);
  CHECK(writer.files()[0].image_path == "a");
  for (const int64_t view : {1, 2, 3}) add_view(writer, "b", view);
  writer.finish(io::Json::object());
  const FeatureStoreReader reader(folder / "feats");
  CHECK(reader.rows() == 9);
  CHECK(reader.meta()["superseded"] == 3);
  CHECK(reader.index()[2].superseded == -1);
  CHECK(reader.index()[3].superseded == 1);
  CHECK(reader.files().size() == 2);
}

TEST_CASE("a writing that failed before its first shard leaves the folder free", "[unit]") {
  test::TempFolder folder;
  {
    FeatureStoreWriter writer(make_options(folder / "feats", 3), kComputed);
    add(writer, row_of("a"), {at::zeros({2})});
    CHECK_FALSE(names_in(folder / "feats").empty());
  }
  CHECK(names_in(folder / "feats").empty());
}

TEST_CASE("what a kill left at the very end of a writing is taken away", "[unit]") {
  test::TempFolder folder;
  const std::string out = folder / "feats";
  const Pictures pictures{first_numbers(3)};
  {
    FeatureStoreWriter writer(make_options(out, 2), kComputed);
    pictures.write(writer, first_numbers(3), 3);
    writer.finish(io::Json::object());
  }
  const auto whole = bytes_in(out);
  test::put_file(out + "/unfinished-index.csv", "x");
  test::put_file(out + "/features-00002.npy", "x");
  store::remove_leftovers(out);
  CHECK(bytes_in(out) == whole);
  test::put_file(out + "/features-mean.npy", "somebody else's");
  store::remove_leftovers(out);
  CHECK(io::read_file(out + "/features-mean.npy") == "somebody else's");
}
