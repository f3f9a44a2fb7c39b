// The pixels this library makes of views of pictures, for comparing with other programs: golden_augment.py drives it.
//
//   views FOLDER < list
//
// Each line of the list is "CONFIG<tab>WHAT<tab>PATH". CONFIG is SIZE:RESIZE:INTERPOLATION as "150:squash:bilinear";
// WHAT is a view as view_text.h has it, or "draw SEED KEY LIST" for one drawn. For each one line comes back: the view.
// The bytes [size, size, 3] go to FOLDER/<line number from 0>.
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "base/text.h"
#include "image/decode.h"
#include "image/golden_files.h"
#include "image/transform.h"
#include "image/view_text.h"

namespace {

using namespace engraft;

image::View view_for(const std::string& what, const image::Picture& picture, int size_px) {
  const std::vector<std::string> words = text::split(what, ' ');
  if (words[0] != "draw") return test::view_of(what);
  const auto seed = static_cast<uint64_t>(text::to_int(words.at(1)).value());
  const auto key = static_cast<uint64_t>(text::to_int(words.at(2)).value());
  RandomStream stream(seed, {key});
  return image::draw_view(image::parse_augmentation(words.at(3)), picture.width_px, picture.height_px, size_px, stream);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: views FOLDER < list\n";
    return 2;
  }
  std::string line, decoded_path;
  image::Picture picture;
  for (int64_t number = 0; std::getline(std::cin, line); ++number) {
    const std::vector<std::string> cells = text::split(line, '\t');
    const image::Preprocessing preprocessing = test::preprocessing_of(cells.at(0));
    image::validate(preprocessing);
    if (cells.at(2) != decoded_path) {
      decoded_path = cells[2];
      picture = image::decode(image::ByteSpan(test::read_file(decoded_path))).picture;
    }
    const image::View view = view_for(cells[1], picture, preprocessing.size_px);
    image::Picture out(preprocessing.size_px, preprocessing.size_px);
    image::apply_view(picture, preprocessing, view, out.pixels.data());
    std::ofstream file(argv[1] + ("/" + std::to_string(number)), std::ios::binary);
    file.write(reinterpret_cast<const char*>(out.pixels.data()), static_cast<std::streamsize>(out.pixels.size()));
    std::cout << test::text_of(view) << '\n';
  }
  return 0;
}
