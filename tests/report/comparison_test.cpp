#include "report/comparison.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "report/gate.h"
#include "stats/holm.h"
#include "stats/proportion.h"
#include "support/support.h"

using namespace engraft;
using Catch::Matchers::Contains;

namespace {

/// A finished run's folder: of `right` a character a picture, '1' where the model has it right.
void put_run(const std::string& folder, const std::string& right, int seed, const std::string& options = "") {
  std::string table = io::csv_line({"image_path", "label", "score", "true_label", "source"});
  for (size_t i = right.size(); i-- > 0;) {  // in another order than the sorted one
    const std::string truth = i % 2 == 0 ? "ants" : "bees", other = i % 2 == 0 ? "bees" : "ants";
    table += io::csv_line({text::cat("val/", 100 + i, ".jpg"), right[i] == '1' ? truth : other, "0.9", truth,
                           i < right.size() / 3 ? "web, cam" : "phone"});
  }
  test::put_file(folder + "/predictions.csv", table);
  test::put_file(folder + "/run.toml",
                 options + "seed = " + std::to_string(seed) + "\n[resolved]\nplatform = \"" + folder + "\"\n");
  const double top1 =
      static_cast<double>(std::count(right.begin(), right.end(), '1')) / static_cast<double>(right.size());
  test::put_file(
      folder + "/result.json",
      io::json_line(
          {{"format", "engraft-run"}, {"version", 1}, {"rows", right.size()}, {"top1", top1}, {"loss", 0.5}}));
}

/// `right` times '1', then as many '0' as fill `rows`.
std::string first_right(size_t right, size_t rows) { return std::string(right, '1') + std::string(rows - right, '0'); }

std::vector<report::Predictions> read(const std::vector<std::string>& paths) {
  std::vector<report::Predictions> runs;
  for (const std::string& path : paths) runs.push_back(report::read_predictions(path));
  return runs;
}

}  // namespace

TEST_CASE("two single runs are told apart by McNemar's test, with Wilson's intervals", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a", first_right(60, 100), 1, "tap = \"x\"\n");
  put_run(folder / "b", first_right(90, 100), 1, "tap = \"y\"\n");
  const io::Json out = report::compare(read({folder / "a", folder / "b"}), {});
  CHECK(out.at("rows") == 100);
  const io::Json& a = out.at("runs").at(0);
  CHECK(a.at("right") == 60);
  CHECK(a.at("top1").at("value").get<double>() == Approx(0.6));
  CHECK(a.at("top1").at("low").get<double>() == stats::wilson(60, 100, 0.95).low);
  CHECK(a.at("loss").at("value") == 0.5);
  CHECK(a.at("options") == io::Json{{"tap", "x"}});
  const io::Json& pair = out.at("pairs").at(0);
  CHECK(pair.at("first") == "b");
  CHECK(pair.at("difference").get<double>() == Approx(0.3));
  CHECK(pair.at("test") == "mcnemar");
  CHECK(pair.at("first_alone") == 30);
  CHECK(pair.at("second_alone") == 0);
  CHECK(pair.at("p").get<double>() == stats::mcnemar(30, 0));
  CHECK(pair.at("told_apart") == true);
  CHECK_THAT(report::comparison_text(out),
             Contains("b is better") && Contains("tap y") && Contains("+30.00") && Contains("100 pictures"));
}

TEST_CASE("runs that differ in their seed alone are one setting, unless they are to stand apart", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a1", first_right(60, 90), 1, "tap = \"x\"\n");
  put_run(folder / "a2", first_right(66, 90), 2, "tap = \"x\"\n");
  put_run(folder / "b1", first_right(80, 90), 1, "tap = \"y\"\n");
  const auto runs = read({folder / "a1", folder / "b1", folder / "a2"});
  const io::Json out = report::compare(runs, {});
  REQUIRE(out.at("runs").size() == 2);
  const io::Json& a = out.at("runs").at(0);
  CHECK(a.at("repetitions") == 2);
  CHECK(a.at("seeds") == io::Json({1, 2}));
  CHECK(a.at("top1").at("value").get<double>() == Approx(63.0 / 90));
  CHECK(a.at("top1").at("std").get<double>() == Approx(6.0 / 90 / std::sqrt(2.0)));
  CHECK(out.at("pairs").at(0).at("test") == "bootstrap");
  CHECK(out.at("pairs").at(0).at("difference").get<double>() == Approx(17.0 / 90));
  report::ComparisonOptions apart;
  apart.each_seed = true;
  CHECK(report::compare(runs, apart).at("runs").size() == 3);
}

TEST_CASE("repetitions that are all right everywhere are no certainty", "[unit]") {
  const test::TempFolder folder;
  for (int seed = 1; seed <= 3; ++seed) put_run(folder / std::to_string(seed), first_right(20, 20), seed);
  const io::Json run = report::compare(read({folder / "1", folder / "2", folder / "3"}), {}).at("runs").at(0);
  CHECK(run.at("repetitions") == 3);
  CHECK(run.at("top1").at("low").get<double>() == Approx(stats::wilson(20, 20, 0.95).low));
  CHECK(run.at("top1").at("high") == 1);
}

TEST_CASE("a table that is not its result's is refused", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a", first_right(6, 10), 1);
  const std::string table = folder / "a/predictions.csv", whole = io::read_file(table);
  io::write_file(table, whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1));
  CHECK_THROWS_WITH(report::read_predictions(folder / "a"),
                    Contains("predictions.csv: 9 pictures") && Contains("there are 10, 0.6"));
  io::write_file(table, whole);
  CHECK(report::read_predictions(folder / "a").values.size() == 10);
  test::put_file(folder / "a/result.json", "{}");
  CHECK_THROWS_AS(report::read_predictions(folder / "a"), DataError);
}

TEST_CASE("p-values are corrected over all that was looked at", "[unit]") {
  const test::TempFolder folder;
  std::vector<std::string> paths;
  for (int i = 0; i < 4; ++i) {
    paths.push_back(folder / std::to_string(i));
    put_run(paths.back(), first_right(static_cast<size_t>(70 + 5 * i), 100), 1, text::cat("epochs = ", i, "\n"));
  }
  report::ComparisonOptions options;
  options.pairs = "all";
  const io::Json all = report::compare(read(paths), options);
  REQUIRE(all.at("pairs").size() == 6);
  std::vector<double> p_values;
  for (const io::Json& pair : all.at("pairs")) p_values.push_back(pair.at("p"));
  const std::vector<double> expected = stats::holm(p_values);
  for (size_t i = 0; i < 6; ++i) CHECK(all.at("pairs").at(i).at("p_adjusted").get<double>() == expected[i]);
  options.pairs = "best";
  const io::Json best = report::compare(read(paths), options);
  REQUIRE(best.at("pairs").size() == 3);
  for (const io::Json& pair : best.at("pairs")) {
    CHECK(pair.at("second") == "d");
    for (const io::Json& same : all.at("pairs")) {
      if (same.at("first") == "d" && same.at("second") == pair.at("first"))
        CHECK(pair.at("p_adjusted") == same.at("p_adjusted"));
    }
  }
}

TEST_CASE("slices have counts, intervals, a worst and a gap", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a", first_right(20, 90), 1);  // web cam: 20 of 30, phone 0 of 60
  report::ComparisonOptions options;
  options.by = {"source", "true_label"};
  const io::Json out = report::compare(read({folder / "a"}), options);
  const io::Json& run = out.at("runs").at(0);
  CHECK(run.at("by").at("source").at("web, cam").at("rows") == 30);
  CHECK(run.at("by").at("source").at("web, cam").at("top1").at("value").get<double>() == Approx(2.0 / 3));
  CHECK(run.at("by").at("source").at("phone").at("top1").at("high").get<double>() == stats::wilson(0, 60, 0.95).high);
  CHECK(run.at("worst").at("source").at("slice") == "phone");
  CHECK(run.at("gap").at("source").at("top1").get<double>() == Approx(2.0 / 3));
  CHECK(run.at("by").at("true_label").size() == 2);
  const std::string table = report::runs_csv(out);
  CHECK_THAT(table, Contains("source,\"web, cam\",30,0.666"));
  CHECK_THAT(report::comparison_text(out), Contains("worst: phone, −66.67 points from the best"));
  options.by = {"sauce"};
  CHECK_THROWS_WITH(report::compare(read({folder / "a"}), options), Contains("has no such column; source, true_label"));
}

TEST_CASE("a fairness gate reads slices by their names", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a", first_right(20, 90), 1);
  report::ComparisonOptions options;
  options.by = {"source"};
  const io::Json figures = report::gate_figures(report::compare(read({folder / "a/"}), options));
  CHECK(report::Gate("a.by.source[\"web, cam\"].top1 > 60%").check(figures).is_met);
  CHECK_FALSE(report::Gate("a.gap.source.top1 < 5%").check(figures).is_met);
  CHECK(report::Gate("a.worst.source.top1.high < 10%").check(figures).is_met);
}

TEST_CASE("runs on different pictures are refused, and some of them named", "[unit]") {
  const test::TempFolder folder;
  put_run(folder / "a", "1101", 1);
  put_run(folder / "more", "11011", 1);
  CHECK_THROWS_WITH(
      report::compare(read({folder / "a", folder / "more"}), {}),
      Contains("more: was validated on other pictures") && Contains("has 1 (val/104.jpg)") && Contains("lacks none"));
  test::put_file(folder / "labels.csv",
                 "image_path,label,score,true_label\nval/100.jpg,bees,1,bees\nval/101.jpg,bees,1,bees\n"
                 "val/102.jpg,ants,1,ants\nval/103.jpg,bees,1,bees\n");
  CHECK_THROWS_WITH(report::compare(read({folder / "a", folder / "labels.csv"}), {}),
                    Contains("val/100.jpg is labelled 'bees'") && Contains("'ants'"));
  put_run(folder / "b", "1101", 1);
  test::put_file(folder / "b/result.json", R"({"rows": 4, "top1": 0.75, "loss": 1, "pictures_digest": "00"})");
  test::put_file(folder / "a/result.json", R"({"rows": 4, "top1": 0.75, "loss": 1, "pictures_digest": "01"})");
  CHECK_THROWS_WITH(report::compare(read({folder / "a", folder / "b"}), {}), Contains("other contents"));
}

TEST_CASE("numbers are compared by how far off they are, less is better", "[unit]") {
  const test::TempFolder folder;
  std::string near = io::csv_line({"image_path", "value", "true_value"}), far = near;
  for (int i = 0; i < 60; ++i) {
    near += io::csv_line({text::cat(i, ".jpg"), text::cat(i, ".5"), text::cat(i)});
    far += io::csv_line({text::cat(i, ".jpg"), text::cat(i + 2 + i % 3), text::cat(i)});
  }
  test::put_file(folder / "near.csv", near);
  test::put_file(folder / "far.csv", far);
  report::ComparisonOptions options;
  options.pairs = "best";
  const io::Json out = report::compare(read({folder / "far.csv", folder / "near.csv"}), options);
  CHECK(out.at("metric") == "mae");
  CHECK(out.at("runs").at(1).at("mae").at("value").get<double>() == Approx(0.5));
  CHECK(out.at("pairs").at(0).at("second") == "b");
  CHECK(out.at("pairs").at(0).at("difference").get<double>() == Approx(2.5));
  CHECK_THAT(report::comparison_text(out), Contains("b is better"));
}

TEST_CASE("several labels are right where all of them are, in whatever order they stand", "[unit]") {
  const test::TempFolder folder;
  test::put_file(folder / "p.csv", "image_path,label,score,true_label\n1,a;b,1;1,b;a\n2,a,1,a;b\n3,,,\n");
  const report::Predictions read = report::read_predictions(folder / "p.csv");
  CHECK(read.metric == "exact_match");
  CHECK(read.values == std::vector<double>{1, 0, 1});
}

TEST_CASE("what is no finished run or no table of labelled pictures is refused", "[unit]") {
  const test::TempFolder folder;
  CHECK_THROWS_WITH(report::read_predictions(folder.path()), Contains("not a run folder"));
  test::put_file(folder / "run.toml", "seed = 1\n");
  CHECK_THROWS_WITH(report::read_predictions(folder.path()), Contains("has not finished"));
  test::put_file(folder / "p.csv", "image_path,label,score\nx,a,1\n");
  CHECK_THROWS_WITH(report::read_predictions(folder / "p.csv"), Contains("no column true_label"));
  test::put_file(folder / "n.csv", "image_path,value,true_value\nx,1,much\n");
  CHECK_THROWS_WITH(report::read_predictions(folder / "n.csv"), Contains("n.csv:2: 'much' is no number"));
  CHECK_THROWS_AS(report::read_predictions(folder / "nothing.csv"), DataError);
}
