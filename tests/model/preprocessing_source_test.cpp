#include "model/preprocessing_source.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "support/support.h"

using namespace engraft;

namespace {

const char* const kArchive =
    "{\"preprocessing\": {\"size_px\": 64, \"mean\": [0.1, 0.2, 0.3], \"std\": [1, 1, 1], \"interpolation\": "
    "\"bicubic\"}}";
const char* const kInception = "edcfc465e2077552fcc6596504be513817fae85033bc88ac3fb5dc051737e988";

}  // namespace

TEST_CASE("sources are merged field by field, the first wins", "[unit]") {
  test::TempFolder folder;
  const std::string path = folder / "net.pt";
  test::put_file(folder / "net.toml", "size = 96\ncrop_ratio = 1.0\n");
  image::PreprocessingFlags flags;
  flags.crop_ratio = 0.9;
  const auto resolved = model::resolve_preprocessing(flags, path, kArchive, "none");
  CHECK(resolved.preprocessing.crop_ratio == 0.9);           // flag
  CHECK(resolved.preprocessing.size_px == 96);               // NAME.toml
  CHECK(resolved.preprocessing.interpolation == "bicubic");  // archive
  CHECK(resolved.preprocessing.mean[1] == 0.2);
  CHECK(resolved.preprocessing.resize == "short");  // built in
  CHECK_THAT(resolved.source,
             Catch::Contains("crop_ratio 0.9 (flags)") && Catch::Contains("size_px 96 (" + (folder / "net.toml")));
}

TEST_CASE("a known file needs no flags, and keeps the rest of its row when one is given", "[unit]") {
  image::PreprocessingFlags flags;
  flags.size = 150;
  const auto resolved = model::resolve_preprocessing(flags, "x.pt", "", kInception);
  CHECK(resolved.preprocessing.size_px == 150);
  CHECK(resolved.preprocessing.mean[0] == 128.0 / 255);
  CHECK(model::resolve_preprocessing({}, "x.pt", "", kInception).preprocessing.size_px == 299);
}

TEST_CASE("a network from scratch says itself how its pictures are prepared, and flags go before it", "[unit]") {
  image::PreprocessingFlags flags;
  flags.size = 96;
  const auto resolved = model::resolve_preprocessing(flags, "new:net", kArchive, "none");
  CHECK(resolved.preprocessing.size_px == 96);
  CHECK(resolved.preprocessing.interpolation == "bicubic");
  CHECK_THAT(resolved.source, Catch::Contains("size_px 96 (flags)") && Catch::Contains("(the network's own)"));
}

TEST_CASE("nothing found names the flags to give", "[unit]") {
  image::PreprocessingFlags flags;
  flags.size = 224;
  CHECK_THROWS_WITH(model::resolve_preprocessing(flags, "net.pt", "", "none"),
                    Catch::Contains("give --mean R,G,B --std R,G,B") && Catch::Contains("net.toml"));
  CHECK_THROWS_AS(model::resolve_preprocessing({}, "net.pt", "", "none"), model::MissingPreprocessing);
}

TEST_CASE("wrong keys and values are named with where they stand", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "net.toml", "[preprocessing]\nsise_px = 3\n");
  CHECK_THROWS_WITH(model::resolve_preprocessing({}, folder / "net.pt", "", ""),
                    Catch::Contains("unknown key 'sise_px'; did you mean 'size_px'?"));
  CHECK_THROWS_WITH(
      model::resolve_preprocessing(
          {}, "n.pt", "{\"preprocessing\": {\"size_px\": \"big\", \"mean\": [0,0,0], \"std\": [1,1,1]}}", ""),
      Catch::Contains("size_px: a value of the wrong kind, \"big\""));
}

TEST_CASE("preprocessing survives JSON", "[unit]") {
  image::Preprocessing p;
  p.size_px = 150;
  p.resize = "squash";
  p.channels = "bgr";
  p.exif = true;
  CHECK(model::preprocessing_from_json(model::to_json(p), "back") == p);
  CHECK_FALSE(model::to_json(p).contains("fast_decode"));
  p.fast_decode = true;
  CHECK(model::preprocessing_from_json(model::to_json(p), "back") == p);
}
