#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/json.h"

using namespace engraft;
using Catch::Matchers::Contains;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

namespace {

std::vector<io::Json> lines_of(const std::string& out) {
  std::vector<io::Json> lines;
  size_t begin = 0;
  for (size_t end; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(io::parse_json(out.substr(begin, end - begin), "stdout"));
  return lines;
}

std::string base() { return "[base]\nbackbone = 'ex/tiny.pt'\ndata = 'ex/pictures'\nepochs = 3\nprecision = 'f32'\n"; }

}  // namespace

TEST_CASE("scan ranks blocks and suggests one of them", "[cli]") {
  const std::string folder = example().path();
  const Outcome shown = engraft_in(folder, "scan --backbone ex/tiny.pt --data ex/pictures --csv taps.csv --quiet");
  must(shown);
  CHECK_THAT(shown.out, Contains("suggested: --tap ") && Contains("95 % interval"));
  const Outcome read = engraft_in(folder, "scan --backbone ex/tiny.pt --data ex/pictures --folds 3 --quiet --json");
  must(read);
  const io::Json result = io::parse_json(read.out, "stdout");
  const io::CsvTable table = io::read_csv(folder + "/taps.csv");
  REQUIRE(table.rows.size() == result["taps"].size());
  for (const io::Json& tap : result["taps"]) {
    CHECK(tap["ridge"]["rows"] == result["val_pictures"]);
    CHECK(tap["ridge_left_out"]["rows"] == result["train_pictures"]);
    CHECK(tap["milliseconds"].get<double>() > 0);
    CHECK(tap["logistic"]["right"].get<int64_t>() > 0);
  }
  const std::string last = result["taps"].back()["tap"];
  const Outcome one = engraft_in(
      folder, "scan --backbone ex/tiny.pt --data ex/pictures --taps " + last + " --skip-logistic --quiet --json");
  must(one);
  CHECK(io::parse_json(one.out, "stdout")["taps"].size() == 1);
  CHECK(engraft_in(folder, "scan --backbone ex/tiny.pt --data ex/pictures --taps nothing").code == 3);
  CHECK(engraft_in(folder, "scan --backbone ex/tiny.pt --data ex/pictures --folds 1").code == 2);
}

TEST_CASE("a sweep is planned, run, looked at, extended, and its failures run again", "[cli]") {
  const std::string folder = example().path();
  io::write_file(folder + "/s.toml", base() + "[grid]\nlearning_rate = [1e-2, 1e-3, 1e-30]\nseed = [1, 2]\n");
  const Outcome planned = engraft_in(folder, "sweep s.toml --out sw --dry-run --quiet");
  must(planned);
  CHECK_THAT(planned.out, Contains("6 trials over learning_rate, seed") && Contains("2 stacks"));
  CHECK_THAT(planned.out, Contains("to be done: 1 set of features") && Contains("epochs of heads on them"));
  CHECK_FALSE(std::filesystem::exists(folder + "/sw"));
  const Outcome run = engraft_in(folder, "sweep s.toml --out sw --quiet --json");
  must(run);
  CHECK(lines_of(run.out).size() == 6);
  const Outcome status = engraft_in(folder, "sweep --out sw --status --json");
  CHECK(io::parse_json(status.out, "stdout")["done"] == 6);
  CHECK(io::parse_json(status.out, "stdout")["left"]["seconds"] == 0);
  io::write_file(folder + "/s1.toml", base() + "[grid]\nlearning_rate = [1e-2, 1e-3, 1e-30]\nseed = [1, 2, 3]\n");
  const Outcome planned_more = engraft_in(folder, "sweep s1.toml --out sw --dry-run --quiet");
  CHECK_THAT(planned_more.out, Contains("9 trials") && Contains("at the pace of what is done"));
  const Outcome results = engraft_in(folder, "sweep --out sw --results");
  CHECK(results.out == io::read_file(folder + "/sw/results.csv"));
  // Nothing is left to be done, and nothing is done again.
  const Outcome again = engraft_in(folder, "sweep s.toml --out sw --quiet --json");
  must(again);
  CHECK(again.out.empty());

  // A trial that cannot be, and one with a stage, beside what is there.
  io::write_file(folder + "/s2.toml", base() +
                                          "[[trial]]\nhead = 'fc=8,relu'\n[[trial]]\ntap = 'nowhere'\n"
                                          "[[trial]]\nstage = 'unfreeze=last:1,epochs=1'\n");
  const Outcome more = engraft_in(folder, "sweep s2.toml --out sw --quiet --workers 2");
  CHECK(more.code == 5);
  CHECK_THAT(more.out, Contains("9 trials: 8 done, 1 failed, 0 running, 0 waiting"));
  const Outcome failed = engraft_in(folder, "sweep --out sw --results --json");
  const io::Json last = lines_of(failed.out).back();
  CHECK(last["state"] == "failed");
  CHECK_THAT(last["error"].get<std::string>(), Contains("no block 'nowhere'"));
  CHECK(engraft_in(folder, "sweep --out sw --retry-failed --quiet").code == 5);
  CHECK(engraft_in(folder, "sweep --out sw --halving").code == 2);
  CHECK(engraft_in(folder, "sweep --out nowhere --status").code == 3);
  CHECK(engraft_in(folder, "sweep --out sw --status --results").code == 2);

  for (const char* wrong : {"head = 'fc=broken'", "stage = 'unfreze=last:1'", "threads = 2"}) {
    io::write_file(folder + "/wrong.toml", base() + "[[trial]]\n" + wrong + "\n");
    const Outcome refused = engraft_in(folder, "sweep wrong.toml --out wrong --dry-run --quiet");
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Contains("wrong.toml: trial 1"));
  }

  // What a stack learns is what train learns.
  const io::Json best = lines_of(failed.out).front();
  const std::string trial = folder + "/sw/trials/" + best["trial"].get<std::string>();
  must(engraft_in(folder, "train --config " + trial + "/run.toml --out alone --quiet"));
  const io::Json stacked = io::read_json(trial + "/result.json"), alone = io::read_json(folder + "/alone/result.json");
  CHECK(stacked["top1"] == alone["top1"]);
  CHECK(stacked["loss"].get<double>() == Approx(alone["loss"].get<double>()).epsilon(1e-3));
  const Outcome compared = engraft_in(folder, "compare " + trial + " alone --each-seed");
  must(compared);
  CHECK_THAT(compared.out, Contains("not told apart"));
}

TEST_CASE("a sweep notices that its data are not what was planned", "[cli]") {
  const std::string folder = example().path();
  std::filesystem::copy(folder + "/ex/pictures", folder + "/moving", std::filesystem::copy_options::recursive);
  io::write_file(folder + "/moving.toml",
                 "[base]\nbackbone = 'ex/tiny.pt'\ndata = 'moving'\nepochs = 2\nprecision = 'f32'\n"
                 "[grid]\nlearning_rate = [1e-2, 1e-3]\n");
  must(engraft_in(folder, "sweep moving.toml --out mv --quiet"));
  std::filesystem::remove_all(folder + "/mv/trials");
  std::string changed;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder + "/moving/train")) {
    if (changed.empty() && entry.is_regular_file()) changed = entry.path();
  }
  std::filesystem::remove(changed);
  const Outcome other = engraft_in(folder, "sweep --out mv --quiet");
  CHECK(other.code == 3);
  CHECK_THAT(other.err, Contains("moving: is not what it was when the sweep was planned"));
  CHECK(engraft_in(folder, "sweep --out mv --results").out.find("done") == std::string::npos);
  const Outcome anew = engraft_in(folder, "sweep moving.toml --out mv");
  must(anew);
  CHECK_THAT(anew.err, Contains("2 trials with what it was are left out"));
  CHECK_THAT(anew.out, Contains("2 trials: 2 done"));
  // What is another's folder stays so.
  const Outcome refused = engraft_in(folder, "sweep moving.toml --out moving --quiet");
  CHECK(refused.code == 2);
  CHECK(engraft_in(folder, "sweep --worker --group nope --out mv --quiet").code == 3);
}

TEST_CASE("heads whose features fit nowhere are trained one after another", "[cli]") {
  const std::string folder = example().path();
  io::write_file(folder + "/nowhere.toml",
                 "[base]\nbackbone = 'ex/tiny.pt'\ndata = 'ex/pictures'\nepochs = 1\nprecision = 'f32'\n"
                 "augment = 'standard'\nviews = 10000\ntap = 'stem'\npool = 'flatten'\nsize = 256\n"
                 "[grid]\nlearning_rate = [1e-3, 1e-4]\n");
  const Outcome run = engraft_in(folder, "sweep nowhere.toml --out nowhere-to --cache-limit 0");
  must(run);
  CHECK_THAT(run.err, Contains("more than memory allows"));
  CHECK_THAT(run.out, Contains("2 done, 0 failed") && Contains("a model.pt of the first: engraft train --config"));
}

TEST_CASE("workers that are killed again and again leave the same results", "[cli]") {
  const std::string folder = example().path();
  std::string widths;
  for (int width = 2; width < 14; ++width) widths += "'fc=" + std::to_string(width) + ",tanh', ";
  io::write_file(folder + "/k.toml",
                 "[base]\nbackbone = 'ex/tiny.pt'\ndata = 'ex/pictures'\nepochs = 150\nprecision = 'f32'\n"
                 "[grid]\nhead = [" +
                     widths + "]\nlearning_rate = [1e-2, 1e-3]\n");
  must(engraft_in(folder, "sweep k.toml --out kills-whole --quiet --threads 1"));
  int hits = 0;
  for (const char* wait : {"0.5", "0.6", "0.7", "0.8", "0.9"}) {
    const std::string program = ENGRAFT_PROGRAM;
    // In a session of its own, so that all of it dies at once.
    const std::string command = "cd '" + folder + "' && setsid sh -c \"echo \\$\\$ > pid; exec '" + program +
                                "' sweep k.toml --out kills-killed --quiet --threads 1 >/dev/null 2>&1\" & sleep " + wait +
                                "; kill -9 -$(cat '" + folder + "/pid') 2>/dev/null";
    hits += std::system(command.c_str()) == 0 ? 1 : 0;
  }
  CHECK(hits > 0);  // a quick machine may be done before the last ones
  must(engraft_in(folder, "sweep k.toml --out kills-killed --quiet --threads 1"));
  CHECK(io::read_file(folder + "/kills-killed/results.csv") == io::read_file(folder + "/kills-whole/results.csv"));
}

TEST_CASE("four workers at a thousand trials run each of them once", "[cli]") {
  const std::string folder = example().path();
  std::string widths, rates;
  for (int width = 1; width <= 50; ++width) widths += "'fc=" + std::to_string(width) + "', ";
  for (int rate = 1; rate <= 20; ++rate) rates += std::to_string(rate) + "e-4, ";
  io::write_file(folder + "/many.toml", base() + "[grid]\nhead = [" + widths + "]\nlearning_rate = [" + rates + "]\n");
  const Outcome run = engraft_in(folder, "sweep many.toml --out many --workers 4 --threads 1 --quiet --json");
  must(run);
  std::map<std::string, int> runs;
  for (const io::Json& line : lines_of(run.out)) ++runs[line["trial"].get<std::string>()];
  CHECK(runs.size() == 1000);
  for (const auto& [trial, count] : runs) CHECK(count == 1);
}

TEST_CASE("compare and evaluate make gates", "[cli]") {
  const std::string folder = example().path();
  must(engraft_in(folder, "train --backbone ex/tiny.pt --data ex/pictures --epochs 1 --out gate-a --seed 1"));
  must(engraft_in(folder, "train --backbone ex/tiny.pt --data ex/pictures --epochs 1 --out gate-b --seed 2"));
  const Outcome both = engraft_in(folder, "compare gate-a gate-b --each-seed --json");
  must(both);
  const io::Json result = io::parse_json(both.out, "stdout");
  CHECK(result["runs"].size() == 2);
  CHECK(result["pairs"][0]["test"] == "mcnemar");
  const Outcome averaged = engraft_in(folder, "compare gate-a gate-b --csv c.csv --pairs-csv p.csv");
  must(averaged);
  CHECK_THAT(averaged.out, Contains("seeds"));
  CHECK(io::read_csv(folder + "/c.csv").rows.size() == 1);
  CHECK(engraft_in(folder, "compare gate-a --assert 'top1.low >= 0'").code == 0);
  const Outcome missed =
      engraft_in(folder, "compare gate-a gate-b --each-seed --assert 'top1 > 1' --assert 'a.top1 <= 1'");
  CHECK(missed.code == 4);
  CHECK_THAT(missed.out, Contains("not met: top1 > 1 of gate-a") && Contains("met: a.top1 <= 1"));
  CHECK(engraft_in(folder, "compare gate-a --assert 'top1.lo > 1'").code == 2);
  CHECK(engraft_in(folder, "compare nowhere").code == 3);

  const Outcome judged = engraft_in(
      folder,
      "evaluate --model gate-a/model.pt --data ex/pictures --by true_label --assert 'worst.true_label.top1 > 1'");
  CHECK(judged.code == 4);
  CHECK_THAT(judged.out, Contains("worst: ") && Contains("not met: worst.true_label.top1 > 1"));
  CHECK(engraft_in(folder, "evaluate --model gate-a/model.pt --data ex/pictures --by source").code == 2);
  CHECK(engraft_in(folder, "evaluate --model gate-a/model.pt --data ex/pictures --assert 'top1.high <= 1'").code == 0);
}
