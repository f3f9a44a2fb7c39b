#include <nlohmann/json.hpp>

#include "base/text.h"
#include "commands/commands.h"
#include "commands/example_pictures.h"
#include "image/encode.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "model/example_networks.h"
#include "store/out_folder.h"

namespace engraft::commands {

ExitCode run(const ExampleOptions& options, Session& session) {
  std::string out = options.out;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  store::require_free_folder(out);
  const uint64_t seed = static_cast<uint64_t>(options.seed);
  const DrawnSet set = drawn_set(options.pictures);
  const auto classes = static_cast<int64_t>(set.classes.size());
  const auto fill = [&](const std::string& split, int64_t count, uint64_t first) {
    for (size_t label = 0; label < set.classes.size(); ++label) {
      const std::string folder = out + "/pictures/" + split + "/" + set.classes[label];
      io::make_folders(folder);
      for (int64_t i = 0; i < count; ++i) {
        const std::string digits = std::to_string(i);
        const std::string name = std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits + ".jpg";
        constexpr int kQuality = 90;
        io::write_file(
            folder + "/" + name,
            image::encode_jpeg(set.draw(label, seed, first + static_cast<uint64_t>(i), options.size), kQuality));
        session.reporter.progress("drawing " + split, static_cast<int64_t>(label) * count + i + 1, count * classes, "");
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
                                          {"classes", set.classes},
                                          {"train", options.train},
                                          {"val", options.val}})
                << "\n";
    return ExitCode::kDone;
  }
  session.out << out << "/pictures   drawn " << options.pictures << ", " << classes << " classes, " << options.train
              << " training and " << options.val << " validation pictures each\n"
              << out
              << "/tiny.pt    a tiny network with RANDOM weights: it shows the way, not what a trained one can do\n"
              << out << "/pixels.pt  the pixels themselves as a backbone, to compare with (--pool flatten)\n"
              << "next: engraft train --backbone " << out << "/tiny.pt --data " << out << "/pictures --out " << out
              << "/run\n";
  return ExitCode::kDone;
}

}  // namespace engraft::commands
