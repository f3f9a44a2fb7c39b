#include "image/encode.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "base/errors.h"
#include "image/decode.h"

using namespace engraft;
using image::Picture;

namespace {

Picture gradient(int width, int height) {
  Picture picture(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = picture.row(y) + 3 * x;
      pixel[0] = static_cast<uint8_t>(255 * x / width);
      pixel[1] = static_cast<uint8_t>(255 * y / height);
      pixel[2] = static_cast<uint8_t>(255 * (x + y) / (width + height));
    }
  return picture;
}

}  // namespace

TEST_CASE("PNG gives back every byte", "[unit]") {
  for (const auto& [width, height] : {std::pair(1, 1), std::pair(97, 31), std::pair(3, 400)}) {
    const Picture picture = gradient(width, height);
    const std::string bytes = image::encode_png(picture);
    const image::Decoded back = image::decode(image::ByteSpan(bytes));
    CHECK(back.info.format == "png");
    CHECK(back.picture.width_px == width);
    CHECK(back.picture.height_px == height);
    CHECK(back.picture.pixels == picture.pixels);
  }
}

TEST_CASE("JPEG gives back nearly the same, the nearer the higher its quality", "[unit]") {
  const Picture picture = gradient(97, 61);
  double last = 1e9;
  for (const int quality : {20, 60, 95}) {
    const std::string bytes = image::encode_jpeg(picture, quality);
    const image::Decoded back = image::decode(image::ByteSpan(bytes));
    CHECK(back.info.subsampling == "4:2:0");
    REQUIRE(back.picture.pixels.size() == picture.pixels.size());
    double sum = 0;
    for (size_t i = 0; i < picture.pixels.size(); ++i) sum += std::abs(picture.pixels[i] - back.picture.pixels[i]);
    const double mean = sum / static_cast<double>(picture.pixels.size());
    CHECK(mean < last);
    last = mean;
  }
  CHECK(last < 3.0);  // a smooth picture at quality 95
}

TEST_CASE("what cannot be encoded is refused", "[unit]") {
  CHECK_THROWS_AS(image::encode_png(Picture()), DataError);
  CHECK_THROWS_AS(image::encode_jpeg(Picture(0, 5), 90), DataError);
  CHECK_THROWS_AS(image::encode_jpeg(Picture(66000, 1), 90), DataError);
  CHECK_THROWS_WITH(image::encode_jpeg(Picture(1, 1), 0), "JPEG quality: 1 to 100, not 0");
}
