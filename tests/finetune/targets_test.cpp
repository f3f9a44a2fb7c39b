// Targets beyond one class a picture, from a manifest to model.pt, and that one class a picture is told as ever.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/bench.h"
#include "finetune/stage_fit.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "model/artifact.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

namespace {

using Strings = std::vector<std::string>;

/// A bench whose pictures have labels of another kind, by their class.
struct Labelled : Bench {
  Labelled(const std::string& loss, const std::map<std::string, Strings>& labels) {
    options.loss = loss;
    std::string csv = "image_path,label,split\n";
    for (const auto& [name, of_class] : labels) {
      for (size_t i = 0; i < 17; ++i) {
        const std::string split = i < 12 ? "train" : "val";
        csv += text::cat("data/", split, "/", name, "/", i, ".png,", of_class[i % of_class.size()], ",", split, "\n");
      }
    }
    options.data.data = folder / "labels.csv";
    test::put_file(options.data.data, csv);
    options.epochs = 40;
    options.head = "fc=16,relu";
    options.stage = {"unfreeze=mixed_2,epochs=2,learning_rate=1e-4",
                     "unfreeze=mixed_1,epochs=2,optimizer=sgd,learning_rate=1e-4"};
  }
  io::Json first_metrics(const std::string& out) const {
    const std::string lines = bytes(out, "metrics.jsonl");
    return io::parse_json(lines.substr(0, lines.find('\n')), "metrics");
  }
};

/// Every colour has its name; blue and green are cold; of red nothing holds but in every fourth picture.
Labelled multi_label() {
  return Labelled("multilabel", {{"blue", {"cold; blue"}}, {"green", {"green;cold"}}, {"red", {"", "", "", "warm"}}});
}

/// In thousands, near each other for a colour.
Labelled regression() {
  return Labelled("regression", {{"blue", {"1000", "1010"}}, {"green", {"2000", "2010"}}, {"red", {"3000", "3010"}}});
}

Strings keys_of(const io::Json& object) {
  Strings keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

std::string refusal(Bench& bench) {
  try {
    bench.train("refused");
  } catch (const Error& error) {
    CHECK_FALSE(std::filesystem::exists(bench.folder / "refused"));
    return text::replace_all(error.what(), bench.folder.path(), "DIR");
  }
  return "no error";
}

}  // namespace

TEST_CASE("several labels are learned, by head and stages, and told by their own figures", "[module]") {
  Labelled bench = multi_label();
  bench.options.compute.precision = "f32";  // as the judging of model.pt
  const io::Json result = bench.train("run");
  CHECK(result["mean_average_precision"] > 0.7);  // chance is about a third of the pictures
  CHECK(result["micro_f1"] > 0.7);
  CHECK(result["exact_match"] > 0.5);
  CHECK(result["classes"] == 4);
  CHECK_FALSE(result.contains("top1"));
  CHECK(keys_of(bench.first_metrics("run")) == Strings{"stage", "epoch", "learning_rate", "train_loss",
                                                       "train_exact_match", "val_loss", "val_mean_average_precision",
                                                       "val_micro_f1", "val_exact_match"});
  CHECK(bench.bytes("run", "classes.txt") == "blue\ncold\ngreen\nwarm\n");
  const io::Json& best = result["stages"].back()["best"];
  // Judged from model.pt in other batches than in training: the last bits of logits.
  CHECK(result["loss"].get<double>() == Approx(best["loss"].get<double>()).epsilon(1e-5));
  CHECK(result["mean_average_precision"] == best["mean_average_precision"]);
  for (const io::Json& stage : result["stages"]) CHECK(stage["frozen"]["moved"].empty());
}

TEST_CASE("a validation without labels is warned of", "[module]") {
  Labelled bench = multi_label();
  std::string csv = io::read_file(bench.options.data.data);
  size_t at = 0;
  while ((at = csv.find(",val\n", at)) != std::string::npos) {  // PATH,LABEL,val
    const size_t label = csv.rfind(',', at - 1) + 1;
    csv.erase(label, at - label);
    at = label + 4;
  }
  test::put_file(bench.options.data.data, csv);
  CHECK_THAT(bench.train_with_cache("memory", "run"), Catch::Contains("warning: no validation picture has a label"));
}

TEST_CASE("a multi-label picture's line has its labels in the order of the classes, each with its score", "[module]") {
  Labelled bench = multi_label();
  const io::Json result = bench.train("run");
  const io::CsvTable table = io::read_csv(bench.folder / "run/predictions.csv", ',');
  CHECK(table.header == Strings{"image_path", "label", "score", "true_label"});
  REQUIRE(table.rows.size() == 15);
  CHECK(table.rows[0][3] == "blue;cold");  // as sorted, so that texts can be compared
  int64_t exact = 0;
  for (const Strings& row : table.rows) {
    const Strings labels = text::split(row[1], ';'), scores = text::split(row[2], ';');
    CHECK(labels.size() == scores.size());
    CHECK(std::is_sorted(labels.begin(), labels.end()));
    if (!row[1].empty()) {
      for (const std::string& score : scores) CHECK(text::to_double(score).value() >= 0.5);
    }
    exact += row[1] == row[3];
  }
  CHECK(static_cast<double>(exact) / 15 == Approx(result["exact_match"].get<double>()));
}

TEST_CASE("a number is learned in its own units", "[module]") {
  Labelled bench = regression();
  const io::Json result = bench.train("run");
  CHECK(result["r2"] > 0.5);   // the mean alone has 0
  CHECK(result["mae"] < 500);  // the mean alone: 667
  CHECK(result["classes"] == 0);
  CHECK_FALSE(result.contains("top1"));
  CHECK(keys_of(bench.first_metrics("run")) ==
        Strings{"stage", "epoch", "learning_rate", "train_loss", "val_loss", "val_mae", "val_rmse", "val_r2"});
  CHECK_FALSE(std::filesystem::exists(bench.folder / "run/classes.txt"));
  CHECK(result["target"]["mean"] == Approx(2005));
  const double rmse = result["rmse"], std = result["target"]["std"];
  CHECK(result["loss"] == Approx(rmse * rmse / (std * std)));

  const io::CsvTable table = io::read_csv(bench.folder / "run/predictions.csv", ',');
  CHECK(table.header == Strings{"image_path", "value", "true_value"});
  double error = 0;
  for (const Strings& row : table.rows) {
    error += std::abs(text::to_double(row[1]).value() - text::to_double(row[2]).value()) / 15;
  }
  CHECK(error == Approx(result["mae"].get<double>()));

  const model::Artifact artifact = model::load_artifact(bench.folder / "run/model.pt", false);
  CHECK(artifact.target == Target::kRegression);
  CHECK(artifact.scale.std == std);
  CHECK(artifact.classes.empty());
}

TEST_CASE("regression keeps the epoch of the lowest loss", "[module]") {
  Labelled bench = regression();
  bench.options.stage.clear();
  const io::Json result = bench.train("run");
  double least = 1e300;
  for (const std::string& line : text::split(text::trim(bench.bytes("run", "metrics.jsonl")), '\n')) {
    least = std::min(least, io::parse_json(line, "metrics")["val_loss"].get<double>());
  }
  CHECK(result["stages"][0]["best"]["loss"] == least);
}

TEST_CASE("labels and numbers give the same bytes from activations and from pictures, and resume to the bit",
          "[module]") {
  for (const auto& make : {multi_label, regression}) {
    Labelled bench = make();
    bench.options.epochs = 3;
    Recorder recorder;
    bench.options.verify_resume = 7;  // an epoch has 5 updates: its record is in the checkpoint
    finetune::run_training(bench.options, bench.folder / "cached", io::Json::object(), recorder);
    CHECK_THAT(recorder.told, Catch::Contains("bit-identical, in one go and by a checkpoint"));
    bench.options.verify_resume = 0;
    bench.options.cache.cache = "off";
    bench.train("pictures");
    for (const char* name : {"metrics.jsonl", "predictions.csv", "model.pt"}) {
      INFO(name);
      CHECK(bench.bytes("pictures", name) == bench.bytes("cached", name));
    }
  }
}

TEST_CASE("labels and numbers are learned from mixed pictures", "[module]") {
  for (const auto& make : {multi_label, regression}) {
    Labelled bench = make();
    bench.options.stage = {"unfreeze=mixed_2,epochs=3,learning_rate=0.01,mixup=0.2,cutmix=1"};
    const io::Json stage = bench.train("run")["stages"][1];
    CHECK(stage["updates"]["mixed_2"]["ratio"] > 0);
    CHECK(stage["frozen"]["moved"].empty());
  }
  Labelled weighted = multi_label();
  weighted.options.optimizer.class_weights = "balanced";
  weighted.options.optimizer.label_smoothing = 0.05;
  CHECK(weighted.train("run")["mean_average_precision"] > 0.6);
}

TEST_CASE("class folders are a multi-label data set of one name each", "[module]") {
  Bench bench;
  bench.options.loss = "multilabel";
  const io::Json result = bench.train("run");
  CHECK(result["classes"] == 3);
  CHECK(result["mean_average_precision"] > 0.6);
}

TEST_CASE("one class a picture is told by the keys that it always had, in their order", "[module]") {
  struct Case {
    const char* loss;
    const char* without;
  };
  for (const Case& c : {Case{"softmax", ""}, Case{"sigmoid", "red"}}) {
    INFO(c.loss);
    Bench bench;
    bench.options.loss = c.loss;
    for (const char* split : {"/train/", "/val/"}) {
      if (*c.without != '\0') std::filesystem::remove_all(bench.options.data.data + split + c.without);
    }
    const io::Json result = bench.train("run");
    const Strings keys = keys_of(result);
    CHECK(Strings(keys.begin(), keys.begin() + 6) == Strings{"format", "version", "rows", "top1", "loss", "selected"});
    CHECK_FALSE(result.contains("target"));
    CHECK(keys_of(result["stages"][0]["best"]) == Strings{"epoch", "top1", "loss", "train_loss"});
    const std::string csv = bench.bytes("run", "metrics.csv");
    CHECK(csv.substr(0, csv.find('\n')) == "stage,epoch,learning_rate,train_loss,train_top1,val_loss,val_top1");
    const std::string predictions = bench.bytes("run", "predictions.csv");
    CHECK(predictions.substr(0, predictions.find('\n')) == "image_path,label,score,true_label");
    const io::Json about = io::parse_json(model::load_artifact(bench.folder / "run/model.pt", false).about_json, "");
    CHECK(keys_of(about) == Strings{"format", "version", "classes", "loss", "tap", "pool", "head", "preprocessing",
                                    "backbone_sha256", "training_data", "self_test"});
  }
}

TEST_CASE("what has no meaning with a target is refused with the reason", "[module]") {
  Labelled numbers = regression();
  finetune::TrainOptions& options = numbers.options;
  options.stage = {"unfreeze=mixed_2,epochs=1,label_smoothing=0.1"};
  CHECK(refusal(numbers) == "label_smoothing: regression has no classes");
  options.optimizer.class_weights = "balanced";
  CHECK(refusal(numbers) == "class_weights: regression has no classes");
  options.optimizer.balanced = true;
  CHECK(refusal(numbers) == "balanced: regression has no classes");
  Labelled labels = multi_label();
  labels.options.optimizer.balanced = true;
  CHECK_THAT(refusal(labels), Catch::Contains("is of no single class"));
}

TEST_CASE("labels without a spread that can be learned are refused", "[module]") {
  Labelled same("regression", {{"blue", {"0.1"}}, {"green", {"0.1"}}});
  CHECK(refusal(same) == "DIR/labels.csv: all training labels are 0.1; nothing to learn");
  Labelled huge("regression", {{"blue", {"1e200"}}, {"green", {"-1e200"}}});
  CHECK_THAT(refusal(huge), Catch::Contains("labels.csv:2: label '1e200' is beyond float32"));
  Labelled offset("regression", {{"blue", {"1000000000"}}, {"green", {"1000000010"}}});
  CHECK_THAT(refusal(offset), Catch::Contains("take an offset off the labels"));
  Labelled far = regression();
  std::string csv = io::read_file(far.options.data.data);
  csv.replace(csv.find("red/16.png,3000"), 15, "red/16.png,1e38");
  far.options.data.data = far.folder / "far.csv";
  test::put_file(far.options.data.data, text::replace_all(text::replace_all(csv, "000,", "e-9,"), "010,", "e-8,"));
  CHECK_THAT(refusal(far), Catch::Contains("red/16.png: label '1e38' is ") && Catch::Contains("beyond float32"));
  Labelled untrained("regression", {{"blue", {"1", "2"}}});
  test::put_file(untrained.options.data.data, "image_path,label,split\ndata/val/blue/12.png,1,val\n");
  CHECK(refusal(untrained) == "DIR/labels.csv: no picture in the training split");
}

TEST_CASE("the spread is that of the pictures that could be read", "[module]") {
  Labelled bench = regression();
  test::put_file(bench.folder / "data/train/blue/0.png", "not a picture");
  bench.options.skip_bad = true;
  const io::Json result = bench.train("run");
  CHECK(result["skipped"] == 1);
  CHECK(result["target"]["mean"] == Approx((6 * 1010 + 5 * 1000 + 12 * 2005 + 12 * 3005) / 35.0));
}

TEST_CASE("label weights are the odds against a label", "[unit]") {
  const Strings classes = {"a", "b", "c"};
  const std::vector<std::vector<int64_t>> labels = {{0, 2}, {0}, {0}, {0, 2}};
  CHECK(finetune::label_weights("none", classes, labels).empty());
  CHECK(finetune::label_weights("balanced", classes, labels) == std::vector<double>{1, 1, 1});
  CHECK(finetune::label_weights("balanced", classes, {{0, 2}, {2}, {2}, {}}) == std::vector<double>{3, 1, 1.0 / 3});
  CHECK(finetune::label_weights("b:2.5", classes, labels) == std::vector<double>{1, 2.5, 1});
  CHECK_THROWS_WITH(finetune::label_weights("d:2", classes, labels), Catch::Contains("no class 'd'"));
}
