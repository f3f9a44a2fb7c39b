// The pixels this library makes of files, for comparing with other programs: golden_pillow.py drives it.
//
//   pixels [--dump FOLDER] < list
//
// Each line of the list is "CONFIG<tab>PATH"; CONFIG is "decode", or SIZE:RESIZE:INTERPOLATION[:exif] as
// "299:short:bilinear". For each one line comes back, in order: sha256<tab>width<tab>height<tab>what the headers say,
// or FAIL<tab>reason. With --dump the bytes themselves go to FOLDER/<line number from 0>.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/decode.h"
#include "image/transform.h"
#include "io/digest.h"

namespace {

using namespace engraft;

struct Result {
  std::string pixels;
  int width_px = 0;
  int height_px = 0;
  image::ImageInfo info;
};

Result run(const std::string& config, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("cannot be opened");
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Result out;
  const std::vector<std::string> words = text::split(config, ':');
  if (words[0] == "decode") {
    image::DecodeOptions options;
    options.exif = words.size() > 1 && words[1] == "exif";
    image::Decoded decoded = image::decode(image::ByteSpan(bytes), options);
    out.width_px = decoded.picture.width_px;
    out.height_px = decoded.picture.height_px;
    out.info = decoded.info;
    out.pixels.assign(decoded.picture.pixels.begin(), decoded.picture.pixels.end());
    return out;
  }
  image::Preprocessing preprocessing;
  preprocessing.size_px = static_cast<int>(text::to_int(words.at(0)).value());
  preprocessing.resize = words.at(1);
  preprocessing.interpolation = words.at(2);
  preprocessing.exif = words.size() > 3 && words[3] == "exif";
  preprocessing.fast_decode = words.size() > 3 && words[3] == "fast";
  image::validate(preprocessing);
  out.width_px = out.height_px = preprocessing.size_px;
  out.pixels.resize(static_cast<size_t>(out.width_px) * static_cast<size_t>(out.height_px) * 3);
  image::decode_and_preprocess(image::ByteSpan(bytes), preprocessing, reinterpret_cast<uint8_t*>(out.pixels.data()),
                               &out.info);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string dump = argc == 3 && std::string(argv[1]) == "--dump" ? argv[2] : "";
  std::string line;
  for (int64_t number = 0; std::getline(std::cin, line); ++number) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) {
      std::cerr << "pixels: line " << number << ": no tab\n";
      return 2;
    }
    try {
      const Result result = run(line.substr(0, tab), line.substr(tab + 1));
      const image::ImageInfo& info = result.info;
      std::cout << io::sha256(result.pixels) << '\t' << result.width_px << '\t' << result.height_px << '\t'
                << info.format << ' ' << info.mode << ' ' << info.bits << "bit"
                << (info.subsampling.empty() ? "" : " " + info.subsampling) << (info.progressive ? " progressive" : "")
                << (info.animated ? " animated" : "") << " orientation" << info.orientation << ' '
                << text::join(info.notes, "; ") << '\n';
      if (!dump.empty()) std::ofstream(dump + "/" + std::to_string(number), std::ios::binary) << result.pixels;
    } catch (const Error& error) {
      std::cout << "FAIL\t" << error.what() << '\n';
    }
  }
  return 0;
}
