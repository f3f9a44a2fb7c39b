#include "finetune/run.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/forward_pass.h"
#include "finetune/trainees.h"
#include "graph/surgery.h"
#include "io/atomic_file.h"
#include "model/backbone.h"
#include "support/nets.h"
#include "support/support.h"

using namespace engraft;

using test::Bench;

namespace {

std::map<std::string, at::Tensor> tensors_of(const torch::jit::Module& module) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : module.named_parameters(true)) out[item.name] = item.value;
  for (const auto& item : module.named_buffers(true)) out[item.name] = item.value;
  return out;
}

}  // namespace

TEST_CASE("the same seed gives the same bytes for 1, 2 and 4 loader threads", "[module]") {
  Bench bench;
  bench.options.compute.loader_threads = 1;
  bench.train("one");
  for (const int64_t threads : {2, 4}) {
    INFO(threads);
    const std::string out = std::to_string(threads);
    bench.options.compute.loader_threads = threads;
    bench.train(out);
    for (const char* name : {"model.pt", "metrics.jsonl", "metrics.csv", "predictions.csv", "classes.txt"}) {
      INFO(name);
      CHECK(bench.bytes(out, name) == bench.bytes("one", name));
    }
  }
  bench.options.seed = 43;
  bench.train("other");
  CHECK(bench.bytes("other", "model.pt") != bench.bytes("one", "model.pt"));
}

TEST_CASE("every stage learns, and what is frozen stays as it was in the file", "[module]") {
  Bench bench;
  const io::Json result = bench.train("run");
  REQUIRE(result["stages"].size() == 3);
  for (const io::Json& stage : result["stages"]) {
    CHECK(stage["frozen"]["moved"].empty());
    CHECK(stage["last"]["train_loss"] < 1.2);
  }
  CHECK(result["stages"][0]["frozen"]["blocks"] == 3);
  CHECK(result["stages"][1]["frozen"]["blocks"] == 2);
  CHECK(result["stages"][2]["frozen"]["blocks"] == 1);
  CHECK(result["stages"][2]["best"]["loss"] < result["stages"][0]["best"]["loss"]);
  CHECK(result["top1"] > 0.6);
  CHECK(result["memory_difference"] <= 1e-5);

  const auto before = tensors_of(model::load_script(bench.options.backbone, false).module);
  auto after = tensors_of(model::load_script(bench.folder / "run/model.pt", false).module);
  for (const auto& [name, tensor] : before) {
    if (name.rfind("fc.", 0) == 0) continue;
    INFO(name);
    REQUIRE(after.count("backbone." + name) == 1);
    const bool is_statistic = name.find("running_") != std::string::npos;
    const bool learned = name.rfind("stem.", 0) != 0 && !is_statistic;
    CHECK(at::equal(tensor, after["backbone." + name]) == !learned);
  }
}

TEST_CASE("the last epoch, a whole unfrozen network without a head stage, and one logit work", "[module]") {
  Bench bench;
  bench.options.select = "last";
  bench.options.epochs = 0;
  bench.options.stage = {"unfreeze=all,epochs=3,learning_rate=0.01"};
  bench.options.compute.precision = "f32";  // as the judging of model.pt
  const io::Json result = bench.train("all");
  CHECK(result["selected"] == "stage 2, epoch 3");
  CHECK(result["stages"].size() == 1);
  CHECK(result["stages"][0]["last"]["loss"].get<double>() == Approx(result["loss"].get<double>()).epsilon(1e-4));
  CHECK(result["stages"][0]["frozen"]["blocks"] == 0);

  Bench two;
  std::filesystem::remove_all(two.folder / "data/train/blue");
  std::filesystem::remove_all(two.folder / "data/val/blue");
  two.options.loss = "sigmoid";
  const io::Json sigmoid = two.train("two");
  CHECK(sigmoid["top1"] > 0.6);
  CHECK(two.bytes("two", "classes.txt") == "green\nred\n");
}

TEST_CASE("predictions.csv and result.json agree", "[module]") {
  Bench bench;
  const io::Json result = bench.train("run");
  int64_t lines = 0, right = 0;
  std::istringstream file(bench.bytes("run", "predictions.csv"));
  std::string line;
  std::getline(file, line);
  CHECK(line == "image_path,label,score,true_label");
  while (std::getline(file, line)) {
    ++lines;
    const auto first = line.find(','), second = line.find(',', first + 1), third = line.find(',', second + 1);
    right += line.substr(first + 1, second - first - 1) == line.substr(third + 1);
  }
  CHECK(lines == 15);
  CHECK(static_cast<double>(right) / 15 == Approx(result["top1"].get<double>()));
}

TEST_CASE("bad pictures are named; with skip_bad the run goes on without them", "[module]") {
  Bench bench;
  test::put_file(bench.folder / "data/train/red/cut.png",
                 io::read_file(bench.folder / "data/train/red/0.png").substr(0, 700));
  CHECK_THROWS_WITH(bench.train("refused"),
                    Catch::Contains("1 picture cannot be read") && Catch::Contains("red/cut.png"));
  CHECK_FALSE(std::filesystem::exists(bench.folder / "refused"));
  bench.options.skip_bad = true;
  CHECK(bench.train("refused")["skipped"] == 1);  // the advice can be followed as given
  const io::Json result = bench.train("skipped");
  CHECK(result["skipped"] == 1);
  CHECK(bench.bytes("skipped", "skipped.csv").find("train/red/cut.png,") != std::string::npos);
  for (const auto& picture : std::filesystem::directory_iterator(bench.folder / "data/train/red")) {
    test::put_file(picture.path().string(), "no picture");
  }
  CHECK_THROWS_WITH(bench.train("empty"), Catch::Contains("class 'red': no readable training picture is left"));
}

TEST_CASE("a frozen norm that stood in train mode while weights moved fails the proof", "[module]") {
  torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  const model::FreezePlan plan = model::plan_freeze("mixed_2", {"stem", "mixed_1", "mixed_2"});
  model::HeadOptions options;
  options.embedding_dim = 16;
  options.outputs = 2;
  model::Head head(options);
  finetune::TopTrainee trainee(body, "forward", plan, model::Pool::kAverage, head);
  trainee.set_training(false);
  const model::FrozenProof proof(body, plan);
  trainee.set_training(true);
  trainee.forward(at::zeros({2, 3, 16, 16}));
  trainee.set_training(false);
  CHECK(proof.check(body, trainee.frozen_seen_in_train_mode()).holds());

  // Between two changes of mode; no forward, so that no statistic gives it away.
  trainee.set_training(true);
  torch::jit::Module norm = body.attr("stem").toModule().attr("bn").toModule();
  norm.setattr("training", true);
  trainee.set_training(false);
  CHECK(proof.check(body).holds());
  CHECK(proof.check(body, trainee.frozen_seen_in_train_mode()).moved == std::vector<std::string>{"stem"});
}

TEST_CASE("a batch larger than the data costs what the data cost", "[module]") {
  Bench bench;
  bench.options.stage.clear();
  bench.options.data.batch = 51;  // 36 + 15 pictures
  bench.train("all");
  bench.options.data.batch = 50000;
  bench.train("huge");
  for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv"}) {
    INFO(name);
    CHECK(bench.bytes("huge", name) == bench.bytes("all", name));
  }

  image::Preprocessing preprocessing;
  preprocessing.size_px = 299;
  data::Listing listing;
  listing.samples.resize(3);
  CHECK(finetune::batch_shape(32, listing, preprocessing) == 32);
  CHECK(finetune::batch_shape(8, listing, preprocessing) == 8);
  listing.samples.resize(244);
  CHECK(finetune::batch_shape(4096, listing, preprocessing) == 244);
  preprocessing.size_px = 1 << 20;
  CHECK_THROWS_WITH(finetune::batch_shape(4096, listing, preprocessing), Catch::Contains("give a smaller --batch"));
}

TEST_CASE("a run is resumed with its own options only, and a finished one is left as it is", "[module]") {
  Bench bench;
  bench.options.resume = true;
  const auto train = [&](const io::Json& record) {
    SilentReporter silent;
    return finetune::run_training(bench.options, bench.folder / "run", record, silent);
  };
  const io::Json record = {{"epochs", 6}, {"seed", 42}, {"learning_rate", 0.02}};
  const finetune::TrainResult first = train(record);
  const std::string model = bench.bytes("run", "model.pt");
  CHECK(train(record).result_json == first.result_json);
  CHECK(bench.bytes("run", "model.pt") == model);
  const io::Json other = {{"epochs", 7}, {"seed", 42}, {"loss", "sigmoid"}, {"learning_rate", 0.02}};
  CHECK_THROWS_WITH(train(other), Catch::Contains("epochs (6, now 7), loss (not given, now \"sigmoid\")"));
  CHECK_THROWS_AS(train(other), UsageError);
  bench.options.resume = false;
  CHECK_THROWS_WITH(train(record), Catch::Contains("holds a finished run"));
}

TEST_CASE("what is wrong is said before anything is computed", "[module]") {
  using O = finetune::TrainOptions;
  const auto message = [](const auto& change) -> std::string {
    Bench bench;
    change(bench.options);
    try {
      bench.train("x");
    } catch (const Error& error) {
      CHECK_FALSE(std::filesystem::exists(bench.folder / "x"));
      return error.what();
    }
    return "no error";
  };
  CHECK_THAT(message([](O& o) { o.tap = "mixed_3"; }), Catch::Contains("no block 'mixed_3'"));
  CHECK_THAT(message([](O& o) { o.tap = "mixed_1,mixed_2"; }), Catch::Contains("train takes one block"));
  CHECK_THAT(message([](O& o) { o.loss = "sigmoid"; }), Catch::Contains("the data have 3"));
  CHECK_THAT(message([](O& o) { o.head = "conv"; }), Catch::Contains("--head 'conv'"));
  CHECK_THAT(message([](O& o) { o.stage = {"unfreeze=mixd_2"}; }), Catch::Contains("did you mean 'mixed_2'?"));
  CHECK_THAT(message([](O& o) {
               std::filesystem::remove_all(o.data.data + "/val");
               std::filesystem::create_directories(o.data.data + "/val/red");
             }),
             Catch::Contains("the validation folder holds none"));
  CHECK_THAT(message([](O& o) {
               std::filesystem::remove_all(o.data.data + "/val");
               o.val_fraction = 1e-6;
             }),
             Catch::Contains("none of 36 pictures falls into --val-fraction 1e-06; raise it"));
  CHECK_THAT(message([](O& o) { o.backbone += "x"; }), Catch::Contains("no such file"));
  CHECK_THAT(message([](O& o) {
               o.epochs = 0;
               o.stage.clear();
             }),
             Catch::Contains("nothing to train"));
  Bench bench;
  test::put_file(bench.folder / "there/file", "x");
  CHECK_THROWS_AS(bench.train("there"), UsageError);
}
