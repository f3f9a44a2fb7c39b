#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "finetune/example_run.h"
#include "finetune/run.h"
#include "io/atomic_file.h"
#include "support/nets.h"
#include "support/support.h"

namespace engraft::test {

/// Keeps what it is told.
struct Recorder : SilentReporter {
  std::string told;
  void note(const std::string& line) override { told += line + "\n"; }
  void warn(const std::string& line) override { told += "warning: " + line + "\n"; }
};

/// A small network, pictures and options to train with, in a folder of their own.
struct Bench {
  TempFolder folder;
  finetune::TrainOptions options;
  Bench() {
    draw_run_pictures(folder / "data");
    save_small_net(folder.path());
    options = example_run(folder.path());
  }
  io::Json train(const std::string& out) {
    SilentReporter silent;
    return io::parse_json(finetune::run_training(options, folder / out, io::Json::object(), silent).result_json, out);
  }
  /// With --cache `mode`; what was told.
  std::string train_with_cache(const std::string& mode, const std::string& out) {
    options.cache.cache = mode;
    Recorder recorder;
    finetune::run_training(options, folder / out, io::Json::object(), recorder);
    return recorder.told;
  }
  std::string bytes(const std::string& out, const std::string& name) const {
    return io::read_file(folder / out + "/" + name);
  }
};

}  // namespace engraft::test
