#include "data/labels.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/text.h"
#include "data/listing_case.h"
#include "support/support.h"

using namespace engraft;
using data::Listing;
using data::ListingOptions;
using data::Sample;
using test::error_of;
using Strings = std::vector<std::string>;
using Indices = std::vector<int64_t>;

namespace {

constexpr const char* kHead = "image_path,label,split\n";

ListingOptions options_for(Target target) {
  ListingOptions options;
  options.target = target;
  return options;
}

/// A folder with pictures a.jpg to e.jpg and m.csv of `rows`.
class ManifestFolder : public test::TempFolder {
 public:
  explicit ManifestFolder(const std::string& rows) {
    for (const char* name : {"a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"}) test::put_file(*this / name, "");
    test::put_file(*this / "m.csv", kHead + rows);
  }
  Listing list(const ListingOptions& options) const { return data::list_data(*this / "m.csv", options); }
};

}  // namespace

TEST_CASE("names in a label: one as it is, several without spaces, repeats and gaps", "[unit]") {
  CHECK(data::names_in("red;rose", Target::kSoftmax) == Strings{"red;rose"});
  CHECK(data::names_in("rose; red;;rose ;", Target::kMultiLabel) == Strings{"red", "rose"});
  CHECK(data::names_in("", Target::kSoftmax).empty());
  CHECK(data::names_in(" ; ", Target::kMultiLabel).empty());
}

TEST_CASE("a multi-label manifest gives each picture the indices of its names", "[unit]") {
  const ManifestFolder folder(
      "a.jpg,tall; red,train\nb.jpg,,train\nc.jpg,red,train\nd.jpg,tall;tall,val\ne.jpg,,val\n");
  const Listing listing = folder.list(options_for(Target::kMultiLabel));
  CHECK(listing.classes == Strings{"red", "tall"});
  REQUIRE(listing.samples.size() == 5);
  CHECK(listing.samples[0].labels == Indices{0, 1});
  CHECK(listing.samples[0].label_name == "red;tall");
  CHECK(listing.samples[0].label == -1);
  CHECK(listing.samples[1].labels.empty());
  CHECK(listing.samples[1].label_name.empty());
  CHECK(listing.samples[2].labels == Indices{0});
  CHECK(listing.samples[3].labels == Indices{1});
  CHECK(listing.notes == Strings{"no picture in the val split of 1 of the 2 classes: red"});
}

TEST_CASE("multi-label test rows without a label are pictures of which nothing holds", "[unit]") {
  const ManifestFolder folder("a.jpg,red,train\nb.jpg,,val\nc.jpg,,test\n");
  const Listing listing = folder.list(options_for(Target::kMultiLabel));
  CHECK(listing.classes == Strings{"red"});  // one class is a question of its own: does it hold
  CHECK(data::rows_of(listing, "test").size() == 1);
}

TEST_CASE("multi-label classes of a manifest that is split by hash are all its names", "[unit]") {
  test::TempFolder folder;
  std::string rows = "image_path,label\n";
  for (int i = 0; i < 30; ++i) {
    test::put_file(folder / text::cat(i, ".jpg"), "");
    rows += text::cat(i, ".jpg,", i % 2 == 0 ? "even" : "odd;any", "\n");
  }
  test::put_file(folder / "m.csv", rows);
  const Listing listing = data::list_data(folder / "m.csv", options_for(Target::kMultiLabel));
  CHECK(listing.classes == Strings{"any", "even", "odd"});
  CHECK(listing.is_split_by_hash);
}

TEST_CASE("class folders give a multi-label picture one name", "[unit]") {
  test::TempFolder folder;
  for (const char* name : {"train/x/1.jpg", "train/y/2.jpg", "val/x/3.jpg"}) test::put_file(folder / name, "");
  const Listing listing = data::list_data(folder.path(), options_for(Target::kMultiLabel));
  CHECK(listing.classes == Strings{"x", "y"});
  CHECK(listing.samples[1].labels == Indices{1});
  test::put_file(folder / "train/x;z/4.jpg", "");
  CHECK(error_of(folder, folder.path(), options_for(Target::kMultiLabel)) ==
        "DIR/train/x;z: a ';' in a class folder's name; multi-label data keep it for what stands between names");
}

TEST_CASE("a regression manifest gives each picture its number, and no classes", "[unit]") {
  const ManifestFolder folder("a.jpg,1.5,train\nb.jpg, -2e3 ,train\nc.jpg,0,val\nd.jpg,,test\n");
  const Listing listing = folder.list(options_for(Target::kRegression));
  CHECK(listing.classes.empty());
  REQUIRE(listing.samples.size() == 3);  // a test row without a number cannot be judged
  CHECK(listing.samples[0].value == 1.5);
  CHECK(listing.samples[1].value == -2000);
  CHECK(listing.samples[1].label_name == "-2e3");
  CHECK(listing.samples[2].value == 0);
}

TEST_CASE("a regression manifest needs no training rows, as a model's judge has none", "[unit]") {
  const ManifestFolder folder("a.jpg,1,val\nb.jpg,1,val\n");
  CHECK(data::rows_of(folder.list(options_for(Target::kRegression)), "val").size() == 2);
}

TEST_CASE("labels of another kind than the target's are refused by their line", "[unit]") {
  struct Case {
    const char* what;
    const char* rows;
    Target target;
    const char* error;
  };
  const std::vector<Case> cases = {
      {"a word for a number", "a.jpg,1,train\nb.jpg,two,train\n", Target::kRegression,
       "DIR/m.csv:3: label 'two' is not a number; regression needs one"},
      {"a number with its unit", "a.jpg,1 kg,train\n", Target::kRegression,
       "DIR/m.csv:2: label '1 kg' is not a number; regression needs one"},
      {"nan", "a.jpg,nan,train\n", Target::kRegression, "DIR/m.csv:2: label 'nan' is not finite"},
      {"infinity", "a.jpg,1,train\nb.jpg,-inf,val\n", Target::kRegression, "DIR/m.csv:3: label '-inf' is not finite"},
      {"more than float32 has", "a.jpg,1,train\nb.jpg,1e200,val\n", Target::kRegression,
       "DIR/m.csv:3: label '1e200' is beyond float32; use another unit"},
      {"nothing", "a.jpg,,train\n", Target::kRegression, "DIR/m.csv:2: label is empty"},
      {"a name of val only", "a.jpg,x;y,train\nb.jpg,y;z,val\n", Target::kMultiLabel,
       "DIR/m.csv:3: label 'z' is not one of the 2 classes of the training split"},
      {"no name at all", "a.jpg,,train\nb.jpg,,val\n", Target::kMultiLabel,
       "DIR/m.csv: no label in the training split, every one is empty"},
      {"several names as one class", "a.jpg,x,train\nb.jpg,y,train\nc.jpg,x;y,val\n", Target::kSoftmax,
       "DIR/m.csv:4: label 'x;y' is not one of the 2 classes of the training split; several names in a label take "
       "--loss multilabel"},
      {"numbers as classes", "a.jpg,0.5,train\nb.jpg,0.7,train\nc.jpg,0.6,val\n", Target::kSoftmax,
       "DIR/m.csv:4: label '0.6' is not one of the 2 classes of the training split; labels that are measured numbers "
       "take --loss regression"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const ManifestFolder folder(c.rows);
    CHECK(error_of(folder, folder / "m.csv", options_for(c.target)) == c.error);
  }
}

TEST_CASE("regression on folders says what it needs", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "train/x/1.jpg", "");
  CHECK(error_of(folder, folder.path(), options_for(Target::kRegression)) ==
        "DIR: is a folder; regression needs a manifest (.csv, .tsv) whose label column is a number");
}
