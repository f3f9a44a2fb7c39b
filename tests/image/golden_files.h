#pragma once

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace engraft::test {

/// The small pictures of tests/image/golden, and the whole of a file.
inline const std::vector<std::string>& golden_files() {
  static const std::vector<std::string> files = {
      "baseline.jpg", "progressive.jpg", "grey.jpg",      "cmyk.jpg",    "rgb.png",     "rgba.png", "tall.png",
      "palette.png",  "lossy.webp",      "lossless.webp", "palette.gif", "offset.gif",  "rgb.bmp",  "rle8.bmp",
      "lzw.tif",      "tiled.tif",       "raw.tif",       "colour.ppm",  "lossless.jp2"};
  return files;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string golden_file(const std::string& name) {
  return read_file(ENGRAFT_SOURCE_DIR "/tests/image/golden/" + name);
}

}  // namespace engraft::test
