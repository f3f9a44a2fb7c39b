#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "support/support.h"

using namespace engraft;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

namespace {

/// Writes NAME.csv of the example's pictures with the labels of their classes.
void write_manifest(const std::string& name, const std::map<std::string, std::string>& labels) {
  std::string csv = "image_path,label,split\n";
  for (const auto& [folder, label] : labels) {
    for (const char* split : {"train", "val"}) {
      for (int i = 0; i < 6; ++i) {
        csv += "ex/pictures/" + std::string(split) + "/" + folder + "/000" + std::to_string(i) + ".jpg," + label + "," +
               split + "\n";
      }
    }
  }
  test::put_file(example() / name, csv);
}

}  // namespace

TEST_CASE("labels from a manifest are trained, evaluated and predicted", "[cli]") {
  write_manifest("labels.csv", {{"checks", "even;square"}, {"vertical", "even; upright"}, {"horizontal", ""}});
  const std::string folder = example().path();
  must(engraft_in(folder,
                  "train --backbone ex/tiny.pt --data labels.csv --loss multilabel --out labels --epochs 20 "
                  "--quiet --device cpu"));
  const Outcome outcome =
      engraft_in(folder, "evaluate --model labels/model.pt --data labels.csv --json --predictions labels.out");
  const io::Json judged = io::parse_json(outcome.out, "stdout"), result = io::read_json(folder + "/labels/result.json");
  for (const char* key : {"rows", "mean_average_precision", "micro_f1", "exact_match", "loss"}) {
    INFO(key);
    CHECK(judged[key] == result[key]);
  }
  CHECK(io::read_file(folder + "/labels.out") == io::read_file(folder + "/labels/predictions.csv"));
  REQUIRE(judged["per_class"].size() == 3);
  CHECK(judged["per_class"][0]["class"] == "even");
  CHECK(judged["per_class"][0]["rows"] == 12);
  const Outcome table = engraft_in(folder, "evaluate --model labels/model.pt --data labels.csv --quiet");
  CHECK(table.out.find("mAP ") == 0);
  CHECK(table.out.find("average precision") != std::string::npos);

  const std::string predict = "predict --model labels/model.pt --quiet ex/pictures/val/checks ";
  CHECK(engraft_in(folder, predict).out.find("image_path,label,score\n") == 0);
  CHECK(engraft_in(folder, predict + "--top 2").out.find("image_path,label,score,label_1,score_1,label_2,score_2\n") ==
        0);
  const std::string lines = engraft_in(folder, predict + "--top 3 --json").out;
  const io::Json first = io::parse_json(lines.substr(0, lines.find('\n')), "stdout");
  REQUIRE(first["top"].size() == 3);
  for (const io::Json& label : first["labels"]) CHECK(label["score"] >= 0.5);
  int64_t held = 0;
  for (const io::Json& label : first["top"]) held += label["score"] >= 0.5;
  CHECK(held == static_cast<int64_t>(first["labels"].size()));
  CHECK(engraft_in(folder, "inspect labels").out.find("a finished run: mAP ") != std::string::npos);
  CHECK(engraft_in(folder, "inspect labels/model.pt").out.find("multilabel") != std::string::npos);
}

TEST_CASE("numbers from a manifest are trained, evaluated and predicted", "[cli]") {
  write_manifest("numbers.csv", {{"checks", "10"}, {"vertical", "20"}, {"horizontal", "30.5"}});
  const std::string folder = example().path();
  must(engraft_in(folder,
                  "train --backbone ex/tiny.pt --data numbers.csv --loss regression --out numbers --epochs 20 "
                  "--quiet --device cpu"));
  const Outcome outcome = engraft_in(folder, "evaluate --model numbers/model.pt --data numbers.csv --json");
  const io::Json judged = io::parse_json(outcome.out, "stdout");
  const io::Json result = io::read_json(folder + "/numbers/result.json");
  for (const char* key : {"rows", "mae", "rmse", "r2", "loss"}) {
    INFO(key);
    CHECK(judged[key] == result[key]);
  }
  CHECK_FALSE(judged.contains("per_class"));
  const std::string predict = "predict --model numbers/model.pt --quiet ex/pictures/val/checks ";
  CHECK(engraft_in(folder, predict).out.find("image_path,value\n") == 0);
  const std::string lines = engraft_in(folder, predict + "--json").out;
  const double value = io::parse_json(lines.substr(0, lines.find('\n')), "stdout")["value"];
  CHECK(value > 0);  // in the units of the labels; standardised it lies about -1
  const Outcome top = engraft_in(folder, predict + "--top 2");
  CHECK(top.code == 2);
  CHECK(top.err.find("there are no classes to rank") != std::string::npos);
  const Outcome words = engraft_in(folder, "evaluate --model numbers/model.pt --data ex/pictures");
  CHECK(words.code == 3);
  CHECK(words.err.find("needs a manifest") != std::string::npos);
  CHECK(engraft_in(folder, "inspect numbers/model.pt").out.find("a number: of mean 20.1666") != std::string::npos);
  // A resumed finished run says what it found.
  CHECK(engraft_in(folder,
                   "train --backbone ex/tiny.pt --data numbers.csv --loss regression --out numbers --epochs 20 "
                   "--quiet --device cpu --resume")
            .out.find("finished before; mae ") != std::string::npos);
}
