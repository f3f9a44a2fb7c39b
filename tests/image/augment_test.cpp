#include "image/augment.h"

#include <catch2/catch.hpp>
#include <thread>

#include "base/errors.h"
#include "base/text.h"
#include "image/augment_colour.h"
#include "image/augment_view.h"
#include "image/augment_warp.h"
#include "image/decode.h"
#include "image/golden_files.h"
#include "image/transform.h"
#include "image/view_text.h"
#include "io/digest.h"

using namespace engraft;
using image::Augmentation;
using image::parse_augmentation;
using image::Picture;
using image::View;

namespace {

/// Colour fields with a grain, different in every pixel and channel.
Picture made(int width_px, int height_px) {
  Picture out(width_px, height_px);
  RandomStream stream(5, {static_cast<uint64_t>(width_px), static_cast<uint64_t>(height_px)});
  for (int y = 0; y < height_px; ++y)
    for (int x = 0; x < 3 * width_px; ++x)
      out.row(y)[x] = static_cast<uint8_t>((x * 2 + y * 3) % 200 + static_cast<int>(stream.below(50)));
  return out;
}

image::Preprocessing squash(int size_px) { return test::preprocessing_of(text::cat(size_px, ":squash:bilinear")); }

using Bytes = std::vector<uint8_t>;

Bytes preprocessed(const Picture& picture, const image::Preprocessing& preprocessing) {
  Picture out(preprocessing.size_px, preprocessing.size_px);
  image::preprocess(picture, preprocessing, out.pixels.data());
  return out.pixels;
}

Bytes applied(const Picture& picture, const image::Preprocessing& preprocessing, const View& view) {
  Picture out(preprocessing.size_px, preprocessing.size_px);
  image::apply_view(picture, preprocessing, view, out.pixels.data());
  return out.pixels;
}

Bytes augmented(const std::string& list, const Picture& picture, uint64_t seed, uint64_t key) {
  RandomStream stream(seed, {key});
  Picture out(48, 48);
  image::augment(picture, squash(48), parse_augmentation(list), stream, out.pixels.data());
  return out.pixels;
}

}  // namespace

TEST_CASE("a list says what is drawn", "[unit]") {
  struct Row {
    const char* list;
    const char* text;
  };
  const std::vector<Row> rows = {
      {"", "none"},
      {"none", "none"},
      {" none ", "none"},
      {"rotate=0,flip=0,jitter=0:0:0:0,erase=0", "none"},
      {"practicum", "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip=0.5"},
      {"standard", "crop=0.08:1,flip=0.5"},
      {"standard,jitter", "crop=0.08:1,flip=0.5,jitter=0.4:0.4:0.4:0"},
      {"trivial, flip", "flip=0.5,trivial"},
      {"erase,crop=0.25:0.75,flip=1", "crop=0.25:0.75,flip=1,erase=0.25"},
      {"jitter=0.1:0:2.5:0.05", "jitter=0.1:0:2.5:0.05"},
      {"rotate=180,shear=89,zoom=0.999,shift=1", "rotate=180,shift=1,shear=89,zoom=0.999"},
      {"zoom=0.1,rotate=1e-3", "rotate=0.001,zoom=0.1"},
  };
  for (const Row& row : rows) {
    INFO(row.list);
    const Augmentation read = parse_augmentation(row.list);
    CHECK(image::to_text(read) == row.text);
    CHECK(parse_augmentation(image::to_text(read)) == read);
    CHECK(image::is_random(read) == (std::string(row.text) != "none"));
  }
  const Augmentation practicum = parse_augmentation("practicum");
  CHECK(practicum.rotate_deg == 40);
  CHECK(practicum.shear_deg == 0.2);
  CHECK(practicum != parse_augmentation("standard"));
}

TEST_CASE("a wrong list is named with what it may be", "[unit]") {
  struct Row {
    const char* list;
    const char* error;
  };
  const char* const words = "; words: rotate shift shear zoom crop flip trivial jitter erase practicum standard none";
  const std::vector<Row> rows = {
      {"rotate=200", "augment: rotate: 0 to 180 degrees, not '200'"},
      {"rotate=-1", "augment: rotate: 0 to 180 degrees, not '-1'"},
      {"rotate=nan", "augment: rotate: 0 to 180 degrees, not 'nan'"},
      {"rotate=4O", "augment: rotate: 0 to 180 degrees, not '4O'"},
      {"rotate=1:2", "augment: rotate: 0 to 180 degrees, not '1:2'"},
      {"rotate=", "augment: rotate: 0 to 180 degrees, not ''"},
      {"flip,shear", "augment: shear: needs a value, 0 to 89 degrees, as shear=0.2"},
      {"shear=90", "augment: shear: 0 to 89 degrees, not '90'"},
      {"shift=1.5", "augment: shift: 0 to 1 of the side, not '1.5'"},
      {"zoom=1", "augment: zoom: 0 to below 1, not '1'"},
      {"crop=0:1", "augment: crop: LEAST:MOST, shares of the area, above 0 and at most 1, not '0:1'"},
      {"crop=0.5:0.4", "augment: crop: LEAST:MOST, shares of the area, above 0 and at most 1, not '0.5:0.4'"},
      {"flip=1.01", "augment: flip: a probability, 0 to 1, not '1.01'"},
      {"trivial=3", "augment: trivial: takes no value, not '3'"},
      {"jitter=0.4",
       "augment: jitter: BRIGHTNESS:CONTRAST:SATURATION:HUE, the last 0 to 0.5, the others 0 to 10, not '0.4'"},
      {"jitter=0:0:0:0.6",
       "augment: jitter: BRIGHTNESS:CONTRAST:SATURATION:HUE, the last 0 to 0.5, the others 0 to 10, not '0:0:0:0.6'"},
      {"flip,flip=1", "augment: flip: stands twice"},
      {"standard,flip", "augment: flip: stands twice"},
      {"flip,none", "augment: none: stands alone or not at all"},
  };
  for (const Row& row : rows) {
    CHECK_THROWS_AS(parse_augmentation(row.list), UsageError);
    CHECK_THROWS_WITH(parse_augmentation(row.list), row.error);
  }
  CHECK_THROWS_WITH(parse_augmentation("rotat=40"),
                    text::cat("augment: unknown word 'rotat=40'; did you mean 'rotate'?", words));
  CHECK_THROWS_WITH(parse_augmentation("flip,,crop"), text::cat("augment: unknown word ''", words));
  CHECK_THROWS_WITH(parse_augmentation("mosaicking"), text::cat("augment: unknown word 'mosaicking'", words));
}

TEST_CASE("a view is a function of seed and key alone", "[unit]") {
  const Picture picture = made(80, 60);
  CHECK(augmented("none", picture, 1, 2) == preprocessed(picture, squash(48)));
  for (const char* list : {"practicum", "standard", "trivial", "jitter", "jitter=0:0:0:0.5", "erase=1", "flip"}) {
    INFO(list);
    int different_keys = 0, different_seeds = 0;
    for (uint64_t key = 0; key < 10; ++key) {
      const Bytes view = augmented(list, picture, 1, key);
      CHECK(view == augmented(list, picture, 1, key));
      different_keys += view != augmented(list, picture, 1, key + 1);
      different_seeds += view != augmented(list, picture, 2, key);
    }
    // A flip has two outcomes and is the same ten times once in a thousand; of the rest nearly every view is its own.
    CHECK(different_keys >= (std::string(list) == "flip" ? 1 : 7));
    CHECK(different_seeds >= (std::string(list) == "flip" ? 1 : 7));
  }
}

TEST_CASE("a view of the square is the view of the picture", "[unit]") {
  CHECK_FALSE(image::is_of_square(parse_augmentation("standard")));
  for (const char* list : {"practicum", "flip,trivial,jitter,erase"}) {
    for (const char* text : {"40:squash:bilinear", "40:short:bilinear"}) {
      INFO(list << " " << text);
      const Augmentation augmentation = parse_augmentation(list);
      CHECK(image::is_of_square(augmentation));
      const image::Preprocessing preprocessing = test::preprocessing_of(text);
      const Picture picture = made(73, 51);
      Picture square(40, 40), whole(40, 40), of_square(40, 40);
      image::preprocess(picture, preprocessing, square.pixels.data());
      for (uint64_t view = 0; view < 20; ++view) {
        RandomStream one(3, {view}), other(3, {view});
        image::augment(picture, preprocessing, augmentation, one, whole.pixels.data());
        image::augment_square(square, preprocessing, augmentation, other, of_square.pixels.data());
        CHECK(whole.pixels == of_square.pixels);
      }
    }
  }
}

TEST_CASE("threads that make views at the same time make the same ones", "[unit]") {
  const Picture picture = made(80, 60);
  const std::string list = "practicum,crop,trivial,jitter=0.4:0.4:0.4:0.1,erase=1";
  std::vector<Bytes> expected, found(32);
  for (uint64_t key = 0; key < 32; ++key) expected.push_back(augmented(list, picture, 3, key));
  std::vector<std::thread> threads;
  for (uint64_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      for (uint64_t key = first; key < 32; key += 4) found[key] = augmented(list, picture, 3, key);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(found == expected);
}

TEST_CASE("what changes by nothing leaves every byte", "[unit]") {
  const Picture picture = made(61, 43);
  const auto preprocessing = squash(40);
  const Bytes plain = preprocessed(picture, preprocessing);
  for (const char* view : {"-", "warp=0,0,0,0,1,1", "jitter=0123,1,1,1,0", "crop=0,0,61,43", "erase=3,4,0,0",
                           "trivial=0,0", "trivial=1,0", "trivial=2,0", "trivial=3,0", "trivial=4,0.9", "trivial=5,0",
                           "trivial=6,0", "trivial=7,0", "trivial=8,0", "trivial=9,0", "trivial=10,8"}) {
    INFO(view);
    CHECK(applied(picture, preprocessing, test::view_of(view)) == plain);
  }
  Picture twice = made(31, 20);
  image::augmenting::mirror(twice);
  CHECK(twice.pixels != made(31, 20).pixels);
  image::augmenting::mirror(twice);
  CHECK(twice.pixels == made(31, 20).pixels);
}

TEST_CASE("warps move pixels as Keras does", "[unit]") {
  const Picture picture = made(20, 20);
  const auto moved = [&](const char* view, int row, int column) {
    const Bytes out = applied(picture, squash(20), test::view_of(view));
    return out[static_cast<size_t>(row * 20 + column) * 3];
  };
  // The map says where an output pixel is looked up: moving right by a quarter shows what lies five pixels further.
  CHECK(moved("warp=0,0,0.25,0,1,1", 7, 4) == picture.row(7)[3 * 9]);
  CHECK(moved("warp=0,-0.1,0,0,1,1", 7, 4) == picture.row(5)[3 * 4]);
  CHECK(moved("warp=0,0,0.25,0,1,1", 7, 19) == picture.row(7)[3 * 19]);  // beyond the edge, the edge
  CHECK(moved("warp=0,1,1,0,1,1", 3, 3) == picture.row(19)[3 * 19]);
  CHECK(moved("warp=180,0,0,0,1,1", 2, 5) == picture.row(17)[3 * 14]);
  CHECK(moved("warp=90,0,0,0,1,1", 2, 5) == picture.row(14)[3 * 2]);
}

TEST_CASE("rotating by right angles is exact", "[unit]") {
  const Picture picture = made(21, 21);
  Picture turned = picture;
  for (int i = 0; i < 4; ++i) turned = image::augmenting::rotated(turned, 90);
  CHECK(turned.pixels == picture.pixels);
  // Counter-clockwise: the upper right corner becomes the upper left one.
  CHECK(image::augmenting::rotated(picture, 90).row(0)[0] == picture.row(0)[3 * 20]);
  CHECK(image::augmenting::rotated(picture, -90).pixels == image::augmenting::rotated(picture, 270).pixels);
}

TEST_CASE("colours keep to their range", "[unit]") {
  Picture picture(1, 1);
  picture.pixels = {250, 100, 3};
  image::augmenting::adjust_brightness(picture, 2.0);
  CHECK(picture.pixels == Bytes{255, 200, 6});
  image::augmenting::adjust_saturation(picture, 0.0);
  CHECK(picture.pixels == Bytes{194, 194, 194});  // 0.299 * 255 + 0.587 * 200 + 0.114 * 6 = 194.3
  picture.pixels = {255, 0, 0};
  image::augmenting::adjust_hue(picture, 1.0 / 3);
  CHECK(picture.pixels == Bytes{0, 255, 0});
  image::augmenting::posterize(picture, 1);
  CHECK(picture.pixels == Bytes{0, 128, 0});
  image::augmenting::solarize(picture, 128);
  CHECK(picture.pixels == Bytes{0, 127, 0});
}

TEST_CASE("what is erased has the mean colour and nothing else changes", "[unit]") {
  const Picture picture = made(30, 30);
  image::Preprocessing preprocessing = squash(30);
  preprocessing.mean = {0.5, 1.5, -0.2};
  const Bytes out = applied(picture, preprocessing, test::view_of("erase=4,10,7,3"));
  for (int y = 0; y < 30; ++y)
    for (int x = 0; x < 30; ++x) {
      const bool inside = x >= 4 && x < 11 && y >= 10 && y < 13;
      const auto at = static_cast<size_t>(y * 30 + x) * 3;
      const Bytes expected = inside ? Bytes{128, 255, 0} : Bytes(&picture.row(y)[3 * x], &picture.row(y)[3 * x] + 3);
      if (Bytes(out.begin() + static_cast<ptrdiff_t>(at), out.begin() + static_cast<ptrdiff_t>(at) + 3) != expected)
        FAIL("pixel " << x << ", " << y);
    }
}

TEST_CASE("views are torchvision's and Keras', byte by byte", "[golden]") {
  int compared = 0;
  for (const std::string& line : text::split(test::golden_file("views.tsv"), '\n')) {
    if (line.empty()) continue;
    INFO(line);
    const std::vector<std::string> cells = text::split(line, '\t');
    REQUIRE(cells.size() == 4);
    const Picture picture = image::decode(image::ByteSpan(test::golden_file(cells[0]))).picture;
    const Bytes out = applied(picture, test::preprocessing_of(cells[1]), test::view_of(cells[2]));
    CHECK(io::sha256({reinterpret_cast<const char*>(out.data()), out.size()}) == cells[3]);
    ++compared;
  }
  CHECK(compared == 92);
}
