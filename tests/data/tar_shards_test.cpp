#include "data/tar_shards.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "base/errors.h"
#include "base/text.h"
#include "data/listing_case.h"
#include "data/picture_file.h"
#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;
using data::Listing;
using data::Sample;
using test::error_of;
using test::unlabelled;
using Strings = std::vector<std::string>;

namespace {

/// NAME, an archive of `members`: names and bytes, in this order, made by tar(1).
void put_tar(const test::TempFolder& folder, const std::string& name,
             const std::vector<std::pair<std::string, std::string>>& members, const std::string& format = "gnu") {
  std::filesystem::create_directories(std::filesystem::path(folder / name).parent_path());
  std::string list;
  for (const auto& [member, bytes] : members) {
    test::put_file(folder / "members/" + member, bytes);
    list += " '" + member + "'";
  }
  const std::string command =
      text::cat("tar -C '", folder / "members", "' --format=", format, " -cf '", folder / name, "'", list);
  if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
}

Strings lines_of(const Listing& listing) {
  Strings lines;
  for (const Sample& sample : listing.samples)
    lines.push_back(text::cat(sample.image_path, " ", sample.split, " ", sample.label_name, " ", sample.label));
  return lines;
}

}  // namespace

TEST_CASE("archives are listed in their order, with labels and splits, and pictures read where they lie", "[unit]") {
  const test::TempFolder folder;
  const std::string long_name = "deep/" + std::string(150, 'k') + ".jpg";
  put_tar(folder, "s/birds-train-001.tar",
          {{"b.jpg", "bytes of b"}, {"b.cls", "wren\n"}, {"b.json", "{}"}, {"a.cls", "owl"}, {"a.png", ""}});
  put_tar(folder, "s/birds-train-000.tar", {{long_name, std::string(2000, 'x')}, {"lonely.txt", "?"}});
  put_tar(folder, "s/birds_val_000.tar", {{"c.v2.jpg", "ccc"}, {"c.cls", "owl"}}, "pax");
  const Listing listing = data::list_data(folder / "s", unlabelled());
  CHECK(listing.kind == "shards");
  CHECK(lines_of(listing) == Strings{"birds-train-000.tar/" + long_name + " train  -1",
                                     "birds-train-001.tar/b.jpg train wren 1", "birds-train-001.tar/a.png train owl 0",
                                     "birds_val_000.tar/c.v2.jpg val owl 0"});
  REQUIRE_FALSE(listing.notes.empty());
  CHECK(listing.notes.front() == "1 file of the archives without a picture of the same key left out");
  CHECK(data::read_picture(listing.samples[0]) == std::string(2000, 'x'));
  CHECK(data::read_picture(listing.samples[1]) == "bytes of b");
  CHECK(data::read_picture(listing.samples[2]).empty());
  CHECK(data::read_picture(listing.samples[3]) == "ccc");
  CHECK(data::look_at_picture(listing.samples[1]).bytes == 10);

  const Listing one = data::list_data(folder / "s/birds-train-{000..001}.tar", unlabelled());
  CHECK(one.samples.size() == 3);
  CHECK(data::list_data(folder / "s/birds_val_000.tar", unlabelled()).samples.size() == 1);
  std::filesystem::resize_file(folder / "s/birds-train-001.tar", 515);
  CHECK_THROWS_AS(data::read_picture(listing.samples[1]), DataError);
  CHECK(data::look_at_picture(listing.samples[1]).bytes == -1);
}

TEST_CASE("names of members are taken as they are, in any encoding", "[unit]") {
  const test::TempFolder folder;
  const std::string umlaut = "gr\xC3\xBCn.jpg", latin = "gr\xFCn.jpg";
  for (const char* format : {"gnu", "pax", "ustar"}) {
    INFO(format);
    put_tar(folder, "n.tar", {{umlaut, "u"}, {latin, "l"}}, format);
    const Listing listing = data::list_data(folder / "n.tar", unlabelled());
    REQUIRE(listing.samples.size() == 2);
    CHECK(listing.samples[0].image_path == "n.tar/" + umlaut);
    CHECK(listing.samples[1].image_path == "n.tar/" + latin);
    CHECK(data::read_picture(listing.samples[1]) == "l");
  }
}

TEST_CASE("an archive that was appended to holds the last of a name, and links are told of", "[unit]") {
  const test::TempFolder folder;
  put_tar(folder, "a.tar", {{"x.jpg", "old"}, {"y.jpg", "y"}});
  const Listing before = data::list_data(folder / "a.tar", unlabelled());
  test::put_file(folder / "members/x.jpg", "newer");
  const std::string in_members = "cd '" + folder / "members" + "' && ";
  REQUIRE(std::system((in_members + "ln y.jpg z.jpg && tar -rf ../a.tar x.jpg y.jpg z.jpg").c_str()) == 0);
  const Listing after = data::list_data(folder / "a.tar", unlabelled());
  REQUIRE(after.samples.size() == 2);
  CHECK(data::read_picture(after.samples[0]) == "newer");
  CHECK(after.notes == Strings{"1 link in the archives left out"});
  CHECK_THROWS_WITH(data::read_picture(before.samples[1]), Catch::Contains("was changed since it was listed"));
  CHECK(data::look_at_picture(before.samples[1]).bytes == -1);
}

TEST_CASE("archives are trained on by the labels that they hold", "[unit]") {
  const test::TempFolder folder;
  put_tar(folder, "m/birds-train2017.tar", {{"a.jpg", "a"}, {"a.cls", "owl; wren"}, {"b.jpg", "b"}, {"b.cls", "owl"}});
  put_tar(folder, "m/birds-val2017.tar", {{"c.jpg", "c"}, {"c.cls", "wren"}});
  put_tar(folder, "m/birds-test2017.tar", {{"d.jpg", "d"}});
  data::ListingOptions several;
  several.target = Target::kMultiLabel;
  const Listing birds = data::list_data(folder / "m", several);
  CHECK(birds.classes == Strings{"owl", "wren"});
  CHECK(data::rows_of(birds, "train").size() == 2);
  CHECK(data::rows_of(birds, "val").size() == 1);
  const auto of_train = data::rows_of(birds, "train").front();
  CHECK(birds.samples[static_cast<size_t>(of_train)].labels == std::vector<int64_t>{0, 1});
  std::filesystem::remove(folder / "m/birds-train2017.tar");
  put_tar(folder, "m/birds-train2017.tar", {{"a.jpg", "a"}, {"a.cls", "wren"}, {"b.jpg", "b"}, {"b.cls", "owl"}});
  const Listing one = data::list_data(folder / "m", {});
  CHECK(one.samples.size() == 3);
  CHECK(std::find(one.notes.begin(), one.notes.end(), "1 test picture without a label left out") != one.notes.end());
  CHECK_THAT(error_of(folder, folder / "d{0..1}/x.tar", {}), Catch::Contains("in the archives' names alone"));
}

TEST_CASE("what is wrong with archives is said with their names", "[unit]") {
  const test::TempFolder folder;
  put_tar(folder, "t-train.tar", {{"a.jpg", "a"}, {"a.cls", "x"}, {"b.jpg", "b"}});
  put_tar(folder, "u.tar", {{"a.jpg", "a"}, {"a.cls", "x"}});
  put_tar(folder, "empty.tar", {{"readme.txt", "a"}});
  test::put_file(folder / "none.tar", std::string(2000, 'n'));
  CHECK(error_of(folder, folder / "t-train.tar", {}) ==
        "t-train.tar/b.jpg: no label; expected a member t-train.tar/b.cls beside it that holds one");
  CHECK_THAT(error_of(folder, folder / "none.tar", unlabelled()),
             Catch::StartsWith("DIR/none.tar: cannot be read as a tar archive: "));
  CHECK(error_of(folder, folder / "empty.tar", unlabelled()) == "DIR/empty.tar: no pictures in the archive");
  CHECK_THAT(error_of(folder, folder / "v-{0..1}.tar", unlabelled()),
             Catch::StartsWith("DIR/v-0.tar: cannot be read as a tar archive: "));
  CHECK_THAT(error_of(folder, folder / "v-{5..1}.tar", unlabelled()), Catch::Contains("expected {FIRST..LAST}"));
  std::filesystem::resize_file(folder / "t-train.tar", 1100);
  CHECK_THAT(error_of(folder, folder / "t-train.tar", unlabelled()), Catch::Contains("cannot be read as a tar"));
}

TEST_CASE("a folder with pictures or folders beside archives is listed as before", "[unit]") {
  const test::TempFolder folder;
  put_tar(folder, "d/x.tar", {{"a.jpg", "a"}});
  CHECK(data::tar_shards_at(folder / "d") == Strings{folder / "d/x.tar"});
  test::put_file(folder / "d/b.jpg", "b");
  CHECK(data::tar_shards_at(folder / "d").empty());
  CHECK(data::list_data(folder / "d", unlabelled()).kind == "flat");
}
