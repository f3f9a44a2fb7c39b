#include "image/exif.h"

#include <catch2/catch.hpp>
#include <string>

using namespace engraft;
using image::ByteSpan;
using image::Picture;

namespace {

using Grid = std::vector<std::string>;

Picture picture_of(const Grid& rows) {
  Picture picture(static_cast<int>(rows[0].size()), static_cast<int>(rows.size()));
  uint8_t* to = picture.pixels.data();
  for (const std::string& row : rows)
    for (const char c : row)
      for (int i = 0; i < 3; ++i) *to++ = static_cast<uint8_t>(c + i);
  return picture;
}

std::string block(bool little, uint16_t tag, uint16_t type, uint32_t count, uint32_t value) {
  std::string out = little ? std::string("II*\0\x08\0\0\0", 8) : std::string("MM\0*\0\0\0\x08", 8);
  const auto put = [&](uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> 8 * (little ? i : bytes - 1 - i));
  };
  put(1, 2);
  put(tag, 2);
  put(type, 2);
  put(count, 4);
  if (type == 3) {
    put(value, 2);
    put(0, 2);
  } else {
    put(value, 4);
  }
  put(0, 4);
  return out;
}

}  // namespace

TEST_CASE("each orientation turns the picture upright", "[unit]") {
  const Grid stored = {"abc", "def"};
  const std::vector<Grid> upright = {{"abc", "def"},     {"cba", "fed"},     {"fed", "cba"},     {"def", "abc"},
                                     {"ad", "be", "cf"}, {"da", "eb", "fc"}, {"fc", "eb", "da"}, {"cf", "be", "ad"}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    INFO("orientation " << orientation);
    const Picture expected = picture_of(upright[static_cast<size_t>(orientation - 1)]);
    const Picture turned = image::upright(picture_of(stored), orientation);
    CHECK(turned.width_px == expected.width_px);
    CHECK(turned.height_px == expected.height_px);
    CHECK(turned.pixels == expected.pixels);
  }
  CHECK(image::upright(picture_of(stored), 0).pixels == picture_of(stored).pixels);
  CHECK(image::upright(picture_of(stored), 9).pixels == picture_of(stored).pixels);
}

TEST_CASE("the orientation is found in either byte order, and only there", "[unit]") {
  struct Row {
    std::string bytes;
    int orientation;
  };
  const std::vector<Row> rows = {
      {block(true, 0x0112, 3, 1, 6), 6},
      {block(false, 0x0112, 3, 1, 8), 8},
      {std::string("Exif\0\0", 6) + block(false, 0x0112, 3, 1, 3), 3},
      {block(true, 0x0112, 4, 1, 5), 5},
      {block(true, 0x0112, 3, 1, 0), 0},
      {block(true, 0x0112, 3, 1, 9), 0},
      {block(true, 0x0112, 2, 1, 6), 0},
      {block(true, 0x0112, 3, 2, 6), 0},
      {block(true, 0x0110, 3, 1, 6), 0},
      {"", 0},
      {"Exif", 0},
  };
  for (const Row& row : rows) CHECK(image::exif_orientation(ByteSpan(row.bytes)) == row.orientation);
  const std::string whole = block(true, 0x0112, 3, 1, 6);
  for (size_t cut = 0; cut < 22; ++cut) CHECK(image::exif_orientation(ByteSpan(whole.substr(0, cut))) == 0);
}

TEST_CASE("XMP gives the orientation as an attribute or an element", "[unit]") {
  CHECK(image::xmp_orientation(ByteSpan("<x tiff:Orientation=\"6\"/>")) == 6);
  CHECK(image::xmp_orientation(ByteSpan("<tiff:Orientation>8</tiff:Orientation>")) == 8);
  CHECK(image::xmp_orientation(ByteSpan("<tiff:Orientation")) == 0);
  CHECK(image::xmp_orientation(ByteSpan("<tiff:Orientation>9<")) == 0);
  CHECK(image::xmp_orientation(ByteSpan("")) == 0);
}
