#include "data/digest.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>

#include "support/support.h"

using namespace engraft;
using data::DigestOf;
using data::Listing;

namespace {

void lay_out(const test::TempFolder& folder) {
  for (const char* name : {"train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg", "val/b/2.jpg"}) {
    test::put_file(folder / name, std::string("bytes of ") + name);
  }
}

}  // namespace

TEST_CASE("a data digest does not depend on where the data lie", "[unit]") {
  test::TempFolder one;
  test::TempFolder other;
  lay_out(one);
  lay_out(other);
  for (const DigestOf what : {DigestOf::kSizes, DigestOf::kContent}) {
    const std::string digest = data_digest(data::list_data(one.path(), {}), what);
    CHECK(digest.size() == 32);
    CHECK(digest == data_digest(data::list_data(other.path() + "/", {}), what));
  }
  const Listing listing = data::list_data(one.path(), {});
  CHECK(data_digest(listing, DigestOf::kSizes) != data_digest(listing, DigestOf::kContent));
}

TEST_CASE("a data digest notices every change it should", "[unit]") {
  struct Case {
    const char* what;
    std::function<void(Listing&, const std::string&)> change;
    bool changes_sizes;
  };
  const std::vector<Case> cases = {
      {"nothing", [](Listing&, const std::string&) {}, false},
      {"label", [](Listing& l, const std::string&) { l.samples[0].label_name = "b"; }, true},
      {"split", [](Listing& l, const std::string&) { l.samples[0].split = "val"; }, true},
      {"name", [](Listing& l, const std::string&) { l.samples[0].image_path += "x"; }, true},
      {"order", [](Listing& l, const std::string&) { std::swap(l.samples[0], l.samples[1]); }, true},
      {"class", [](Listing& l, const std::string&) { l.classes[0] = "z"; }, true},
      {"fewer", [](Listing& l, const std::string&) { l.samples.pop_back(); }, true},
      {"fields that run together",
       [](Listing& l, const std::string&) {
         l.samples[0].image_path += l.samples[0].label_name;
         l.samples[0].label_name.clear();
       },
       true},
      {"size", [](Listing&, const std::string& file) { test::put_file(file, "longer bytes than before"); }, true},
      {"gone", [](Listing&, const std::string& file) { std::filesystem::remove(file); }, true},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    test::TempFolder folder;
    lay_out(folder);
    Listing listing = data::list_data(folder.path(), {});
    const std::string sizes = data_digest(listing, DigestOf::kSizes);
    const std::string content = data_digest(listing, DigestOf::kContent);
    c.change(listing, folder / "train/a/1.jpg");
    CHECK((data_digest(listing, DigestOf::kSizes) != sizes) == c.changes_sizes);
    CHECK((data_digest(listing, DigestOf::kContent) != content) == c.changes_sizes);
  }
}

TEST_CASE("only the content digest sees a picture changed at equal size", "[unit]") {
  test::TempFolder folder;
  lay_out(folder);
  const Listing listing = data::list_data(folder.path(), {});
  const std::string sizes = data_digest(listing, DigestOf::kSizes);
  const std::string content = data_digest(listing, DigestOf::kContent);
  test::put_file(folder / "val/b/2.jpg", "BYTES of val/b/2.jpg");
  CHECK(data_digest(listing, DigestOf::kSizes) == sizes);
  CHECK(data_digest(listing, DigestOf::kContent) != content);
}
