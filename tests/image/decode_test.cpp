#include "image/decode.h"

#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <thread>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "image/encode.h"
#include "image/golden_files.h"
#include "support/support.h"

using namespace engraft;
using image::ByteSpan;
using image::decode;
using test::golden_file;
using test::golden_files;

namespace {

/// The pixels, or the reason why not.
struct Verdict {
  std::vector<uint8_t> pixels;
  std::string reason;
};

Verdict verdict_of(const std::string& bytes, const image::DecodeOptions& options = {}) {
  try {
    return {decode(ByteSpan(bytes), options).picture.pixels, ""};
  } catch (const DataError& error) {
    return {{}, error.what()};
  }
}

/// CRC-32 as PNG has it (annex D of its specification).
uint32_t checksum(const std::string& bytes) {
  uint32_t sum = 0xffffffff;
  for (const char c : bytes) {
    sum ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum & 1) != 0 ? 0xedb88320 ^ (sum >> 1) : sum >> 1;
  }
  return ~sum;
}

}  // namespace

TEST_CASE("what is not a picture is refused by what it starts with", "[unit]") {
  struct Row {
    std::string bytes;
    std::string reason;
  };
  const std::vector<Row> rows = {
      {"", "empty file"},
      {"<html><body>404", "not an image: starts with '<html><b'"},
      {std::string("\x01\x02", 2), "not an image: starts with '\\x01\\x02'"},
      {"%PDF-1.7", "a PDF document, not an image"},
      {std::string("\0\0\0\x1c", 4) + "ftypavif", "AVIF pictures are not supported"},
      {std::string("\0\0\0\x1c", 4) + "ftypheic", "HEIC pictures are not supported"},
      {std::string("\0\0\1\0\1\0", 6), "ICO pictures are not supported"},
      {"\x89PNG\n\x1a\n", "damaged PNG: its signature was changed in transfer"},
      {"\x89PNG\r\n\x1a\n", "truncated PNG: it ends before its pixels"},
      {"RIFF\x10", "not an image: starts with 'RIFF\\x10'"},
      {"P7 nothing", "not an image: starts with 'P7 nothi'"},
  };
  for (const Row& row : rows) CHECK(verdict_of(row.bytes).reason == row.reason);
}

TEST_CASE("headers are told by content, with or without pixels", "[unit]") {
  struct Row {
    const char* file;
    const char* format;
    const char* mode;
    int width_px, height_px, orientation;
    const char* subsampling;
    bool progressive;
  };
  const std::vector<Row> rows = {
      {"baseline.jpg", "jpeg", "rgb", 61, 43, 6, "4:2:0", false},
      {"progressive.jpg", "jpeg", "rgb", 61, 43, 1, "4:2:0", true},
      {"grey.jpg", "jpeg", "grey", 61, 43, 1, "", false},
      {"cmyk.jpg", "jpeg", "cmyk", 40, 30, 1, "", false},
      {"rgb.png", "png", "rgb", 61, 43, 6, "", false},
      {"rgba.png", "png", "rgba", 61, 43, 1, "", false},
      {"palette.png", "png", "palette", 61, 43, 1, "", false},
      {"lossy.webp", "webp", "rgb", 61, 43, 6, "", false},
      {"lossless.webp", "webp", "rgba", 61, 43, 1, "", false},
      {"offset.gif", "gif", "palette", 40, 30, 1, "", false},
      {"rgb.bmp", "bmp", "rgb", 21, 13, 1, "", false},
      {"rle8.bmp", "bmp", "palette", 12, 5, 1, "", false},
      {"lzw.tif", "tiff", "rgb", 61, 43, 6, "", false},
      {"colour.ppm", "pnm", "rgb", 21, 13, 1, "", false},
      {"lossless.jp2", "jpeg2000", "rgb", 61, 43, 1, "", false},
  };
  for (const Row& row : rows) {
    INFO(row.file);
    const std::string bytes = golden_file(row.file);
    for (const image::ImageInfo& info : {image::probe(ByteSpan(bytes)), decode(ByteSpan(bytes)).info}) {
      CHECK(info.format == row.format);
      CHECK(info.mode == row.mode);
      CHECK(info.width_px == row.width_px);
      CHECK(info.height_px == row.height_px);
      CHECK(info.orientation == row.orientation);
      CHECK(info.subsampling == row.subsampling);
      CHECK(info.progressive == row.progressive);
    }
  }
}

TEST_CASE("a file cut anywhere is an error or the whole picture, never half of it", "[unit]") {
  for (const std::string& name : golden_files()) {
    const std::string bytes = golden_file(name);
    const std::vector<uint8_t> whole = decode(ByteSpan(bytes)).picture.pixels;
    std::vector<size_t> cuts;
    for (size_t i = 0; i < 64; ++i) cuts.push_back(bytes.size() * i / 64);
    for (size_t i = 1; i <= 24 && i < bytes.size(); ++i) cuts.push_back(bytes.size() - i);
    size_t refused = 0;
    for (const size_t cut : cuts) {
      INFO(name << " cut to " << cut << " of " << bytes.size() << " bytes");
      const Verdict verdict = verdict_of(bytes.substr(0, cut));
      if (verdict.reason.empty())
        CHECK(verdict.pixels == whole);
      else
        ++refused;
    }
    INFO(name);
    CHECK(refused >= 40);
  }
}

TEST_CASE("a picture over the limit is refused before its pixels are read", "[unit]") {
  image::DecodeOptions options;
  for (const std::string& name : golden_files()) {
    INFO(name);
    const std::string bytes = golden_file(name);
    const image::ImageInfo info = image::probe(ByteSpan(bytes));
    const int64_t pixels = static_cast<int64_t>(info.width_px) * info.height_px;
    options.max_pixels = pixels;
    CHECK(verdict_of(bytes, options).reason.empty());
    options.max_pixels = pixels - 1;
    CHECK(verdict_of(bytes, options).reason ==
          text::cat(info.width_px, "x", info.height_px, " pixels are more than the limit of ", pixels - 1));
  }
}

TEST_CASE("a JPEG may be decoded at a part of its size, as long as both sides stay long enough; others are whole",
          "[unit]") {
  image::Picture drawn(400, 301);
  for (size_t i = 0; i < drawn.pixels.size(); ++i) drawn.pixels[i] = static_cast<uint8_t>(i / 1200);
  const auto size_of = [&](const std::string& bytes, int least_side_px) {
    image::DecodeOptions options;
    options.least_side_px = least_side_px;
    const image::Decoded decoded = decode(ByteSpan(bytes), options);
    CHECK(decoded.info.width_px == 400);  // of the file
    CHECK(decoded.picture.pixels.size() ==
          static_cast<size_t>(decoded.picture.width_px) * static_cast<size_t>(decoded.picture.height_px) * 3);
    return std::make_pair(decoded.picture.width_px, decoded.picture.height_px);
  };
  const std::string jpeg = image::encode_jpeg(drawn, 90);
  CHECK(size_of(jpeg, 0) == std::make_pair(400, 301));
  CHECK(size_of(jpeg, 151) == std::make_pair(400, 301));  // 301 / 2 is 150
  CHECK(size_of(jpeg, 150) == std::make_pair(200, 151));
  CHECK(size_of(jpeg, 76) == std::make_pair(200, 151));
  CHECK(size_of(jpeg, 75) == std::make_pair(100, 76));
  CHECK(size_of(jpeg, 1) == std::make_pair(50, 38));
  CHECK(size_of(image::encode_png(drawn), 1) == std::make_pair(400, 301));
}

TEST_CASE("a PNG whose header promises more than its data can hold is refused before memory is taken", "[unit]") {
  std::string bytes = golden_file("rgb.png");
  const auto put = [&bytes](size_t at, uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes[at + static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
  };
  put(16, 13000);
  put(20, 13000);
  put(29, checksum(bytes.substr(12, 17)));
  CHECK(verdict_of(bytes).reason == "truncated PNG: its pixels end too soon");
}

TEST_CASE("threads decode alike, and share the modules", "[unit]") {
  std::vector<std::string> files;
  std::vector<std::vector<uint8_t>> whole;
  for (const std::string& name : golden_files()) files.push_back(golden_file(name));
  std::vector<std::vector<std::vector<uint8_t>>> found(4);
  std::vector<std::thread> threads;
  for (auto& mine : found)
    threads.emplace_back([&files, &mine] {
      for (const std::string& bytes : files) mine.push_back(verdict_of(bytes).pixels);
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& bytes : files) whole.push_back(decode(ByteSpan(bytes)).picture.pixels);
  for (const auto& mine : found) CHECK(mine == whole);
}

TEST_CASE("damaged bytes give a DataError or a picture, nothing else", "[slow]") {
  constexpr uint64_t kRounds = 1000;
  image::DecodeOptions options;
  options.max_pixels = 1 << 20;
  options.exif = true;
  for (const std::string& name : golden_files()) {
    const std::string bytes = golden_file(name);
    int refused = 0;
    for (uint64_t round = 0; round < kRounds; ++round) {
      RandomStream random(11, {round});
      std::string damaged = bytes;
      const uint64_t flips = 1 + random.below(6);
      for (uint64_t i = 0; i < flips; ++i) {
        // Every other flip goes to the headers, where sizes and offsets are.
        const uint64_t range = i % 2 == 0 ? damaged.size() : std::min<uint64_t>(damaged.size(), 128);
        damaged[random.below(range)] = static_cast<char>(random.below(256));
      }
      if (random.below(8) == 0) damaged.resize(random.below(damaged.size()) + 1);
      INFO(name << " round " << round);
      REQUIRE_NOTHROW(refused += !verdict_of(damaged, options).reason.empty());
    }
    INFO(name);
    CHECK(refused > 0);
  }
}

TEST_CASE("every nasty file is read or refused as Pillow does, but for the reasons given", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const std::string folder = shared + "/data/bad_images/";

  // Where the verdict is not the one that INDEX.tsv gives for Pillow.
  const std::map<std::string, std::string> different = {
      {"bad_exif_grey.jpg", "a marker inside the scan is damage; Pillow fills up with grey"},
      {"broken_data_stream.png", "its data are damaged; Pillow 13 refuses it as well"},
      {"text_chunk_bomb.png", "text is never inflated, so that there is nothing to refuse"},
      {"truncated_header.jpg", "the cut is in a segment nobody needs; Pillow 13 reads it as well"},
  };
  const std::map<std::string, std::string> reasons = {
      {"apng_zero_frames.png", "damaged PNG: it has no pixels"},
      {"bad_exif_grey.jpg", "truncated JPEG: Corrupt JPEG data: premature end of data segment"},
      {"bomb_30000x30000_1bit.png", "30000x30000 pixels are more than the limit of 178956970"},
      {"broken.png", "damaged PNG: its first chunk is not a header"},
      {"broken_data_stream.png", "damaged PNG: bad adaptive filter value"},
      {"cat0_truncated_at_12000.jpg", "truncated JPEG: Premature end of JPEG file"},
      {"decompression_bomb.gif", "truncated GIF: failed to read from given file"},
      {"decompression_bomb.ico", "ICO pictures are not supported"},
      {"html_as.jpg", "not an image: starts with '<html><b'"},
      {"jpeg_12bit.jpg", "damaged JPEG: Unsupported JPEG data precision 12"},
      {"png_bad_ihdr_crc.png", "damaged PNG: wrong checksum in its IHDR chunk"},
      {"png_bad_signature.png", "not an image: starts with '\\x09PNG\\x0d\\x0a\\x1a\\x0a'"},
      {"png_crlf_damaged.png", "damaged PNG: its signature was changed in transfer"},
      {"png_no_idat.png", "damaged PNG: it has no pixels"},
      {"random_bytes.jpg", "not an image: starts with '\\xf5\\xc4~7~g\\x1b>'"},
      {"truncated.png", "truncated PNG: its pixels end too soon"},
      {"truncated_progressive.jpg", "truncated JPEG: Premature end of JPEG file"},
      {"ultrahdr_mpo.jpg", "truncated JPEG: Premature end of JPEG file"},
      {"unknown_compression.png", "damaged PNG: wrong checksum in its iCCP chunk"},
      {"zero_byte.jpg", "empty file"},
  };
  int rows = 0;
  for (const std::string& line : text::split(test::read_file(folder + "INDEX.tsv"), '\n')) {
    const std::vector<std::string> cells = text::split(line, '\t');
    if (cells.size() != 4 || cells[0] == "file") continue;
    ++rows;
    INFO(cells[0] << ", Pillow: " << cells[3]);
    const Verdict verdict = verdict_of(test::read_file(folder + cells[0]));
    const auto reason = reasons.find(cells[0]);
    CHECK(verdict.reason == (reason == reasons.end() ? "" : reason->second));
    const bool as_pillow = verdict.reason.empty() == (cells[3] == "decodes");
    CHECK(as_pillow == (different.count(cells[0]) == 0));
  }
  CHECK(rows == 54);
}

TEST_CASE("all eight orientations come out upright when asked", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  image::DecodeOptions options;
  options.exif = true;
  for (const std::string shape : {"Landscape", "Portrait"}) {
    std::optional<image::Picture> first;
    for (int orientation = 0; orientation <= 8; ++orientation) {
      const std::string name = text::cat(shape, "_", orientation, ".jpg");
      INFO(name);
      const std::string bytes = test::read_file(shared + "/data/bad_images/exif_orientation/" + name);
      const image::Decoded decoded = decode(ByteSpan(bytes), options);
      CHECK(decoded.info.orientation == std::max(orientation, 1));
      CHECK(decoded.picture.width_px == (shape == "Landscape" ? 1800 : 1200));
      CHECK(decoded.picture.height_px == (shape == "Landscape" ? 1200 : 1800));
      if (!first) first = decoded.picture;
      // One photograph, compressed eight times: alike in the mean, which a wrong turn is not.
      int64_t distance = 0;
      for (size_t i = 0; i < first->pixels.size(); ++i)
        distance += std::abs(static_cast<int>(first->pixels[i]) - static_cast<int>(decoded.picture.pixels[i]));
      CHECK(static_cast<double>(distance) / static_cast<double>(first->pixels.size()) < 8.0);
    }
  }
}
