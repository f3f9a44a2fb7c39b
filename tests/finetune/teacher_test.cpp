// Learning from another network beside the labels.
#include "finetune/teacher.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/setup.h"
#include "finetune/sources.h"
#include "io/toml.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

namespace {

/// A bench whose second block learns from a network with other weights.
struct Taught : Bench {
  Taught() {
    options.stage = {"unfreeze=mixed_2,epochs=4,learning_rate=1e-3"};
    options.epochs = 2;
    options.compute.precision = "f32";
    options.teaching.teacher = folder / "small.pt";
    options.teaching.teacher_size = 48;
  }
  std::string refusal() {
    try {
      train("refused");
    } catch (const Error& error) {
      CHECK_FALSE(std::filesystem::exists(folder / "refused"));
      return error.what();
    }
    return "no error";
  }
  double last_train_loss(const std::string& out) const {
    const io::Json result = io::read_json(folder / out + "/result.json");
    return result["stages"].back()["last"]["train_loss"];
  }
};

/// Ends a run where it has told that an epoch is done.
struct Breaker : SilentReporter {
  void note(const std::string& line) override {
    if (line.rfind("stage 2 epoch 2", 0) == 0) throw SystemError("cut off");
  }
};

/// Labels that are the rows' numbers.
class NumberedSource : public train::BatchSource {
 public:
  explicit NumberedSource(int64_t rows) : rows_(rows) {}
  int64_t rows() const override { return rows_; }
  void start(const std::vector<int64_t>& order, int64_t, int64_t batch_size) override {
    order_ = order;
    batch_size_ = static_cast<size_t>(batch_size);
    done_ = 0;
  }
  bool next(train::TrainBatch& batch) override {
    if (done_ == order_.size()) return false;
    const size_t end = std::min(order_.size(), done_ + batch_size_);
    const std::vector<int64_t> part(order_.begin() + static_cast<std::ptrdiff_t>(done_),
                                    order_.begin() + static_cast<std::ptrdiff_t>(end));
    batch.labels = at::tensor(part, at::kLong);
    done_ = end;
    return true;
  }

 private:
  int64_t rows_;
  std::vector<int64_t> order_;
  size_t batch_size_ = 1, done_ = 0;
};

}  // namespace

TEST_CASE("every row has its own lesson, in any order, twice, and where an epoch goes on", "[unit]") {
  const at::Tensor lessons = at::arange(7, at::kFloat).unsqueeze(1);  // [7, 1]
  finetune::TaughtSource source(std::make_unique<NumberedSource>(7), lessons);
  for (const std::vector<int64_t>& order : {std::vector<int64_t>{6, 2, 0, 1, 5, 3, 4}, {3, 3, 1}, {4}}) {
    source.start(order, 1, 2);
    train::TrainBatch batch;
    int64_t met = 0;
    while (source.next(batch)) {
      CHECK(at::equal(batch.lessons.squeeze(1), batch.labels.to(at::kFloat)));
      met += batch.labels.size(0);
    }
    CHECK(met == static_cast<int64_t>(order.size()));
  }
  CHECK_THROWS_AS(finetune::TaughtSource(std::make_unique<NumberedSource>(8), lessons), ModelError);
}

TEST_CASE("embeddings are standardised by column, a constant one to 0", "[unit]") {
  const at::Tensor rows = at::tensor({1.0F, 5.0F, 3.0F, 5.0F}).view({2, 2});
  CHECK(at::equal(finetune::standardised_columns(rows), at::tensor({-1.0F, 0.0F, 1.0F, 0.0F}).view({2, 2})));
}

TEST_CASE("a backbone teaches by its embedding, to the same bytes whatever was cut off or cached", "[module]") {
  Taught bench;
  Recorder recorder;
  const io::Json record = {{"epochs", 2}};
  finetune::run_training(bench.options, bench.folder / "whole", record, recorder);
  CHECK_THAT(recorder.told, Catch::Contains("teacher: ") && Catch::Contains("numbers a picture at 48 px"));
  const std::string model = bench.bytes("whole", "model.pt");
  const io::Json resolved = io::read_toml(bench.folder / "whole/run.toml")["resolved"]["teacher"];
  for (const char* key : {"sha256", "tap", "preprocessing", "precision", "engine"}) CHECK(resolved.contains(key));

  bench.options.cache.cache = "off";
  bench.train("uncached");
  CHECK(bench.bytes("uncached", "model.pt") == model);
  bench.options.cache.cache = "auto";

  bench.options.checkpoint_every = 0;
  Breaker breaker;
  CHECK_THROWS_WITH(finetune::run_training(bench.options, bench.folder / "cut", record, breaker), "cut off");
  bench.options.resume = true;
  const std::string engine = bench.options.compute.engine;
  bench.options.compute.engine = engine == "torch" ? "openvino" : "torch";  // rounds otherwise
  Recorder refused;
  CHECK_THROWS_WITH(finetune::run_training(bench.options, bench.folder / "cut", record, refused),
                    Catch::Contains("teacher"));
  bench.options.compute.engine = engine;
  Recorder resumed;
  finetune::run_training(bench.options, bench.folder / "cut", record, resumed);
  CHECK_THAT(resumed.told, Catch::Contains("resumed: stage 2"));
  CHECK(bench.bytes("cut", "model.pt") == model);
  bench.options.resume = false;
  bench.options.checkpoint_every = {};

  bench.options.teaching.teacher_weight = 0;  // heard, and not heeded
  bench.train("unheeded");
  CHECK(bench.bytes("unheeded", "model.pt") != model);
  bench.options.teaching = {};
  bench.train("alone");
  CHECK(bench.bytes("alone", "model.pt") == bench.bytes("unheeded", "model.pt"));
  CHECK(bench.last_train_loss("whole") > bench.last_train_loss("alone"));
}

TEST_CASE("what a teacher says is learned: with labels of no use the student comes nearer to it", "[module]") {
  Taught bench;
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,learning_rate=1e-9"};
  bench.train("still");
  bench.options.stage = {"unfreeze=mixed_2,epochs=30,learning_rate=3e-3"};
  bench.train("learned");
  CHECK(bench.last_train_loss("learned") <
        bench.last_train_loss("still") - 0.5);  // of 2 · (1 - cosine), and the labels
}

TEST_CASE("a model.pt teaches by its scores, a head alone as well", "[module]") {
  Taught bench;
  bench.options.teaching = {};
  bench.options.epochs = 40;
  bench.train("teacher");
  bench.options.teaching.teacher = bench.folder / "teacher/model.pt";
  bench.options.teaching.teacher_weight = 1;
  Recorder recorder;
  bench.options.stage.clear();
  bench.options.epochs = 3;
  finetune::run_training(bench.options, bench.folder / "head", io::Json::object(), recorder);
  CHECK_THAT(recorder.told, Catch::Contains("3 scores a picture"));
  bench.options.teaching = {};
  bench.train("alone");
  CHECK(bench.bytes("head", "model.pt") != bench.bytes("alone", "model.pt"));
}

TEST_CASE("an embedding is for stages that unfreeze something, scores are for all", "[unit]") {
  finetune::StagePlan head, stage;
  stage.number = 2;
  stage.freeze.learning = {"mixed_2"};
  finetune::Teacher teacher;
  CHECK_FALSE(finetune::is_taught(teacher, head));
  CHECK(finetune::is_taught(teacher, stage));
  teacher.loss.are_logits = true;
  CHECK(finetune::is_taught(teacher, head));
}

TEST_CASE("a teacher that cannot teach is refused before anything is computed", "[module]") {
  Taught bench;
  bench.options.teaching.teacher_tap = "mixd_1";
  CHECK_THAT(bench.refusal(), Catch::Contains("did you mean 'mixed_1'?"));
  bench.options.teaching.teacher_tap = "stem,mixed_1";
  CHECK_THAT(bench.refusal(), Catch::Contains("expected one block"));
  bench.options.teaching.teacher_tap.clear();
  bench.options.stage.clear();
  CHECK_THAT(bench.refusal(), Catch::Contains("a head alone cannot learn to give a backbone's embedding"));
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,mixup=0.2"};
  CHECK_THAT(bench.refusal(), Catch::Contains("stage 2 mixes them"));
  bench.options.stage = {"unfreeze=mixed_2,epochs=1"};
  bench.options.teaching.teacher_temperature = 2;
  CHECK_THAT(bench.refusal(), Catch::Contains("--teacher-temperature: only of a model.pt"));
  bench.options.teaching.teacher.clear();
  CHECK_THAT(bench.refusal(), Catch::Contains("there is no --teacher"));
  bench.options.teaching = {};
  bench.options.teaching.teacher = bench.folder / "nothing.pt";
  CHECK_THAT(bench.refusal(), Catch::Contains("nothing.pt: no such file"));

  bench.options.teaching = {};
  bench.train("teacher");
  bench.options.teaching.teacher = bench.folder / "teacher/model.pt";
  bench.options.teaching.teacher_tap = "mixed_1";
  CHECK_THAT(bench.refusal(), Catch::Contains("teaches by its scores"));
  bench.options.teaching.teacher_tap.clear();
  std::filesystem::rename(bench.folder / "data/train/red", bench.folder / "data/train/rot");
  std::filesystem::rename(bench.folder / "data/val/red", bench.folder / "data/val/rot");
  CHECK_THAT(bench.refusal(), Catch::Contains("its classes are blue green red; the data's are blue green rot"));
}
