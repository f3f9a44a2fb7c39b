#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "io/atomic_file.h"
#include "io/json.h"

using namespace engraft;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

TEST_CASE("a run that a signal stopped goes on to the same bytes", "[cli]") {
  const std::string folder = example().path();
  const std::string train =
      "train --backbone ex/tiny.pt --data ex/pictures --epochs 600 --quiet --device cpu --stage "
      "unfreeze=mixed_2,epochs=2 --out ";
  must(engraft_in(folder, train + "unstopped"));
  const std::string command = "cd '" + folder + "'; '" ENGRAFT_PROGRAM "' " + train +
                              "resumed 2>.err & for i in $(seq 600); do [ -f resumed/metrics.jsonl ] && break; sleep "
                              "0.1; done; kill -TERM $!; wait $!";
  const int code = WEXITSTATUS(std::system(command.c_str()));
  REQUIRE((code == 75 || code == 0));  // 0: it was faster than the signal
  CHECK(engraft_in(folder, train + "resumed --epochs 601 --resume").code == 2);
  must(engraft_in(folder, train + "resumed --resume"));
  for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv"}) {
    INFO(name);
    CHECK(io::read_file(folder + "/resumed/" + name) == io::read_file(folder + "/unstopped/" + name));
  }
  std::filesystem::remove(folder + "/resumed/model.pt");
  const Outcome without = engraft_in(folder, train + "resumed --resume");
  CHECK(without.code == 3);
  CHECK(without.err.find("resumed/model.pt: is missing, and the run finished") != std::string::npos);
}

TEST_CASE("a signal stops a run with its exit code", "[cli]") {
  const std::string folder = example().path();
  for (const auto& [name, code] : {std::pair<std::string, int>{"TERM", 75}, {"INT", 130}, {"HUP", 75}}) {
    // The signal comes once the run has metrics to leave behind.
    const std::string out = "stopped-" + name;
    const std::string command = "cd '" + folder +
                                "'; '" ENGRAFT_PROGRAM "' train --backbone ex/tiny.pt --data ex/pictures --out " + out +
                                " --epochs 1000000 --quiet --device cpu 2>.err & for i in $(seq 600); do [ -f " + out +
                                "/metrics.jsonl ] && break; sleep 0.1; done; kill -" + name + " $!; wait $!";
    CHECK(WEXITSTATUS(std::system(command.c_str())) == code);
    CHECK(io::read_file(folder + "/.err").find("stopped by a signal") != std::string::npos);
    CHECK(engraft_in(folder, "train --backbone ex/tiny.pt --data ex/pictures --out stopped-" + name)
              .err.find("holds a run that was not finished") != std::string::npos);
    const io::Json seen = io::parse_json(engraft_in(folder, "inspect --json " + out).out, "stdout");
    CHECK_FALSE(seen["finished"].get<bool>());
    CHECK_FALSE(seen["running"].get<bool>());
    CHECK(seen["last_epoch"]["epoch"] == seen["epochs"]);
    const std::string goes_on = "train with --resume goes on behind step " + seen["checkpoint_step"].dump();
    CHECK(engraft_in(folder, "inspect " + out).out.find(goes_on) != std::string::npos);
  }
}
