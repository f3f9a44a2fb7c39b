#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/stage_fit.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

namespace {

finetune::TrainResult run(const Bench& bench, const std::string& out, Reporter& reporter) {
  return finetune::run_training(bench.options, bench.folder / out, io::Json::object(), reporter);
}

/// Trains with the head stage as it is and one further stage of these settings.
io::Json with_stage(const std::string& settings) {
  Bench bench;
  const bool has_rate = settings.find("learning_rate=") != std::string::npos;
  bench.options.stage = {"unfreeze=mixed_1,epochs=4," + (has_rate ? settings : "learning_rate=0.01," + settings)};
  return bench.train("run")["stages"][1];
}

}  // namespace

TEST_CASE("a stage learns under every setting", "[module]") {
  for (const char* settings :
       {"optimizer=sgd,nesterov=true", "optimizer=rmsprop_keras,learning_rate=0.001", "schedule=one_cycle",
        "schedule=step,schedule_epochs=2", "schedule=plateau,schedule_epochs=1", "norms=train", "norms=recalibrate",
        "accumulate=3", "clip_norm=0.1", "ema=0.5", "label_smoothing=0.1", "class_weights=balanced", "balanced=true",
        "mixup=0.2", "cutmix=1", "layer_decay=0.5", "backbone_scale=0.1"}) {
    INFO(settings);
    const io::Json stage = with_stage(settings);
    CHECK(stage["frozen"]["moved"].empty());
    CHECK(stage["last"]["top1"] > 0.6);  // a third by chance, and the head alone was above that already
    CHECK(stage["updates"]["mixed_2"]["ratio"] > 0);
    CHECK(stage["updates"]["head"]["ratio"] > 0);
  }
}

TEST_CASE("a head is fitted by lbfgs to a lower loss than by as many epochs of the rest", "[module]") {
  Bench bench;
  bench.options.stage.clear();
  bench.options.head.clear();
  const double others = bench.train("adamw")["stages"][0]["last"]["train_loss"];
  bench.options.optimizer.optimizer = "lbfgs";
  bench.options.optimizer.learning_rate = 1;
  CHECK(bench.train("lbfgs")["stages"][0]["last"]["train_loss"] < others);
}

TEST_CASE("patience ends a stage early", "[module]") {
  Bench bench;
  bench.options.stage = {"unfreeze=mixed_2,epochs=30,learning_rate=1e-9,patience=2"};
  const io::Json stage = bench.train("run")["stages"][1];
  CHECK(stage["last"]["epoch"].get<int>() < 30);
  CHECK(stage["last"]["epoch"].get<int>() == stage["best"]["epoch"].get<int>() + 2);
  CHECK(stage["stopped_early"] == true);
  bench.options.stage = {"unfreeze=mixed_2,epochs=2,learning_rate=1e-9,patience=2"};
  CHECK_FALSE(bench.train("whole")["stages"][1].contains("stopped_early"));
}

TEST_CASE("the rate of a block falls with its depth", "[module]") {
  const io::Json plain = with_stage("optimizer=sgd");
  const io::Json decayed = with_stage("optimizer=sgd,layer_decay=0.1,backbone_scale=0.5");
  const auto share = [&](const char* block) {
    return decayed["updates"][block]["ratio"].get<double>() / plain["updates"][block]["ratio"].get<double>();
  };
  CHECK(share("head") > 0.5);
  CHECK(share("mixed_2") < 0.2);
  CHECK(share("mixed_1") < share("mixed_2"));
}

TEST_CASE("updates below the resolution of float32 are warned of", "[module]") {
  Bench bench;
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,optimizer=sgd,learning_rate=1e-10,weight_decay=0"};
  Recorder recorder;
  run(bench, "run", recorder);
  CHECK_THAT(recorder.told, Catch::Contains("updates of mixed_2 are below float32 resolution"));
  bench.options.stage = {"unfreeze=mixed_2,epochs=1,optimizer=sgd,learning_rate=0.01"};
  Recorder other;
  run(bench, "other", other);
  CHECK_THAT(other.told, !Catch::Contains("below float32 resolution"));
}

TEST_CASE("what cannot go together is refused with the reason", "[module]") {
  const auto message = [](const auto& change) -> std::string {
    Bench bench;
    change(bench.options);
    try {
      bench.train("x");
    } catch (const UsageError& error) {
      CHECK_FALSE(std::filesystem::exists(bench.folder / "x"));
      return error.what();
    }
    return "no error";
  };
  using O = finetune::TrainOptions;
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixed_2,epochs=2305843009213693952"}; }),
             Catch::Contains("epochs: must be at least 1, at most 1000000"));
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixed_2,epochs=1,accumulate=9223372036854775807"}; }),
             Catch::Contains("accumulate: must be at least 1, at most 1000000"));
  CHECK_THAT(message([](O& o) { o.optimizer.mixup = 0.2; }), Catch::Contains("the head learns from features"));
  CHECK_THAT(message([](O& o) {
               o.cache.cache = "memory";
               o.stage = {"unfreeze=mixed_2,epochs=1,cutmix=1"};
             }),
             Catch::Contains("leave --cache at auto, or off"));
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixed_2,epochs=1,optimizer=lbfgs"}; }),
             Catch::Contains("lbfgs takes all rows in one step"));
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixed_2,epochs=1,nesterov=true"}; }),
             Catch::Contains("nesterov belongs to sgd"));
  CHECK_THAT(message([](O& o) {
               o.optimizer.schedule = "one_cycle";
               o.optimizer.warmup_epochs = 1;
             }),
             Catch::Contains("one_cycle has a rise of its own"));
  CHECK_THAT(message([](O& o) {
               o.optimizer.optimizer = "lbfgs";
               o.head = "fc=200000";
               o.stage.clear();
             }),
             Catch::Contains("lbfgs"));
  CHECK_THAT(message([](O& o) {
               o.optimizer.momentum = 0.95;
               o.stage.clear();
             }),
             Catch::Contains("every stage uses adamw"));
  const auto alone = [&](const auto& change) {
    return message([change](O& o) {
      o.stage.clear();
      change(o);
    });
  };
  CHECK_THAT(alone([](O& o) { o.optimizer.layer_decay = 0.5; }), Catch::Contains("no --stage unfreezes any"));
  CHECK_THAT(alone([](O& o) { o.optimizer.backbone_scale = 0.5; }), Catch::Contains("no --stage unfreezes any"));
  CHECK_THAT(alone([](O& o) { o.optimizer.norms = "train"; }), Catch::Contains("no --stage unfreezes any"));
  CHECK_THAT(alone([](O& o) { o.optimizer.schedule_factor = 0.5; }), Catch::Contains("every stage's is cosine"));
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixed_2,epochs=1,momentum=0.3"}; }),
             Catch::Contains("every stage uses adamw"));
  CHECK_THAT(message([](O& o) {
               o.optimizer.optimizer = "lbfgs";
               o.augment = "flip";
               o.stage.clear();
             }),
             Catch::Contains("use --views 1"));
  CHECK_THAT(message([](O& o) { o.views = 4; }), Catch::Contains("without --augment"));
  CHECK_THAT(message([](O& o) { o.augment = "rotate=400"; }), Catch::Contains("rotate"));
  CHECK_THAT(message([](O& o) { o.optimizer.class_weights = "ants:2"; }), Catch::Contains("no class 'ants'"));
}

TEST_CASE("class weights are read from a table or taken from the counts", "[unit]") {
  const std::vector<std::string> classes = {"a", "b", "c"};
  const std::vector<int64_t> labels = {0, 0, 0, 1, 2, 2};
  CHECK(finetune::class_weights("none", classes, labels).empty());
  CHECK(finetune::class_weights("b:2.5+c:0", classes, labels) == std::vector<double>{1, 2.5, 0});
  const std::vector<double> balanced = finetune::class_weights("balanced", classes, labels);
  CHECK(balanced[0] == Approx(6.0 / 9));  // N / (K * rows), as scikit-learn's "balanced"
  CHECK(balanced[1] == Approx(2));
  CHECK(balanced[2] == Approx(1));
  CHECK_THROWS_WITH(finetune::class_weights("b", classes, labels), Catch::Contains("expected CLASS:WEIGHT"));
  CHECK_THROWS_WITH(finetune::class_weights("b:-1", classes, labels), Catch::Contains("from 0 to 1e+06"));
}

TEST_CASE("networks without a file are trained whole, with their norms", "[module]") {
  struct Case {
    const char* name;
    const char* pool;
    int64_t size;
    int64_t epochs;
  };
  for (const Case& c : {Case{"new:cnn3", "flatten", 40, 8}, Case{"new:inception-mini", "avg", 64, 2}}) {
    INFO(c.name);
    Bench bench;
    bench.options.backbone = c.name;
    bench.options.pool = c.pool;
    bench.options.head.clear();
    bench.options.preprocessing.size = c.size;
    bench.options.stage.clear();
    bench.options.epochs = c.epochs;
    bench.options.optimizer.learning_rate = 0.003;
    bench.options.augment = "flip";
    const io::Json result = bench.train("run");
    CHECK(result["stages"][0]["last"]["train_loss"] < 1.09);  // log(3) by chance
    CHECK(result["stages"][0]["frozen"]["blocks"] == 0);
    CHECK(result["stages"][0]["norms"] == "train");
    CHECK(result["memory_difference"] <= 1e-5);
    bench.train("again");
    CHECK(bench.bytes("again", "model.pt") == bench.bytes("run", "model.pt"));
    bench.options.seed = 43;
    bench.train("other");
    CHECK(bench.bytes("other", "model.pt") != bench.bytes("run", "model.pt"));
  }
}

TEST_CASE("rising rates are tried on the first stage, and nothing else is done", "[module]") {
  Bench bench;
  bench.options.find_lr = true;
  Recorder recorder;
  const finetune::TrainResult result = run(bench, "rates", recorder);
  const io::Json record = io::parse_json(result.result_json, "rates");
  CHECK(record["stage"] == 1);
  CHECK(record["learning_rate"] > 1e-6);
  CHECK(record["learning_rate"] < 1);
  CHECK_THAT(result.summary, Catch::Contains("where the loss falls most steeply"));
  const std::string csv = bench.bytes("rates", "rate_range.csv");
  CHECK(csv.rfind("learning_rate,loss,smoothed\n", 0) == 0);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 1 + record["points"].get<int64_t>());
  CHECK(std::distance(std::filesystem::directory_iterator(bench.folder / "rates"), {}) == 1);
  bench.options.resume = true;
  CHECK_THROWS_AS(run(bench, "rates", recorder), UsageError);
  bench.options.find_lr = bench.options.resume = false;
  bench.train("rates");  // the table does not stand in the way
}

TEST_CASE("a training that verifies its resumption first ends in the same bytes", "[module]") {
  Bench bench;
  bench.options.optimizer.ema = 0.9;
  bench.train("plain");
  bench.options.verify_resume = 7;  // of 5 updates an epoch: over an epoch's end
  Recorder recorder;
  run(bench, "verified", recorder);
  CHECK_THAT(recorder.told, Catch::Contains("bit-identical, in one go and by a checkpoint after 3 updates"));
  for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv"}) {
    INFO(name);
    CHECK(bench.bytes("verified", name) == bench.bytes("plain", name));
  }
  CHECK_FALSE(std::filesystem::exists(bench.folder / "verified/.tmp-verify"));
  bench.options.verify_resume = 1000;
  CHECK_THROWS_WITH(run(bench, "short", recorder),
                    Catch::Contains(": stage 1 has ") && Catch::Contains(" updates left; give at most so many"));
}
