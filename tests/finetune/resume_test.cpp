// What a run goes on from, and what it refuses to go on from.
#include "finetune/resume.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/progress_json.h"
#include "store/folder_lock.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

namespace fs = std::filesystem;

namespace {

/// Ends a run where it has told that an epoch is done.
struct Breaker : SilentReporter {
  explicit Breaker(std::string line) : at(std::move(line)) {}
  void note(const std::string& line) override {
    if (line.rfind(at, 0) == 0) throw SystemError("cut off");
  }
  std::string at;
};

/// Runs of one training on the bench's pictures, cut off and gone on with.
struct Cut : Bench {
  io::Json record = {{"epochs", 6}, {"stage", options.stage}};

  Cut() { options.checkpoint_every = 0; }
  void cut_off(const std::string& out, const std::string& at) {
    options.resume = false;
    Breaker breaker(at);
    CHECK_THROWS_WITH(finetune::run_training(options, folder / out, record, breaker), "cut off");
    REQUIRE(fs::exists(folder / out + "/checkpoints"));
  }
  std::string go_on(const std::string& out) {
    options.resume = true;
    Recorder recorder;
    finetune::run_training(options, folder / out, record, recorder);
    return recorder.told;
  }
  std::string refusal(const std::string& out) {
    try {
      go_on(out);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no DataError";
  }
  /// Writes the newest checkpoint again with another state, as a whole one.
  void change_state(const std::string& out, const std::function<void(io::Json&)>& change) {
    SilentReporter silent;
    std::optional<store::Checkpoint> checkpoint = store::newest_checkpoint(folder / out, silent);
    REQUIRE(checkpoint);
    change(checkpoint->state);
    store::write_checkpoint(folder / out, *checkpoint);
  }
  void copy(const std::string& from, const std::string& to) const {
    fs::remove_all(folder / to);
    fs::copy(folder / from, folder / to, fs::copy_options::recursive);
  }
};

/// Turns one byte in the middle, and leaves size and time as they were.
void change_a_byte(const std::string& path) {
  const auto time = fs::last_write_time(path);
  std::string bytes = io::read_file(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  io::write_file(path, bytes);
  fs::last_write_time(path, time);
}

}  // namespace

TEST_CASE("a run goes on only with the data that it was begun on, to the byte", "[module]") {
  Cut bench;
  bench.cut_off("run", "stage 2 epoch 1");
  const std::string picture = bench.folder / "data/train/red/3.png";
  const std::string before = io::read_file(picture);
  change_a_byte(picture);
  CHECK_THAT(bench.refusal("run"), Catch::Contains("the data (the contents of files whose sizes are the same)"));
  io::write_file(picture, before + "x");
  CHECK_THAT(bench.refusal("run"), Catch::Contains("the data (other pictures, sizes of files, labels or splits)"));
  io::write_file(picture, before);
  CHECK_THAT(bench.go_on("run"), Catch::Contains("resumed: stage 2, step "));
  bench.options.resume = false;
  bench.train("whole");
  CHECK(bench.bytes("run", "model.pt") == bench.bytes("whole", "model.pt"));
}

TEST_CASE("a checkpoint of another run is refused with what differs", "[module]") {
  Cut bench;
  bench.cut_off("three", "stage 3 epoch 1");
  bench.options.stage.clear();
  bench.record = {{"epochs", 6}, {"stage", bench.options.stage}};
  bench.cut_off("one", "stage 1 epoch 2");
  bench.copy("three/checkpoints", "one/checkpoints");
  CHECK_THAT(bench.refusal("one"), Catch::Contains("is of a run with other options: stage ("));
  bench.change_state("one", [](io::Json& state) { state["surroundings"]["options"]["stage"] = io::Json::array(); });
  CHECK_THAT(bench.refusal("one"), Catch::Contains("is of stage 3, the run has 1"));
}

TEST_CASE("a state that no run can have is refused", "[module]") {
  Cut bench;
  bench.options.stage.clear();
  bench.cut_off("run", "stage 1 epoch 2");
  struct Case {
    const char* path;
    io::Json value;
    const char* said;
  };
  const std::vector<Case> cases = {{"/stage", 0, "is of stage 0"},
                                   {"/steps_before", -1, "-1 steps of earlier stages"},
                                   {"/metrics_lines", -1, "-1 lines of metrics"},
                                   {"/progress/rows_done", 1000000000, "rows_done is 1000000000"},
                                   {"/progress/rows_done", -5, "rows_done is -5"},
                                   {"/progress/step", -1, "step is -1"},
                                   {"/progress/epoch", 8, "epoch is 8"},
                                   {"/progress/best", 7, "best is 7"},
                                   {"/progress/step", "text", "type must be number"}};
  for (const Case& c : cases) {
    INFO(c.path << " " << c.value.dump());
    bench.copy("run", "case");
    bench.change_state("case", [&](io::Json& state) { state[io::Json::json_pointer(c.path)] = c.value; });
    CHECK_THAT(bench.refusal("case"), Catch::Contains(c.said));
  }
}

TEST_CASE("a damaged checkpoint is passed over in the open, and the run ends in the same bytes", "[module]") {
  Cut bench;
  bench.cut_off("run", "stage 2 epoch 1");
  fs::path newest;
  for (const auto& entry : fs::directory_iterator(bench.folder / "run/checkpoints")) {
    newest = std::max(newest, entry.path());  // both numbers have two digits
  }
  const std::string file = newest.string() + "/state.json";
  std::string state = io::read_file(file);
  const size_t digit = state.find("\"loss_sum\": ") + 14;
  state[digit] = state[digit] == '1' ? '2' : '1';
  io::write_file(file, state);
  CHECK_THAT(bench.go_on("run"), Catch::Contains("state.json: is damaged; this checkpoint is passed over"));
  bench.options.resume = false;
  bench.train("whole");
  CHECK(bench.bytes("run", "model.pt") == bench.bytes("whole", "model.pt"));
}

TEST_CASE("one process at a time trains into a folder", "[module]") {
  Cut bench;
  bench.options.stage.clear();
  bench.cut_off("run", "stage 1 epoch 2");
  {
    const store::FolderLock held(bench.folder / "run");
    CHECK_THROWS_WITH(bench.go_on("run"), Catch::Contains("another process writes it"));
    CHECK_THROWS_AS(bench.go_on("run"), UsageError);
    const store::FolderLock fresh(bench.folder / "fresh");
    bench.options.resume = false;
    CHECK_THROWS_AS(bench.train("fresh"), UsageError);
  }
  bench.go_on("run");
  CHECK_FALSE(fs::exists(bench.folder / "run/run.lock"));
}

TEST_CASE("a finished run without its model.pt says so", "[module]") {
  Cut bench;
  bench.options.stage.clear();
  bench.go_on("run");
  CHECK(bench.refusal("run") == "no DataError");
  fs::remove(bench.folder / "run/model.pt");
  CHECK_THAT(bench.refusal("run"), Catch::Contains("run/model.pt: is missing, and the run finished"));
}

TEST_CASE("a rate that leaves no finite validation stops the run, and nothing unreadable is written", "[module]") {
  for (const char* stage : {"", "unfreeze=all,epochs=1,norms=train", "unfreeze=mixed_2,epochs=1,ema=0.5"}) {
    INFO(stage);
    Bench bench;
    bench.options.head = "fc=8,relu";
    bench.options.checkpoint_every = 0;
    bench.options.data.batch = 64;  // one step an epoch: the training loss is that of the first weights
    const std::string setting = stage;
    bench.options.stage.clear();
    bench.options.epochs = 1;
    if (setting.empty()) {
      bench.options.optimizer.learning_rate = 1e20;
    } else {
      bench.options.stage = {setting + ",learning_rate=1e20"};
    }
    try {
      bench.train("run");
      FAIL("it went on");
    } catch (const ModelError& error) {
      CHECK_THAT(error.what(), Catch::Contains("not finite in stage") || Catch::Contains("the validation loss is "));
    }
    CHECK_FALSE(fs::exists(bench.folder / "run/model.pt"));
    const std::string metrics = bench.folder / "run/metrics.jsonl";
    if (fs::exists(metrics)) CHECK(io::read_file(metrics).find("null") == std::string::npos);
  }
}

TEST_CASE("progress comes back from its JSON", "[unit]") {
  train::Progress progress;
  progress.step = 7;
  progress.epoch = 2;
  progress.rows_done = 20;
  progress.loss_sum = 0.1;
  progress.learning_rate = 1.0 / 3;
  progress.update_sizes = {{"fc1.weight", 1e-3, 0.5}};
  train::EpochRecord epoch;
  epoch.epoch = 1;
  epoch.val_metrics = {{"top1", 2.0 / 3}};
  progress.epochs = {epoch};
  const io::Json json = finetune::to_json(progress);
  CHECK(finetune::to_json(finetune::progress_of(io::parse_json(json.dump(), "text"))) == json);
}
