#include "data/listing.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "base/errors.h"
#include "base/text.h"
#include "data/listing_case.h"
#include "support/support.h"

using namespace engraft;
using data::Listing;
using data::ListingOptions;
using data::Sample;
using test::error_of;
using test::unlabelled;
using Strings = std::vector<std::string>;

namespace fs = std::filesystem;

namespace {

/// Makes empty pictures and files; a name that ends in '/' is an empty folder.
void lay_out(const test::TempFolder& folder, const Strings& names) {
  for (const std::string& name : names) {
    if (text::ends_with(name, "/")) {
      fs::create_directories(folder / name);
    } else {
      test::put_file(folder / name, "");
    }
  }
}

/// "image_path split label" of each sample.
Strings lines_of(const Listing& listing) {
  Strings lines;
  for (const Sample& sample : listing.samples) {
    lines.push_back(text::cat(sample.image_path, " ", sample.split, " ", sample.label));
  }
  return lines;
}

ListingOptions with_classes(const Strings& classes) {
  ListingOptions options;
  options.classes = classes;
  return options;
}

bool has_note(const Listing& listing, const std::string& note) {
  return std::find(listing.notes.begin(), listing.notes.end(), note) != listing.notes.end();
}

}  // namespace

TEST_CASE("folders are listed by their names", "[unit]") {
  struct Case {
    const char* what;
    Strings files;
    ListingOptions options;
    const char* kind;
    Strings classes;
    Strings lines;
    Strings notes;
  };
  const std::vector<Case> cases = {
      {"train and val",
       {"train/b/2.jpg", "train/a/1.jpg", "val/a/3.jpg", "val/b/4.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/2.jpg train 1", "val/a/3.jpg val 0", "val/b/4.jpg val 1"},
       {}},
      {"letter case of the splits does not matter, that of classes does",
       {"Train/B/1.jpg", "Train/a/1.jpg", "VALID/a/1.jpg", "VALID/B/1.jpg"},
       {},
       "folders",
       {"B", "a"},
       {"Train/B/1.jpg train 0", "Train/a/1.jpg train 1", "VALID/B/1.jpg val 0", "VALID/a/1.jpg val 1"},
       {}},
      {"val wins over validation and valid; test stays test",
       {"train/a/1.jpg", "train/b/1.jpg", "valid/a/1.jpg", "validation/a/1.jpg", "val/a/1.jpg", "val/b/1.jpg",
        "test/b/1.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"test/b/1.jpg test 1", "train/a/1.jpg train 0", "train/b/1.jpg train 1", "val/a/1.jpg val 0",
        "val/b/1.jpg val 1"},
       {"validation/ is not read: val/ is the validation split", "valid/ is not read: val/ is the validation split"}},
      {"validation wins over valid",
       {"train/a/1.jpg", "train/b/1.jpg", "valid/a/1.jpg", "validation/a/2.jpg", "validation/b/2.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/1.jpg train 1", "validation/a/2.jpg val 0", "validation/b/2.jpg val 1"},
       {"valid/ is not read: validation/ is the validation split"}},
      {"test serves as validation where there is none",
       {"train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"test/a/1.jpg val 0", "test/b/1.jpg val 1", "train/a/1.jpg train 0", "train/b/1.jpg train 1"},
       {"test/ serves as validation: there is no val/, validation/ or valid/"}},
      {"a test folder without classes is left out, and does not serve as validation",
       {"train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/1.jpg val 1"},
       {"test/ has no class folders: its 2 pictures left out",
        "no validation folder beside train/: a part of it is split off",
        "split by the SHA-1 of the path, validation fraction 0.2: 1 train, 1 val"}},
      {"the same for embed keeps its pictures, without labels",
       {"train/a/1.jpg", "val/a/1.jpg", "test/1.jpg"},
       unlabelled(),
       "folders",
       {"a"},
       {"test/1.jpg test -1", "train/a/1.jpg train 0", "val/a/1.jpg val 0"},
       {}},
      {"a class of train missing in val",
       {"train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/a/1.jpg", "val/c/"},
       {},
       "folders",
       {"a", "b", "c"},
       {"train/a/1.jpg train 0", "train/b/1.jpg train 1", "train/c/1.jpg train 2", "val/a/1.jpg val 0"},
       {"val/c/ holds no picture", "no picture in the val split of 2 of the 3 classes: b, c"}},
      {"what belongs to no split",
       {"train/a/1.jpg", "train/b/1.jpg", "train/loose.jpg", "val/a/1.jpg", "val/b/1.jpg", "raw/x.jpg", "cover.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/1.jpg train 1", "val/a/1.jpg val 0", "val/b/1.jpg val 1"},
       {"1 picture in no class folder left out; first: train/loose.jpg", "folders beside the splits are not read: raw",
        "1 picture beside the splits left out; first: cover.jpg"}},
      {"everything below a class folder is of the class",
       {"train/a/x/y/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "val/a/z/1.jpg", "val/b/1.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/2.jpg train 0", "train/a/x/y/1.jpg train 0", "train/b/1.jpg train 1", "val/a/z/1.jpg val 0",
        "val/b/1.jpg val 1"},
       {}},
      {"order is by bytes of the whole path: '-' before '/', capitals before small, high bytes last",
       {"train/a/1.jpg", "train/a-b/1.jpg", "train/B/1.jpg", "train/\xC3\xA4/1.jpg", "train/\xFF/1.jpg", "val/a/1.jpg",
        "val/a-b/1.jpg", "val/B/1.jpg", "val/\xC3\xA4/1.jpg", "val/\xFF/1.jpg"},
       {},
       "folders",
       {"B", "a", "a-b", "\xC3\xA4", "\xFF"},
       {"train/B/1.jpg train 0", "train/a-b/1.jpg train 2", "train/a/1.jpg train 1", "train/\xC3\xA4/1.jpg train 3",
        "train/\xFF/1.jpg train 4", "val/B/1.jpg val 0", "val/a-b/1.jpg val 2", "val/a/1.jpg val 1",
        "val/\xC3\xA4/1.jpg val 3", "val/\xFF/1.jpg val 4"},
       {}},
      {"hidden names and the litter of other systems are passed over in silence",
       {"train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg", ".git/x.jpg", "train/.ipynb_checkpoints/1.jpg",
        "train/a/.hidden.jpg", "train/a/._1.jpg", "train/a/Thumbs.db", "val/b/desktop.ini", "train/__MACOSX/a/1.jpg"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/1.jpg train 1", "val/a/1.jpg val 0", "val/b/1.jpg val 1"},
       {}},
      {"files that are not pictures are counted",
       {"train/a/1.jpg", "train/a/notes.txt", "train/a/README", "train/b/1.PNG", "train/b/z.TXT", "val/a/1.jpg",
        "val/b/1.heic", "val/b/2.webp"},
       {},
       "folders",
       {"a", "b"},
       {"train/a/1.jpg train 0", "train/b/1.PNG train 1", "val/a/1.jpg val 0", "val/b/2.webp val 1"},
       {"4 files left out, by extension not a picture (no extension 1, .heic 1, .txt 2); first: train/a/README"}},
      {"a single root is split by hash",
       {"a/6.jpg", "a/7.jpg", "a/8.jpg", "b/10.jpg", "b/11.jpg"},
       {},
       "single-root",
       {"a", "b"},
       {"a/6.jpg train 0", "a/7.jpg val 0", "a/8.jpg train 0", "b/10.jpg train 1", "b/11.jpg val 1"},
       {"split by the SHA-1 of the path, validation fraction 0.2: 3 train, 2 val"}},
      {"a class whose only picture went to validation stays a class",
       {"a/7.jpg", "b/10.jpg"},
       {},
       "single-root",
       {"a", "b"},
       {"a/7.jpg val 0", "b/10.jpg train 1"},
       {"no picture in the val split of 1 of the 2 classes: b"}},
      {"class folders called like splits, beside others, are classes",
       {"bus/1.jpg", "train/1.jpg", "train/2.jpg"},
       {},
       "single-root",
       {"bus", "train"},
       {"bus/1.jpg train 0", "train/1.jpg train 1", "train/2.jpg train 1"},
       {"split by the SHA-1 of the path, validation fraction 0.2: 3 train, 0 val",
        "no picture in the validation split"}},
      {"valid and invalid are classes",
       {"invalid/1.jpg", "valid/1.jpg"},
       {},
       "single-root",
       {"invalid", "valid"},
       {"invalid/1.jpg train 0", "valid/1.jpg train 1"},
       {}},
      {"splits under other names are said to be classes",
       {"seg_test/a/1.jpg", "seg_train/a/1.jpg"},
       {},
       "single-root",
       {"seg_test", "seg_train"},
       {"seg_test/a/1.jpg train 0", "seg_train/a/1.jpg train 1"},
       {"'seg_train' is taken as a class; a split must be called train, val, validation, valid or test"}},
      {"flat",
       {"2.jpg", "1.jpg", "x.txt"},
       unlabelled(),
       "flat",
       {},
       {"1.jpg  -1", "2.jpg  -1"},
       {"1 file left out, by extension not a picture (.txt 1); first: x.txt"}},
      {"one class is enough for embed", {"a/1.jpg"}, unlabelled(), "single-root", {"a"}, {"a/1.jpg train 0"}, {}},
      {"loose pictures and empty folders are fine for embed",
       {"a/1.jpg", "empty/", "0.jpg"},
       unlabelled(),
       "single-root",
       {"a"},
       {"0.jpg train -1", "a/1.jpg train 0"},
       {"empty/ holds no picture"}},
      {"a class in val only is kept by name for embed",
       {"train/a/1.jpg", "val/z/1.jpg"},
       unlabelled(),
       "folders",
       {"a"},
       {"train/a/1.jpg train 0", "val/z/1.jpg val -1"},
       {"1 label not among the 1 class: z"}},
      {"val alone, for embed", {"val/a/1.jpg"}, unlabelled(), "folders", {"a"}, {"val/a/1.jpg val 0"}, {}},
      {"a model's classes and their order are kept",
       {"test/a/1.jpg", "test/b/1.jpg"},
       with_classes({"z", "b", "a"}),
       "folders",
       {"z", "b", "a"},
       {"test/a/1.jpg test 2", "test/b/1.jpg test 1"},
       {}},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    lay_out(folder, c.files);
    const Listing listing = data::list_data(folder.path(), c.options);
    CHECK(listing.kind == c.kind);
    CHECK(listing.root == folder.path());
    CHECK(listing.classes == c.classes);
    CHECK(lines_of(listing) == c.lines);
    for (const std::string& note : c.notes) {
      INFO(text::join(listing.notes, "\n"));
      CHECK(has_note(listing, note));
    }
    for (const Sample& sample : listing.samples) CHECK(fs::exists(sample.file));
  }
}

TEST_CASE("a class that the hash rule leaves no training picture is warned of", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"a/7.jpg", "b/10.jpg"});
  CHECK(data::list_data(folder.path(), {}).warnings ==
        Strings{"the hash rule leaves no training picture of 1 of the 2 classes, which cannot be learned: a"});
}

TEST_CASE("a listing without surprises has no notes", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg", ".hidden"});
  CHECK(data::list_data(folder.path(), {}).notes.empty());
  CHECK(data::list_data(folder.path() + "//", {}).root == folder.path());
}

TEST_CASE("a folder that cannot be used says why on one line", "[unit]") {
  const std::string expected =
      "expected train/ with val/, validation/, valid/ or test/, or class folders, or a manifest (.csv, .tsv)";
  struct Case {
    const char* what;
    Strings files;
    ListingOptions options;
    std::string error;
  };
  const std::vector<Case> cases = {
      {"empty", {}, {}, "DIR: no pictures"},
      {"nothing but other files",
       {"a/x.txt"},
       {},
       "DIR: no pictures; 1 file left out, by extension not a picture (.txt 1); first: a/x.txt"},
      {"empty, for embed", {"a/"}, unlabelled(), "DIR: no pictures"},
      {"no labels", {"1.jpg", "2.jpg"}, {}, "DIR: 2 pictures without labels; " + expected},
      {"one class", {"a/1.jpg"}, {}, "DIR: only one class, 'a'; expected two or more"},
      {"one class in train", {"train/a/1.jpg", "val/a/1.jpg"}, {}, "DIR: only one class, 'a'; expected two or more"},
      {"a class in val only",
       {"train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/tabby/1.jpg"},
       {},
       "DIR/val/tabby: label 'tabby' is not one of the 2 classes of the training split"},
      {"a class in test only",
       {"train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "test/tabby/x/1.jpg"},
       {},
       "DIR/test/tabby: label 'tabby' is not one of the 2 classes of the training split"},
      {"a class of another model",
       {"test/a/1.jpg"},
       with_classes({"b", "c"}),
       "DIR/test/a: label 'a' is not one of the 2 known classes"},
      {"an empty class in train",
       {"train/a/1.jpg", "train/b/", "train/c/1.jpg", "val/a/1.jpg"},
       {},
       "DIR/train/b: class folder without a picture; remove it or fill it"},
      {"an empty class in a single root",
       {"a/1.jpg", "b/readme.txt", "c/1.jpg"},
       {},
       "DIR/b: class folder without a picture; remove it or fill it"},
      {"no train", {"val/a/1.jpg", "test/a/1.jpg"}, {}, "DIR: no train/ beside test, val; " + expected},
      {"an empty train", {"train/", "val/a/1.jpg", "val/b/1.jpg"}, {}, "DIR: no picture in the training split"},
      {"train without classes",
       {"train/1.jpg", "val/a/1.jpg"},
       {},
       "DIR/train: 1 picture but no class folders; " + expected},
      {"val without classes",
       {"train/a/1.jpg", "train/b/1.jpg", "val/1.jpg"},
       {},
       "DIR/val: 1 picture but no class folders; " + expected},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    lay_out(folder, c.files);
    CHECK(error_of(folder, folder.path(), c.options) == c.error);
  }
  test::TempFolder folder;
  CHECK(error_of(folder, folder / "none", {}) == "DIR/none: no such file or folder");
}

TEST_CASE("links are followed, loops are not", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"elsewhere/c/1.jpg", "data/train/a/1.jpg", "data/train/b/1.jpg", "data/val/a/1.jpg"});
  fs::create_directory_symlink(folder / "elsewhere/c", folder / "data/train/c");
  fs::create_symlink(folder / "elsewhere/c/1.jpg", folder / "data/train/a/link.jpg");
  fs::create_directory_symlink("../..", folder / "data/train/a/loop");
  fs::create_symlink("nowhere.jpg", folder / "data/train/b/broken.jpg");
  const Listing listing = data::list_data(folder / "data", {});
  CHECK(listing.classes == Strings{"a", "b", "c"});
  const Strings lines = lines_of(listing);
  const auto has = [&](const char* line) { return std::find(lines.begin(), lines.end(), line) != lines.end(); };
  CHECK(has("train/c/1.jpg train 2"));
  CHECK(has("train/a/link.jpg train 0"));
  CHECK(has("train/b/broken.jpg train 1"));
  CHECK(std::any_of(listing.notes.begin(), listing.notes.end(), [](const std::string& note) {
    return text::starts_with(note, "a link to a folder it stands in is not followed: train/a/loop");
  }));
  CHECK(lines.size() == 6);
  CHECK(listing.warnings ==
        Strings{"1 picture under two labels or in two splits; first: train/a/link.jpg and train/c/1.jpg"});
}

TEST_CASE("a link to a folder above the data brings nothing in", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"other/x.jpg", "data/a/1.jpg", "data/b/1.jpg"});
  fs::create_directory_symlink(folder.path(), folder / "data/a/above");
  const Listing listing = data::list_data(folder / "data", {});
  CHECK(listing.samples.size() == 2);
  CHECK(std::any_of(listing.notes.begin(), listing.notes.end(), [](const std::string& note) {
    return text::starts_with(note, "a link to a folder it stands in is not followed: a/above");
  }));
}

TEST_CASE("a link above a class folder that is itself a link brings nothing in", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"pool/cats/1.jpg", "pool/dogs/1.jpg", "photos/"});
  fs::create_directory_symlink(folder / "pool/cats", folder / "photos/cats");
  fs::create_directory_symlink(folder / "pool/dogs", folder / "photos/dogs");
  fs::create_directory_symlink(folder / "pool", folder / "pool/cats/up");
  CHECK(data::list_data(folder / "photos", {}).samples.size() == 2);
}

TEST_CASE("a listing says where its validation split comes from", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"hash/a/1.jpg", "hash/b/1.jpg", "test/train/a/1.jpg", "test/train/b/1.jpg", "test/test/a/1.jpg",
                   "val/train/a/1.jpg", "val/train/b/1.jpg", "val/val/a/1.jpg", "val/test/a/1.jpg"});
  struct Case {
    const char* name;
    bool is_split_by_hash;
    bool test_is_validation;
  };
  for (const Case& c : {Case{"hash", true, false}, Case{"test", false, true}, Case{"val", false, false}}) {
    INFO(c.name);
    const Listing listing = data::list_data(folder / c.name, {});
    CHECK(listing.is_split_by_hash == c.is_split_by_hash);
    CHECK(listing.test_is_validation == c.test_is_validation);
  }
}

TEST_CASE("a pipe named like a picture is left out", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"a.jpg"});
  REQUIRE(::mkfifo((folder / "b.jpg").c_str(), 0600) == 0);
  const Listing listing = data::list_data(folder.path(), unlabelled());
  CHECK(listing.samples.size() == 1);
  CHECK(listing.notes == Strings{"1 pipe, socket or device left out"});
}

TEST_CASE("the hash rule sends the same pictures to validation for ever", "[golden]") {
  // python3 -c "import hashlib; print(int(hashlib.sha1(b'ants/1.jpg').hexdigest()[:8], 16) / 2**32)"
  const std::map<std::string, double> goldens = {{"ants/1.jpg", 0.071704305010},
                                                 {"train/bees/x y.png", 0.357101476286},
                                                 {"ä.jpg", 0.725289150840},
                                                 {"a/3.jpg", 0.694494227646},
                                                 {"/abs/p.jpg", 0.972172642825}};
  for (const auto& [path, value] : goldens) {
    INFO(path);
    CHECK(!data::hashes_to_validation(path, value - 1e-9));
    CHECK(data::hashes_to_validation(path, value + 1e-9));
    CHECK(!data::hashes_to_validation(path, 0));
  }
  ListingOptions none;
  none.val_fraction = 1;
  CHECK_THROWS_AS(data::list_data(".", none), UsageError);
}

TEST_CASE("pictures are told by their extension", "[unit]") {
  for (const char* name : {"a.jpg", "a.JPEG", "x/y.z/a.b.png", "a.webp", "a.tif", "a.TIFF", "a.jp2", "a.bmp"}) {
    CHECK(data::is_picture_name(name));
  }
  for (const char* name : {"a", "jpg", ".jpg", "a.jpg/", "a.txt", "a.jpg.txt", "a.jpg/b", "a.heic", ""}) {
    CHECK(!data::is_picture_name(name));
  }
}

TEST_CASE("one picture is a data set to predict", "[unit]") {
  test::TempFolder folder;
  lay_out(folder, {"a.jpg"});
  const Listing listing = data::list_data(folder / "a.jpg", unlabelled());
  CHECK(lines_of(listing) == Strings{"a.jpg  -1"});
  CHECK(listing.samples[0].file == folder / "a.jpg");
  CHECK(error_of(folder, folder / "a.jpg", {}) ==
        "DIR/a.jpg: is one picture; expected a folder or a manifest (.csv, .tsv)");
}

TEST_CASE("hymenoptera is listed whole, with its placeholder", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const Listing listing = data::list_data(shared + "/data/hymenoptera", {});
  CHECK(listing.kind == "folders");
  CHECK(listing.classes == Strings{"ants", "bees"});
  std::map<std::string, int> counts;
  for (const Sample& sample : listing.samples) ++counts[sample.split + " " + sample.label_name];
  CHECK(counts ==
        std::map<std::string, int>{{"train ants", 124}, {"train bees", 121}, {"val ants", 70}, {"val bees", 83}});
  CHECK(rows_of(listing, "train").size() == 245);
  CHECK(rows_of(listing, "val").size() == 153);
  CHECK(listing.samples[0].image_path == "train/ants/0013035.jpg");
  CHECK(std::count_if(listing.samples.begin(), listing.samples.end(),
                      [](const Sample& sample) { return sample.image_path == "train/ants/imageNotFound.gif"; }) == 1);
  CHECK(listing.notes.empty());
}

TEST_CASE("the test pictures of flowers12 serve as validation", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const Listing listing = data::list_data(shared + "/data/flowers12", {});
  CHECK(listing.classes.size() == 12);
  CHECK(rows_of(listing, "train").size() == 720);
  CHECK(rows_of(listing, "val").size() == 240);
  CHECK(listing.notes == Strings{"test/ serves as validation: there is no val/, validation/ or valid/"});
}

TEST_CASE("the ImageNet sample is listed by its manifest", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const Listing listing = data::list_data(shared + "/data/imagenet_sample/labels.csv", {});
  CHECK(listing.kind == "manifest");
  CHECK(listing.samples.size() == 125);
  CHECK(listing.slice_names == Strings{"label_index", "wnid"});
  CHECK(listing.samples[0].image_path == "n01491361_tiger_shark.JPEG");
  CHECK(listing.samples[0].slices == Strings{"3", "n01491361"});
  CHECK(listing.samples[0].label_name == "tiger shark");
  for (const Sample& sample : listing.samples) CHECK(fs::exists(sample.file));
}
