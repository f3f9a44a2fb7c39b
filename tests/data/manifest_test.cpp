#include "data/manifest.h"

#include <algorithm>
#include <catch2/catch.hpp>

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

namespace {

/// "image_path split label slices" of each sample.
Strings lines_of(const Listing& listing) {
  Strings lines;
  for (const Sample& sample : listing.samples) {
    lines.push_back(
        text::cat(sample.image_path, " ", sample.split, " ", sample.label, " ", text::join(sample.slices, "|")));
  }
  return lines;
}

void put_pictures(const test::TempFolder& folder) {
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg", "sub/7.jpg", "a,b.jpg"}) test::put_file(folder / name, "");
}

}  // namespace

TEST_CASE("a manifest is listed in its own order", "[unit]") {
  struct Case {
    const char* what;
    const char* file;
    std::string bytes;
    ListingOptions options;
    Strings classes;
    Strings slices;
    Strings lines;
    Strings notes;
  };
  const std::vector<Case> cases = {
      {"splits of all names",
       "m.csv",
       "image_path,label,split\nc.jpg,y,train\na.jpg,x,Train\nb.jpg,x,validation\nsub/"
       "7.jpg,y,valid\n\"a,b.jpg\",x,test\n",
       {},
       {"x", "y"},
       {},
       {"c.jpg train 1 ", "a.jpg train 0 ", "b.jpg val 0 ", "sub/7.jpg val 1 ", "a,b.jpg test 0 "},
       {}},
      {"test rows serve as validation",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,y,train\nc.jpg,y,test\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "b.jpg train 1 ", "c.jpg val 1 "},
       {"the test rows serve as validation: there are no val rows",
        "no picture in the val split of 1 of the 2 classes: x"}},
      {"train rows alone are split",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,y,train\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg SPLIT 0 ", "b.jpg SPLIT 1 "},
       {"no val or test rows: a part of the train rows is split off"}},
      {"no splits; columns in any order, tabs, more columns are slices",
       "m.TSV",
       "camera\tlabel\timage_path\tsite\nc1\tx\ta.jpg\ts,1\nc2\ty\tb.jpg\t\n",
       {},
       {"x", "y"},
       {"camera", "site"},
       {"a.jpg SPLIT 0 c1|s,1", "b.jpg SPLIT 1 c2|"},
       {}},
      {"an empty split column is none",
       "m.csv",
       "image_path,label,split\na.jpg,x,\nb.jpg,y,\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg SPLIT 0 ", "b.jpg SPLIT 1 "},
       {}},
      {"spaces around names and labels, byte order mark, CRLF",
       "m.csv",
       "\xEF\xBB\xBFimage_path, label, split\r\na.jpg, x, train\r\nb.jpg, y ,train\r\nc.jpg,x, val\r\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "b.jpg train 1 ", "c.jpg val 0 "},
       {}},
      {"test rows without a label are left out",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,y,train\nc.jpg,x,val\nsub/7.jpg,,test\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "b.jpg train 1 ", "c.jpg val 0 "},
       {"1 test row without a label left out"}},
      {"repeated pictures are told, and where they disagree",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,y,train\nb.jpg,y,train\na.jpg,x,val\nc.jpg,y,val\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "b.jpg train 1 ", "b.jpg train 1 ", "a.jpg val 0 ", "c.jpg val 1 "},
       {"2 pictures listed more than once; first: a.jpg (lines 2 and 5)",
        "1 picture under two labels or in two splits; first: a.jpg (lines 2 and 5)"}},
      {"one file by two spellings of its path",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,y,train\n./a.jpg,x,val\nc.jpg,y,val\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "b.jpg train 1 ", "./a.jpg val 0 ", "c.jpg val 1 "},
       {"1 picture listed more than once; first: a.jpg (lines 2 and 4)",
        "1 picture under two labels or in two splits; first: a.jpg (lines 2 and 4)"}},
      {"without labels, for embed",
       "m.csv",
       "image_path,site\nb.jpg,s\na.jpg,t\n",
       unlabelled(),
       {},
       {"site"},
       {"b.jpg  -1 s", "a.jpg  -1 t"},
       {}},
      {"some labels, some splits, unknown labels, for embed",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nb.jpg,,\nc.jpg,z,val\n",
       unlabelled(),
       {"x"},
       {},
       {"a.jpg train 0 ", "b.jpg  -1 ", "c.jpg val -1 "},
       {"1 label not among the 1 class: z"}},
      {"missing pictures are counted",
       "m.csv",
       "image_path,label,split\na.jpg,x,train\nnone.jpg,y,train\nc.jpg,y,val\n",
       {},
       {"x", "y"},
       {},
       {"a.jpg train 0 ", "none.jpg train 1 ", "c.jpg val 1 "},
       {"1 of 3 pictures do not exist; first: DIR/none.jpg"}},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    put_pictures(folder);
    test::put_file(folder / c.file, c.bytes);
    const Listing listing = data::list_data(folder / c.file, c.options);
    CHECK(listing.kind == "manifest");
    CHECK(listing.root == folder.path());
    CHECK(listing.classes == c.classes);
    CHECK(listing.slice_names == c.slices);
    Strings expected;
    for (std::string line : c.lines) {
      const std::string image_path = line.substr(0, line.find(' '));
      expected.push_back(
          text::replace_all(line, "SPLIT", data::hashes_to_validation(image_path, 0.2) ? "val" : "train"));
    }
    CHECK(lines_of(listing) == expected);
    Strings told = listing.notes;
    told.insert(told.end(), listing.warnings.begin(), listing.warnings.end());
    for (const std::string& note : c.notes) {
      INFO(text::join(told, "\n"));
      const std::string whole = text::replace_all(note, "DIR", folder.path());
      CHECK(std::find(told.begin(), told.end(), whole) != told.end());
    }
  }
}

TEST_CASE("a path in a manifest is relative to it, or absolute", "[unit]") {
  test::TempFolder folder;
  put_pictures(folder);
  const std::string absolute = folder / "b.jpg";
  test::put_file(folder / "sub/m.csv",
                 "image_path,label,split\n../a.jpg,x,train\n" + absolute + ",y,train\n7.jpg,y,val\n");
  const Listing listing = data::list_data(folder / "sub/m.csv", {});
  CHECK(listing.samples[0].image_path == "../a.jpg");
  CHECK(listing.samples[0].file == folder / "sub/../a.jpg");
  CHECK(listing.samples[1].image_path == absolute);
  CHECK(listing.samples[1].file == absolute);
  CHECK(listing.notes == Strings{"no picture in the val split of 1 of the 2 classes: x"});
}

TEST_CASE("a manifest that cannot be used names its line", "[unit]") {
  const std::string head = "image_path,label,split\n";
  ListingOptions known;
  known.classes = {"x", "y"};
  struct Case {
    const char* what;
    std::string bytes;
    ListingOptions options;
    std::string error;
  };
  const std::vector<Case> cases = {
      {"a label of val only",
       head + "a.jpg,x,train\nb.jpg,y,train\n\"c.jpg\",tabby,val\n",
       {},
       "DIR/m.csv:4: label 'tabby' is not one of the 2 classes of the training split"},
      {"a label that the model does not know", head + "a.jpg,x,test\nb.jpg,z,test\n", known,
       "DIR/m.csv:3: label 'z' is not one of the 2 known classes"},
      {"no image_path", "path,label\na.jpg,x\n", {}, "DIR/m.csv: no column 'image_path'; found: path, label"},
      {"no label", "image_path,class\na.jpg,x\n", {}, "DIR/m.csv: no column 'label'; found: image_path, class"},
      {"tabs in a .csv",
       "image_path\tlabel\na.jpg\tx\n",
       {},
       "DIR/m.csv: no column 'image_path'; found: image_path\tlabel (a .csv has commas between its columns; a table "
       "with "
       "tabs is a .tsv)"},
      {"an empty label", head + "a.jpg,x,train\nb.jpg, ,train\n", {}, "DIR/m.csv:3: label is empty"},
      {"an empty path", head + ",x,train\n", {}, "DIR/m.csv:2: image_path is empty"},
      {"an unknown split",
       head + "a.jpg,x,dev\n",
       {},
       "DIR/m.csv:2: split 'dev' is not one of train, val, validation, valid, test"},
      {"an empty split among others",
       head + "a.jpg,x,train\nb.jpg,x,\n",
       {},
       "DIR/m.csv:3: split '' is not one of train, val, validation, valid, test"},
      {"no rows", head, {}, "DIR/m.csv: no pictures; the table has no rows"},
      {"an empty file", "", {}, "DIR/m.csv: is empty; expected a header line"},
      {"a short row", head + "a.jpg,x\n", {}, "DIR/m.csv:2: 2 fields where the header has 3"},
      {"one class", head + "a.jpg,x,train\n", {}, "DIR/m.csv: only one class, 'x'; expected two or more"},
      {"no train", head + "a.jpg,x,val\n", {}, "DIR/m.csv: no picture in the training split"},
      {"no picture there",
       head + "q.jpg,x,train\nr.jpg,y,train\n",
       {},
       "DIR/m.csv: none of its 2 pictures exists; first: DIR/q.jpg (paths are relative to DIR)"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    put_pictures(folder);
    test::put_file(folder / "m.csv", c.bytes);
    CHECK(error_of(folder, folder / "m.csv", c.options) == c.error);
  }
}

TEST_CASE("a list gives its paths in their order", "[unit]") {
  test::TempFolder folder;
  put_pictures(folder);
  test::put_file(folder / "list.txt", "\xEF\xBB\xBFsub/7.jpg\r\n\n" + (folder / "b.jpg") + "\na.jpg\na.jpg");
  const Listing listing = data::list_data(folder / "list.txt", unlabelled());
  CHECK(listing.kind == "list");
  CHECK(lines_of(listing) == Strings{"sub/7.jpg  -1 ", (folder / "b.jpg") + "  -1 ", "a.jpg  -1 ", "a.jpg  -1 "});
  CHECK(listing.samples[0].file == folder / "sub/7.jpg");
  CHECK(listing.samples[1].file == folder / "b.jpg");
}

TEST_CASE("a list that cannot be used says why", "[unit]") {
  struct Case {
    const char* file;
    std::string bytes;
    ListingOptions options;
    std::string error;
  };
  const std::vector<Case> cases = {
      {"l.txt", "a.jpg\n", {}, "DIR/l.txt: a list has no labels; expected class folders or a manifest (.csv, .tsv)"},
      {"l.txt", "\n\r\n", unlabelled(), "DIR/l.txt: no pictures; the list is empty"},
      {"l.txt", "image_path,label\n", unlabelled(),
       "DIR/l.txt: looks like a manifest; expected its name to end in .csv or .tsv"},
      {"l.txt", "x.jpg\n", unlabelled(),
       "DIR/l.txt: none of its 1 picture exists; first: DIR/x.jpg (paths are relative to DIR)"},
      {"model.pt", std::string("PK\0\0", 4), unlabelled(),
       "DIR/model.pt: is no text; expected a folder, a manifest (.csv, .tsv) or a list of paths"},
      {"d.tar.gz", "x", unlabelled(), "DIR/d.tar.gz: is an archive; expected it unpacked into a folder"},
  };
  for (const Case& c : cases) {
    test::TempFolder folder;
    put_pictures(folder);
    test::put_file(folder / c.file, c.bytes);
    CHECK(error_of(folder, folder / c.file, c.options) == c.error);
  }
  CHECK_THROWS_AS(data::list_paths({}, "."), DataError);
}
