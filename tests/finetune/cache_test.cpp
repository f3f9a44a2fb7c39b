#include <array>
#include <catch2/catch.hpp>
#include <filesystem>

#include "finetune/bench.h"
#include "support/file_size_limit.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

TEST_CASE("with the cache in memory, on disk, found on disk, or off, the bytes are the same", "[module]") {
  // Cuts that go down, up again, and to the pictures themselves; dropout, norms, a ragged last batch.
  const std::vector<std::vector<std::string>> plans = {
      {"unfreeze=mixed_2,epochs=2,learning_rate=0.01", "unfreeze=mixed_1,epochs=2,optimizer=sgd,learning_rate=0.01"},
      {"unfreeze=mixed_1,epochs=1,learning_rate=0.01", "unfreeze=mixed_2,epochs=2,learning_rate=0.01"},
      {"unfreeze=mixed_2,epochs=1,learning_rate=0.01", "unfreeze=all,epochs=1,learning_rate=0.001",
       "unfreeze=mixed_2,epochs=1,learning_rate=0.01"},
      {"unfreeze=mixed_1,epochs=2,learning_rate=0.01", "unfreeze=none,epochs=2,learning_rate=0.01"}};
  for (const auto& plan : plans) {
    for (const int64_t head_epochs : {3, 0}) {
      INFO(plan.front() << ", then " << plan.back() << ", head epochs " << head_epochs);
      Bench bench;
      bench.options.stage = plan;
      bench.options.epochs = head_epochs;
      bench.options.skip_bad = true;
      test::put_file(bench.folder / "data/train/red/3.png", "no picture");
      const auto train = [&](const char* mode, const char* out) { return bench.train_with_cache(mode, out); };
      CHECK(train("off", "off").find("the trunk runs in every epoch") != std::string::npos);
      CHECK(train("memory", "memory").find("in memory") != std::string::npos);
      CHECK(train("disk", "disk").find("found on disk") == std::string::npos);
      CHECK(train("disk", "again").find("found on disk") != std::string::npos);
      for (const char* out : {"memory", "disk", "again"}) {
        for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv", "skipped.csv"}) {
          INFO(out << "/" << name);
          CHECK(bench.bytes(out, name) == bench.bytes("off", name));
        }
      }
    }
  }
}

TEST_CASE("a cache is not taken for other data, weights, preprocessing or batches", "[module]") {
  Bench bench;
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,learning_rate=0.01"};
  bench.options.cache.cache = "disk";
  int64_t runs = 0;
  const auto finds = [&] {
    const std::string told = bench.train_with_cache("disk", std::to_string(runs++));
    return told.find("found on disk") != std::string::npos;
  };
  CHECK_FALSE(finds());
  CHECK(finds());
  bench.options.seed = 7;  // decides nothing that is cached
  CHECK(finds());
  bench.options.data.batch = 9;
  CHECK_FALSE(finds());
  bench.options.data.batch = 8;
  bench.options.preprocessing.mean = std::array<double, 3>{0.4, 0.5, 0.5};
  CHECK_FALSE(finds());
  bench.options.preprocessing.mean.reset();
  CHECK(finds());
  const std::string picture = bench.folder / "data/train/red/0.png";
  const std::string other = io::read_file(bench.folder / "data/train/red/1.png");
  test::put_file(picture, other);
  CHECK_FALSE(finds());
  std::filesystem::create_directories(bench.folder / "other");
  bench.options.backbone = test::save_small_net(bench.folder / "other", 32, 2);
  CHECK_FALSE(finds());
}

TEST_CASE("cached views are those that are drawn on the fly, to the bit", "[module]") {
  // Three views, dropout, norms, a ragged last batch, two stages, a bad picture; norms frozen, moving and recalibrated.
  for (const char* norms : {"frozen", "train", "recalibrate"}) {
    INFO(norms);
    Bench bench;
    bench.options.augment = "practicum";
    bench.options.views = 3;
    bench.options.optimizer.norms = norms;
    bench.options.skip_bad = true;
    test::put_file(bench.folder / "data/train/red/3.png", "no picture");
    const auto train = [&](const char* mode, const char* out) { return bench.train_with_cache(mode, out); };
    train("off", "off");
    CHECK_THAT(train("memory", "memory"), Catch::Contains("3 views of training ones"));
    train("disk", "disk");
    CHECK_THAT(train("disk", "again"), Catch::Contains("found on disk"));
    for (const char* out : {"memory", "disk", "again"}) {
      for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv", "skipped.csv"}) {
        INFO(out << "/" << name);
        CHECK(bench.bytes(out, name) == bench.bytes("off", name));
      }
    }
    bench.options.augment = "none";
    bench.options.views.reset();
    train("memory", "plain");
    CHECK(bench.bytes("plain", "model.pt") != bench.bytes("memory", "model.pt"));
  }
}

TEST_CASE("a limit that is too small is kept to and said", "[module]") {
  Bench bench;
  bench.options.augment = "flip";
  bench.options.views = 2;
  const auto train = [&](const std::string& mode, double limit_gib, const std::string& out) {
    bench.options.cache.cache_limit = limit_gib;
    return bench.train_with_cache(mode, out);
  };
  const auto kept_bytes = [&] {
    int64_t bytes = 0;
    std::error_code unknown;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(bench.folder / "cache/activations", unknown)) {
      if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
    }
    return bytes;
  };
  CHECK_THAT(train("disk", 0, "none"), Catch::Contains("warning: features") &&
                                           Catch::Contains("warning: cache: stem") &&
                                           Catch::Contains("more than --cache-limit allows; in memory instead"));
  CHECK(kept_bytes() == 0);
  // mixed_1 of 87 rows takes 0.7 MB there, stem 1.4 MB and the features 6 kB: only the features and one of them fit.
  constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
  const std::string told = train("disk", 1.2e6 / kGib, "some");
  CHECK_THAT(told,
             Catch::Contains("more than --cache-limit allows; in memory instead") && Catch::Contains("/activations"));
  CHECK(kept_bytes() > 0);
  CHECK(kept_bytes() < 1300000);
  for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv"}) {
    INFO(name);
    CHECK(bench.bytes("some", name) == bench.bytes("none", name));
  }
}

TEST_CASE("a damaged cache is found out, said, and computed anew", "[module]") {
  Bench bench;
  bench.train_with_cache("disk", "whole");
  std::string rows;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bench.folder / "cache")) {
    if (entry.path().filename() != "rows.npy") continue;
    rows = io::read_file(entry.path().string());
    rows[rows.size() / 2] ^= 1;
    io::write_file(entry.path().string(), rows);
  }
  REQUIRE_FALSE(rows.empty());
  CHECK_THAT(bench.train_with_cache("disk", "again"),
             Catch::Contains("warning: cache: features on disk is damaged; computed anew") &&
                 !Catch::Contains("found on disk"));
  CHECK(bench.bytes("again", "model.pt") == bench.bytes("whole", "model.pt"));
  CHECK_THAT(bench.train_with_cache("disk", "found"),
             Catch::Contains("features found on disk") && !Catch::Contains("damaged"));
}

TEST_CASE("a disk that refuses ends no run", "[module]") {
  Bench bench;
  bench.train_with_cache("off", "off");
  const auto same = [&](const char* out) { return bench.bytes(out, "model.pt") == bench.bytes("off", "model.pt"); };
  const std::string folder = bench.options.cache.cache_dir;
  bench.options.cache.cache_limit = 1e10;
  {
    test::put_file(bench.folder / "no-folder", "x");
    bench.options.cache.cache_dir = bench.folder / "no-folder";
    CHECK_THAT(bench.train_with_cache("disk", "file"), Catch::Contains("Not a directory; in memory instead"));
    CHECK(same("file"));
  }
  {
    // A folder that looks as if it could be written until it comes to it.
    bench.options.cache.cache_dir = bench.folder / "odd";
    std::filesystem::create_directories(bench.folder / "odd/activations/lock");
    CHECK_THAT(bench.train_with_cache("disk", "lock"), Catch::Contains("/activations/lock: Is a directory; in memory"));
    CHECK(same("lock"));
  }
  {
    bench.options.cache.cache_dir = folder;
    const test::FileSizeLimit limit(600000);  // mixed_1 of 51 rows takes 0.4 MB there, stem 0.8 MB
    const std::string told = bench.train_with_cache("disk", "full");
    CHECK_THAT(told, Catch::Contains("warning: cache: stem: cannot write") && Catch::Contains("in memory instead"));
    CHECK(same("full"));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/activations")) {
    CHECK(entry.path().filename().string().find(".tmp-") == std::string::npos);
  }
  CHECK_THAT(bench.train_with_cache("disk", "again"), Catch::Contains("features found on disk"));
}

TEST_CASE("pictures that every epoch sees in a view of its own are not kept", "[module]") {
  Bench bench;
  bench.options.epochs = 0;
  bench.options.stage = {"unfreeze=all,epochs=3,learning_rate=0.01"};
  bench.options.augment = "flip,shift=0.1";
  Recorder once;
  finetune::run_training(bench.options, bench.folder / "once", io::Json::object(), once);
  CHECK_THAT(once.told, Catch::Contains("3 views of each training picture") &&
                            Catch::Contains("every epoch decodes a view of its own"));
  bench.options.cache.cache = "memory";
  Recorder kept;
  finetune::run_training(bench.options, bench.folder / "kept", io::Json::object(), kept);
  CHECK_THAT(kept.told, Catch::Contains("in memory"));
  CHECK(bench.bytes("kept", "model.pt") == bench.bytes("once", "model.pt"));
}

TEST_CASE("a cache of views is not taken for other views", "[module]") {
  Bench bench;
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,learning_rate=0.01"};
  bench.options.cache.cache = "disk";
  bench.options.augment = "flip,shift=0.1";
  bench.options.views = 2;
  int64_t runs = 0;
  const auto finds = [&] {
    const std::string told = bench.train_with_cache("disk", std::to_string(runs++));
    return told.find("found on disk") != std::string::npos;
  };
  CHECK_FALSE(finds());
  CHECK(finds());
  bench.options.augment = "shift=0.1,flip";  // the same, said otherwise
  CHECK(finds());
  bench.options.seed = 7;
  CHECK_FALSE(finds());
  bench.options.seed = 42;
  bench.options.views = 3;
  CHECK_FALSE(finds());
  bench.options.views = 2;
  bench.options.augment = "flip,shift=0.2";
  CHECK_FALSE(finds());
  bench.options.augment = "none";
  bench.options.views.reset();
  CHECK_FALSE(finds());
}
