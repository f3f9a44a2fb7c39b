#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
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

TEST_CASE("help and version go to stdout, wrong usage to stderr with exit code 2", "[cli]") {
  test::TempFolder folder;
  CHECK(engraft_in(folder.path(), "--help").out.find("usage: engraft COMMAND") != std::string::npos);
  CHECK(engraft_in(folder.path(), "--version").out.find("LibTorch") != std::string::npos);
  for (const char* command : {"inspect", "embed", "train", "evaluate", "predict", "example"}) {
    INFO(command);
    const Outcome help = engraft_in(folder.path(), std::string(command) + " --help");
    CHECK(help.code == 0);
    CHECK(help.out.find("usage: engraft " + std::string(command)) == 0);
    CHECK(help.out.find("Examples\n") != std::string::npos);
  }
  const std::string train = "train --out x --backbone y --data z ";
  struct Row {
    std::string arguments;
    const char* said;
  };
  for (const Row& row :
       {Row{"", "usage: engraft COMMAND"}, Row{"trian", "did you mean 'train'?"}, Row{"train", "is missing"},
        Row{train + "--epoch 3", "did you mean 'epochs'?"},
        Row{train + "--epochs two", "--epochs: must be a whole number, not 'two'"},
        Row{train + "--epochs 2305843009213693952", "--epochs: must be at least 0, at most 1000000"},
        Row{train + "--accumulate 9223372036854775807", "at most 1000000"},
        Row{train + "--optimizer lion", "one of sgd, adamw, rmsprop"}, Row{train + "--config nope", "no recipe"},
        Row{"train --out \"\" --backbone y --data z", "--out DIR is empty"},
        Row{"inspect a b", "unexpected argument 'b'"}, Row{"predict --model", "missing"}}) {
    INFO(row.arguments);
    const Outcome outcome = engraft_in(folder.path(), row.arguments);
    INFO(outcome.err);
    CHECK(outcome.code == 2);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.find(row.said) != std::string::npos);
  }
}

TEST_CASE("bad input is one clear line and exit code 3", "[cli]") {
  const std::string folder = example().path();
  test::put_file(folder + "/page.pt", "<!DOCTYPE html><html>");
  test::put_file(folder + "/one/train/a/x.jpg", "x");
  test::put_file(folder + "/empty/train/a/notes.txt", "x");
  const std::string train = "train --backbone ex/tiny.pt --out o --quiet --data ";
  struct Row {
    std::string arguments;
    const char* said;
  };
  for (const Row& row : {Row{"inspect none.pt", "none.pt"}, Row{"inspect page.pt", "web page"},
                         Row{train + "none", "none"}, Row{train + "one", "one"}, Row{train + "empty", "empty"},
                         Row{train + "ex/pictures --tap mixed_9", "did you mean"},
                         Row{"train --backbone run/model.pt --quiet --data ex/pictures --out o", "not a backbone"},
                         Row{"evaluate --model ex/tiny.pt --data ex/pictures", "not a model of engraft"}}) {
    const Outcome outcome = engraft_in(folder, row.arguments);
    INFO(row.arguments << "\n" << outcome.err);
    CHECK(outcome.code == 3);
    CHECK(outcome.err.find(row.said) != std::string::npos);
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    CHECK_FALSE(std::filesystem::exists(folder + "/o/model.pt"));
  }
}

TEST_CASE("the cache goes where --cache-dir says, below the working folder too, and a limit is finite", "[cli]") {
  const std::string folder = example().path();
  const std::string train = "train --backbone ex/tiny.pt --data ex/pictures --epochs 1 --device cpu --cache disk ";
  const Outcome kept = engraft_in(folder, train + "--out in_cache --cache-dir cache --cache-limit 1e10");
  CHECK(kept.code == 0);
  CHECK(kept.err.find("in cache/activations") != std::string::npos);
  const Outcome found = engraft_in(folder, train + "--out of_cache --cache-dir cache");
  CHECK(found.err.find("features found on disk") != std::string::npos);
  const Outcome file = engraft_in(folder, train + "--out no_cache --cache-dir /dev/null --quiet");
  CHECK(file.code == 0);
  CHECK(file.err.find("Not a directory; in memory instead") != std::string::npos);
  test::put_file(folder + "/limit.toml", "cache_limit = inf\n");
  const Outcome refused = engraft_in(folder, train + "--out no --config limit.toml");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("cache_limit: must be a finite number, not inf") != std::string::npos);
}

TEST_CASE("a run folder holds what the design says, and nothing half written", "[cli]") {
  const std::string run = example() / "run";
  for (const char* name : {"run.toml", "classes.txt", "metrics.jsonl", "metrics.csv", "timings.jsonl",
                           "predictions.csv", "result.json", "model.pt"}) {
    INFO(name);
    CHECK(std::filesystem::exists(run + "/" + name));
  }
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    CHECK(entry.path().filename().string().find(".tmp-") == std::string::npos);
  }
  const Outcome again = engraft_in(example().path(), "train --backbone ex/tiny.pt --data ex/pictures --out run");
  CHECK(again.code == 2);
  CHECK(again.err ==
        "engraft train: run: holds a finished run; expected a new or empty folder: remove it, or give --out "
        "another\n");
}

TEST_CASE("evaluate reproduces result.json", "[cli]") {
  const io::Json result = io::read_json(example() / "run/result.json");
  const Outcome outcome =
      engraft_in(example().path(), "evaluate --model run/model.pt --data ex/pictures --json --device cpu");
  REQUIRE(outcome.code == 0);
  const io::Json judged = io::parse_json(outcome.out, "stdout");
  CHECK(judged["top1"] == result["top1"]);
  CHECK(judged["loss"] == result["loss"]);
  CHECK(judged["rows"] == 24);
}

TEST_CASE("evaluate splits by hash as the training did, and says where it does not", "[cli]") {
  const std::string folder = example().path();
  const std::string data = " --data ex/pictures/train --device cpu ";
  must(engraft_in(folder, "train --backbone ex/tiny.pt --out hashed --epochs 2 --val-fraction 0.4 --quiet" + data));
  const io::Json result = io::read_json(folder + "/hashed/result.json");
  const Outcome same = engraft_in(folder, "evaluate --model hashed/model.pt --json" + data);
  REQUIRE(same.code == 0);
  CHECK(io::parse_json(same.out, "stdout")["loss"] == result["loss"]);
  CHECK(same.err.find("warning") == std::string::npos);
  const Outcome other = engraft_in(folder, "evaluate --model hashed/model.pt --json --val-fraction 0.8" + data);
  CHECK(io::parse_json(other.out, "stdout")["rows"] > result["rows"]);
  CHECK(other.err.find("warning: the model learned from some of these pictures") != std::string::npos);
  // A picture more changes nothing; the same pictures by other paths fall into other splits.
  std::filesystem::copy(folder + "/ex/pictures/val/checks/0000.jpg", folder + "/ex/pictures/train/checks/new.jpg");
  CHECK(engraft_in(folder, "evaluate --model hashed/model.pt" + data).err.find("warning") == std::string::npos);
  std::filesystem::remove(folder + "/ex/pictures/train/checks/new.jpg");
  std::filesystem::create_directories(folder + "/outer");
  std::filesystem::create_directory_symlink(folder + "/ex/pictures/train", folder + "/outer/train");
  CHECK(engraft_in(folder, "evaluate --model hashed/model.pt --data outer").err.find("by other paths than in") !=
        std::string::npos);
  // A model whose training had splits of its own judges all of what has none.
  const Outcome all = engraft_in(folder, "evaluate --model run/model.pt --json" + data);
  CHECK(io::parse_json(all.out, "stdout")["rows"] == 48);
  CHECK(all.err.find("all pictures are judged") != std::string::npos);
  CHECK(engraft_in(folder, "evaluate --model run/model.pt --split all --quiet" + data).err.empty());
}

TEST_CASE("where test/ serves as validation, evaluate takes it by both names", "[cli]") {
  const std::string folder = example().path();
  std::filesystem::create_directories(folder + "/two");
  std::filesystem::create_directory_symlink(folder + "/ex/pictures/train", folder + "/two/train");
  std::filesystem::create_directory_symlink(folder + "/ex/pictures/val", folder + "/two/test");
  const std::string evaluate = "evaluate --model run/model.pt --data two --json --quiet --split ";
  const io::Json test = io::parse_json(engraft_in(folder, evaluate + "test").out, "stdout");
  CHECK(test["rows"] == 24);
  CHECK(test["loss"] == io::parse_json(engraft_in(folder, evaluate + "val").out, "stdout")["loss"]);
}

TEST_CASE("output files are written where they are asked for, and never over what is read", "[cli]") {
  const std::string folder = example().path();
  const std::string evaluate = "evaluate --model run/model.pt --data ex/pictures --device cpu --quiet ";
  const std::string model = io::read_file(folder + "/run/model.pt");
  CHECK(engraft_in(folder, evaluate + "--predictions run/model.pt").code == 2);
  CHECK(engraft_in(folder, evaluate + "--predictions ex/pictures/val/checks/0000.jpg").code == 2);
  CHECK(engraft_in(folder, evaluate + "--predictions same.csv --skipped ./same.csv").code == 2);
  CHECK(io::read_file(folder + "/run/model.pt") == model);
  CHECK_FALSE(std::filesystem::exists(folder + "/same.csv"));
  test::put_file(folder + "/target.csv", "old");
  std::filesystem::create_symlink("target.csv", folder + "/link.csv");
  must(engraft_in(folder, evaluate + "--predictions link.csv"));
  CHECK(std::filesystem::is_symlink(folder + "/link.csv"));
  CHECK(io::read_file(folder + "/target.csv").find("image_path,label") == 0);
  REQUIRE(::mkfifo((folder + "/out.pipe").c_str(), 0600) == 0);
  const std::string piped = "cd '" + folder + "'; '" ENGRAFT_PROGRAM "' " + evaluate +
                            "--predictions out.pipe >/dev/null & cd '" + folder + "'; cat out.pipe > piped.csv; wait";
  CHECK(std::system(piped.c_str()) == 0);
  CHECK(io::read_file(folder + "/piped.csv") == io::read_file(folder + "/target.csv"));
  CHECK(std::filesystem::is_fifo(folder + "/out.pipe"));
}

TEST_CASE("a run's record is a configuration that repeats it to the byte", "[cli]") {
  const std::string folder = example().path();
  const Outcome outcome = engraft_in(folder, "train --config run/run.toml --out again --quiet");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(io::read_file(folder + "/again/model.pt") == io::read_file(folder + "/run/model.pt"));
}

TEST_CASE("predict names files, folders and lists, skips what it cannot read and says so", "[cli]") {
  const std::string folder = example().path();
  const Outcome files = engraft_in(folder, "predict --model run/model.pt --top 2 --quiet ex/pictures/val/checks");
  CHECK(files.code == 0);
  CHECK(files.out.find("image_path,label,score,label_2,score_2\n") == 0);
  CHECK(std::count(files.out.begin(), files.out.end(), '\n') == 7);
  test::put_file(folder + "/bad.jpg", "not a picture");
  test::put_file(folder + "/list.txt", "ex/pictures/val/checks/0000.jpg\nbad.jpg\n");
  const Outcome list = engraft_in(folder, "predict --model run/model.pt --json --skipped skipped.csv - < list.txt");
  CHECK(list.code == 5);
  const io::Json line = io::parse_json(list.out, "stdout");
  CHECK(line["image_path"] == "ex/pictures/val/checks/0000.jpg");
  CHECK(line["score"] > 0.0);
  CHECK(list.err.find("bad.jpg") != std::string::npos);
  CHECK(io::read_file(folder + "/skipped.csv").find("bad.jpg,") != std::string::npos);
  CHECK(engraft_in(folder, "predict --model run/model.pt --max-bad 1 --quiet - < list.txt").code == 0);

  const Outcome nowhere = engraft_in(folder, "predict --model run/model.pt --skipped none/s.csv bad.jpg");
  CHECK(nowhere.code == 1);
  CHECK(nowhere.out.empty());  // said before the work

  // A pipe that nobody writes to, an endless device, a line of spaces, a name that is not UTF-8.
  REQUIRE(::mkfifo((folder + "/pipe.jpg").c_str(), 0600) == 0);
  std::filesystem::copy(folder + "/ex/pictures/val/checks/0000.jpg", folder + "/caf\xE9.jpg");
  test::put_file(folder + "/odd.txt", "pipe.jpg\n/dev/zero\n   \ncaf\xE9.jpg\n");
  const Outcome odd = engraft_in(folder, "predict --model run/model.pt --json - < odd.txt");
  CHECK(odd.code == 5);
  CHECK(odd.err.find("pipe.jpg: ") != std::string::npos);
  CHECK(odd.err.find("/dev/zero: ") != std::string::npos);
  CHECK(std::count(odd.err.begin(), odd.err.end(), '\n') == 3);
  CHECK(odd.err.find("warning: 2 of 3 pictures cannot be read") != std::string::npos);
  CHECK(io::parse_json(odd.out, "stdout")["image_path"] == "caf\xEF\xBF\xBD.jpg");
  CHECK(engraft_in(folder, "embed --backbone ex/tiny.pt --data odd.txt --out odd --quiet").code == 5);
}

TEST_CASE("inspect reads backbones, runs and models", "[cli]") {
  const std::string folder = example().path();
  CHECK(engraft_in(folder, "inspect run").out.find("a finished run") != std::string::npos);
  CHECK(engraft_in(folder, "inspect run/model.pt").out.find("self-test passed") != std::string::npos);
  const Outcome blocks = engraft_in(folder, "inspect ex/tiny.pt --json");
  CHECK(io::parse_json(blocks.out, "stdout")["blocks"].size() == 3);
}

TEST_CASE("drawn shapes are the same on every drawing, and raw pixels do not tell them", "[cli]") {
  const std::string folder = example().path();
  const std::string draw = "example --pictures shapes --train 12 --val 6 --quiet --json --out ";
  const Outcome first = engraft_in(folder, draw + "drawn-1");
  must(first);
  must(engraft_in(folder, draw + "drawn-2"));
  CHECK(io::parse_json(first.out, "stdout")["classes"].size() == 8);
  for (const char* name : {"dotted-star/0003.jpg", "striped-disc/0000.jpg"}) {
    const std::string picture = std::string("/pictures/val/") + name;
    CHECK(io::read_file(folder + "/drawn-1" + picture) == io::read_file(folder + "/drawn-2" + picture));
  }
  const Outcome probe = engraft_in(folder,
                                   "train --backbone drawn-1/pixels.pt --data drawn-1/pictures --pool flatten --epochs "
                                   "10 --quiet --json --out drawn-raw");
  must(probe);
  CHECK(io::parse_json(probe.out, "stdout")["top1"] < 0.4);  // of 48 pictures, an eighth by chance
}
