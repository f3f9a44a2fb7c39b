#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "base/text.h"
#include "commands/commands.h"
#include "image/encode.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "model/example_networks.h"
#include "store/out_folder.h"

namespace engraft::commands {

namespace {

const std::array<const char*, 4> kTextures = {"checks", "diagonal", "horizontal", "vertical"};

/// Brightness of a texture in [-1, 1] at x, y, for a wave of `frequency` radians a pixel with phases p and q.
double wave(size_t texture, double x, double y, double frequency, double p, double q) {
  switch (texture) {
    case 0:
      return std::sin(frequency * x + p) * std::sin(frequency * y + q) > 0 ? 1 : -1;
    case 1:
      return std::sin(frequency * (x + y) * std::sqrt(0.5) + p);
    case 2:
      return std::sin(frequency * y + p);
    default:
      return std::sin(frequency * x + p);
  }
}

/// A picture of one texture: period, phase, colours, contrast and noise are drawn, so that no pixel by itself tells
/// the class. A pure function of its arguments.
image::Picture draw(size_t texture, uint64_t seed, uint64_t number, int64_t short_side) {
  RandomStream stream(seed, {0x7465787475726573 /* "textures" */, texture, number});
  image::Picture picture;
  picture.width_px = static_cast<int>(static_cast<double>(short_side) * stream.uniform(1.0, 1.4));
  picture.height_px = static_cast<int>(short_side);
  if (stream.below(2) == 1) std::swap(picture.width_px, picture.height_px);
  const double frequency = 6.283185307179586 / stream.uniform(0.09, 0.16) / static_cast<double>(short_side);
  const double p = stream.uniform(0, 6.283185307179586), q = stream.uniform(0, 6.283185307179586);
  const double contrast = stream.uniform(35, 70);
  std::array<double, 3> base{}, tint{};
  for (size_t c = 0; c < 3; ++c) {
    base[c] = stream.uniform(80, 175);
    tint[c] = contrast * stream.uniform(0.6, 1.0) * (stream.below(2) == 1 ? 1 : -1);
  }
  picture.pixels.reserve(static_cast<size_t>(picture.width_px) * static_cast<size_t>(picture.height_px) * 3);
  for (int y = 0; y < picture.height_px; ++y) {
    for (int x = 0; x < picture.width_px; ++x) {
      const double level = wave(texture, x, y, frequency, p, q);
      for (size_t c = 0; c < 3; ++c) {
        const double value = base[c] + level * tint[c] + 12 * stream.normal();
        picture.pixels.push_back(static_cast<uint8_t>(std::min(255.0, std::max(0.0, value))));
      }
    }
  }
  return picture;
}

}  // namespace

ExitCode run(const ExampleOptions& options, Session& session) {
  std::string out = options.out;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  store::require_free_folder(out);
  const uint64_t seed = static_cast<uint64_t>(options.seed);
  const auto fill = [&](const std::string& split, int64_t count, uint64_t first) {
    for (size_t texture = 0; texture < kTextures.size(); ++texture) {
      const std::string folder = out + "/pictures/" + split + "/" + kTextures[texture];
      io::make_folders(folder);
      for (int64_t i = 0; i < count; ++i) {
        const std::string digits = std::to_string(i);
        const std::string name = std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits + ".jpg";
        constexpr int kQuality = 90;
        io::write_file(
            folder + "/" + name,
            image::encode_jpeg(draw(texture, seed, first + static_cast<uint64_t>(i), options.size), kQuality));
        session.reporter.progress("drawing " + split, static_cast<int64_t>(texture) * count + i + 1,
                                  count * static_cast<int64_t>(kTextures.size()), "");
      }
    }
  };
  fill("train", options.train, 0);
  fill("val", options.val, uint64_t{1} << 32);
  io::write_file(out + "/tiny.pt", model::example_backbone(seed));
  io::write_file(out + "/pixels.pt", model::raw_pixels_backbone());
  if (options.common.json) {
    session.out << io::json_line(io::Json{{"pictures", out + "/pictures"},
                                          {"backbone", out + "/tiny.pt"},
                                          {"raw_pixels", out + "/pixels.pt"},
                                          {"classes", kTextures},
                                          {"train", options.train},
                                          {"val", options.val}})
                << "\n";
    return ExitCode::kDone;
  }
  session.out << out << "/pictures   drawn textures, " << kTextures.size() << " classes, " << options.train
              << " training and " << options.val << " validation pictures each\n"
              << out
              << "/tiny.pt    a tiny network with RANDOM weights: it shows the way, not what a trained one can do\n"
              << out << "/pixels.pt  the pixels themselves as a backbone, to compare with (--pool flatten)\n"
              << "next: engraft train --backbone " << out << "/tiny.pt --data " << out << "/pictures --out " << out
              << "/run\n";
  return ExitCode::kDone;
}

}  // namespace engraft::commands
