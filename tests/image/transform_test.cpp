#include "image/transform.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "base/errors.h"
#include "image/encode.h"
#include "image/golden_files.h"

using namespace engraft;
using image::CropPlan;
using image::Preprocessing;

TEST_CASE("plans have torchvision's numbers", "[unit]") {
  struct Row {
    int width_px, height_px, size_px;
    const char* resize;
    CropPlan plan;
  };
  const std::vector<Row> rows = {
      {500, 375, 224, "short", {341, 256, 58, 16, 224, 224}},  // 58.5 rounds to the even 58
      {375, 500, 224, "short", {256, 341, 16, 58, 224, 224}},  //
      {333, 500, 224, "short", {256, 384, 16, 80, 224, 224}},  // 384.38 is cut, not rounded
      {500, 375, 299, "short", {456, 342, 78, 22, 299, 299}},  // 299 / 0.875 = 341.7; 78.5 and 21.5 to the even
      {1, 1, 224, "short", {256, 256, 16, 16, 224, 224}},      //
      {65500, 8, 224, "short", {2096000, 256, 1047888, 16, 224, 224}},
      {500, 375, 150, "squash", {150, 150, 0, 0, 150, 150}},
  };
  for (const Row& row : rows) {
    INFO(row.width_px << "x" << row.height_px << " to " << row.size_px);
    Preprocessing preprocessing;
    preprocessing.size_px = row.size_px;
    preprocessing.resize = row.resize;
    CHECK(image::plan(row.width_px, row.height_px, preprocessing) == row.plan);
  }
}

TEST_CASE("a picture too long and narrow for any plan is a DataError", "[unit]") {
  CHECK_THROWS_WITH(image::plan(100000000, 1, Preprocessing{}),
                    "100000000x1 pixels are too long and narrow to be resized");
}

TEST_CASE("a long and narrow picture is resized for the price of its window", "[unit]") {
  image::Picture strip(65500, 8);
  for (size_t i = 0; i < strip.pixels.size(); ++i) strip.pixels[i] = static_cast<uint8_t>(i % 251);
  const Preprocessing preprocessing;
  std::vector<uint8_t> out(224 * 224 * 3);
  image::preprocess(strip, preprocessing, out.data());
  // The window shows seven source columns around the middle, so that it is that part of the strip, enlarged.
  image::Picture middle(40, 8);
  for (int y = 0; y < 8; ++y) std::copy_n(strip.row(y) + 3 * (32750 - 20), middle.stride_bytes(), middle.row(y));
  std::vector<uint8_t> expected(out.size());
  image::preprocess(middle, preprocessing, expected.data());
  CHECK(out == expected);
}

TEST_CASE("what is out of range is named with what is allowed", "[unit]") {
  struct Row {
    std::function<void(Preprocessing&)> change;
    const char* error;
  };
  const std::vector<Row> rows = {
      {[](Preprocessing& p) { p.size_px = 0; }, "preprocessing.size_px: 1 to 16384, not 0"},
      {[](Preprocessing& p) { p.crop_ratio = 0.0; }, "preprocessing.crop_ratio: above 0 and at most 1, not 0"},
      {[](Preprocessing& p) { p.crop_ratio = 1.25; }, "preprocessing.crop_ratio: above 0 and at most 1, not 1.25"},
      {[](Preprocessing& p) { p.crop_ratio = std::numeric_limits<double>::quiet_NaN(); },
       "preprocessing.crop_ratio: above 0 and at most 1, not nan"},
      {[](Preprocessing& p) { p.resize = "long"; }, "preprocessing.resize: short or squash, not 'long'"},
      {[](Preprocessing& p) { p.interpolation = "lanczos"; },
       "preprocessing.interpolation: bilinear or bicubic, not 'lanczos'"},
      {[](Preprocessing& p) { p.std[1] = 0.0; }, "preprocessing.std: three finite numbers above 0, not 0"},
      {[](Preprocessing& p) { p.mean[2] = std::numeric_limits<double>::infinity(); },
       "preprocessing.mean: three finite numbers, not inf"},
      {[](Preprocessing& p) { p.channels = "grb"; }, "preprocessing.channels: rgb or bgr, not 'grb'"},
  };
  CHECK_NOTHROW(image::validate(Preprocessing{}));
  for (const Row& row : rows) {
    Preprocessing preprocessing;
    row.change(preprocessing);
    CHECK(preprocessing != Preprocessing{});
    CHECK_THROWS_AS(image::validate(preprocessing), UsageError);
    CHECK_THROWS_WITH(image::validate(preprocessing), row.error);
  }
}

TEST_CASE("decoding and resizing in one call is the two calls, EXIF included", "[unit]") {
  const std::string bytes = test::golden_file("baseline.jpg");
  for (const bool exif : {false, true}) {
    Preprocessing preprocessing;
    preprocessing.size_px = 40;
    preprocessing.exif = exif;
    image::DecodeOptions options;
    options.exif = exif;
    std::vector<uint8_t> at_once(40 * 40 * 3), in_two(at_once.size());
    image::ImageInfo info;
    image::decode_and_preprocess(image::ByteSpan(bytes), preprocessing, at_once.data(), &info);
    image::preprocess(image::decode(image::ByteSpan(bytes), options).picture, preprocessing, in_two.data());
    CHECK(at_once == in_two);
    CHECK(info.orientation == 6);
  }
}
