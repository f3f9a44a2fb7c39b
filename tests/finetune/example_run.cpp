#include "finetune/example_run.h"

#include "base/random.h"
#include "image/encode.h"
#include "support/support.h"

namespace engraft::test {

void draw_run_pictures(const std::string& root) {
  const char* const names[] = {"blue", "green", "red"};
  for (uint64_t k = 0; k < 3; ++k) {
    for (uint64_t i = 0; i < 17; ++i) {
      RandomStream stream(11, {k, i});
      image::Picture picture;
      picture.width_px = 40;
      picture.height_px = 36;
      for (int p = 0; p < 40 * 36; ++p) {
        for (uint64_t c = 0; c < 3; ++c) {
          picture.pixels.push_back(static_cast<uint8_t>(80 + (c == 2 - k ? 40 : 0) + stream.below(90)));
        }
      }
      put_file(root + (i < 12 ? "/train/" : "/val/") + names[k] + "/" + std::to_string(i) + ".png",
               image::encode_png(picture));
    }
  }
}

finetune::TrainOptions example_run(const std::string& folder) {
  finetune::TrainOptions options;
  options.backbone = folder + "/small.pt";
  options.data.data = folder + "/data";
  options.data.batch = 8;  // 36 pictures: a ragged last batch of 4
  options.head = "fc=16,relu,dropout=0.3";
  options.epochs = 6;
  options.optimizer.learning_rate = 0.02;
  options.stage = {"unfreeze=mixed_2,epochs=2,learning_rate=0.01",
                   "unfreeze=mixed_1,epochs=2,optimizer=sgd,learning_rate=0.01"};
  options.compute.device = "cpu";
  options.cache.cache_dir = folder + "/cache";
  return options;
}

}  // namespace engraft::test
