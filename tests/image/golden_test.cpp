#include <catch2/catch.hpp>

#include "base/text.h"
#include "image/decode.h"
#include "image/golden_files.h"
#include "image/resize.h"
#include "image/transform.h"
#include "io/digest.h"

using namespace engraft;

namespace {

image::Picture run(const std::string& bytes, const std::string& job) {
  const std::vector<std::string> words = text::split(job, ':');
  const image::ByteSpan span(bytes);
  if (words[0] == "decode") {
    image::DecodeOptions options;
    options.exif = words.size() > 1;
    return image::decode(span, options).picture;
  }
  if (words[0] == "resize") {
    const std::vector<std::string> size = text::split(words[1], 'x');
    const auto side = [&](size_t i) { return static_cast<int>(text::to_int(size.at(i)).value()); };
    return image::resize(image::decode(span).picture, side(0), side(1), image::interpolation_of(words[2]));
  }
  image::Preprocessing preprocessing;
  preprocessing.size_px = static_cast<int>(text::to_int(words[0]).value());
  preprocessing.resize = words[1];
  preprocessing.interpolation = words[2];
  image::Picture out(preprocessing.size_px, preprocessing.size_px);
  image::decode_and_preprocess(span, preprocessing, out.pixels.data());
  return out;
}

}  // namespace

TEST_CASE("pixels are Pillow's and torchvision's, byte by byte", "[golden]") {
  int compared = 0;
  for (const std::string& line : text::split(test::golden_file("goldens.tsv"), '\n')) {
    if (line.empty()) continue;
    INFO(line);
    const std::vector<std::string> cells = text::split(line, '\t');
    REQUIRE(cells.size() == 5);
    const image::Picture picture = run(test::golden_file(cells[0]), cells[1]);
    CHECK(text::cat(picture.width_px, "x", picture.height_px) == cells[2] + "x" + cells[3]);
    CHECK(io::sha256({reinterpret_cast<const char*>(picture.pixels.data()), picture.pixels.size()}) == cells[4]);
    ++compared;
  }
  CHECK(compared >= 100);
}
