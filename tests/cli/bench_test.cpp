#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "io/json.h"

using namespace engraft;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

namespace {

io::Json measured(const std::string& arguments) {
  const Outcome outcome = engraft_in(example().path(), "bench --rounds 1 --quiet --json " + arguments);
  must(outcome);
  return io::parse_json(outcome.out, "stdout");
}

std::map<std::string, double> seconds_of(const io::Json& result) {
  std::map<std::string, double> seconds;
  for (const io::Json& stage : result.at("stages")) {
    seconds[stage.at("stage").get<std::string>()] = stage.at("seconds_per_picture").get<double>();
  }
  return seconds;
}

}  // namespace

TEST_CASE("bench alone measures the machine, with pictures their way to pixels, with a network all stages", "[cli]") {
  const io::Json machine = measured("");
  CHECK(machine.at("ceilings").at("memory").at("bytes_per_second").get<double>() > 0);
  CHECK(machine.at("stages").empty());
  CHECK_FALSE(machine.contains("pipeline"));

  const io::Json pictures = measured("--data ex/pictures --size 64 --pictures 10");
  CHECK(pictures.at("pictures").at("count") == 10);
  CHECK(pictures.at("pictures").at("unreadable") == 0);
  CHECK(seconds_of(pictures).size() == 3);

  const io::Json whole = measured("--backbone ex/tiny.pt --data ex/pictures --precision f32 --pictures 40");
  const auto seconds = seconds_of(whole);
  for (const char* stage : {"read", "decode", "resize", "engine", "write"}) {
    INFO(stage);
    REQUIRE(seconds.count(stage) == 1);
    CHECK(seconds.at(stage) > 0);
  }
  CHECK(whole.at("network").at("flops_per_picture").get<double>() > 0);
  // What the figures are made of, whatever the machine: 32 of the 40 pictures fill a batch, the engine has its threads,
  // the others have all cores.
  const double cores = whole.at("cores").get<double>();
  const double threads = std::min(cores, whole.at("threads").get<double>());
  const double others = seconds.at("read") + seconds.at("decode") + seconds.at("resize") + seconds.at("write");
  const double engine = seconds.at("engine");
  CHECK(whole.at("bound").at("seconds_per_picture").get<double>() ==
        Approx(std::max(engine, (engine * threads + others) / cores)));
  CHECK(whole.at("share_of_bound").get<double>() ==
        Approx(whole.at("bound").at("seconds_per_picture").get<double>() /
               whole.at("pipeline").at("seconds_per_picture").get<double>()));
}

TEST_CASE("bench without pictures runs the network on noise, and refuses int8, which it could not calibrate", "[cli]") {
  const io::Json network = measured("--backbone ex/tiny.pt --engine torch --batch 3");
  CHECK(seconds_of(network).count("engine") == 1);
  CHECK_FALSE(network.contains("pictures"));
  CHECK(network.at("network").at("batch") == 3);
  const bool has_bf16 = network.at("ceilings").contains("bf16");
  CHECK((network.at("network").at("engine").at("name").get<std::string>().find("bf16") != std::string::npos) ==
        has_bf16);
  const Outcome refused = engraft_in(example().path(), "bench --backbone ex/tiny.pt --precision int8");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("--data") != std::string::npos);
}

TEST_CASE("bench leaves out pictures that cannot be read, says how many, and needs one that can", "[cli]") {
  const std::string folder = example().path();
  std::filesystem::create_directories(folder + "/bad");
  std::filesystem::copy_file(folder + "/ex/tiny.pt", folder + "/bad/broken.jpg");
  const Outcome none = engraft_in(folder, "bench --data bad --rounds 1");
  CHECK(none.code == 3);
  CHECK(none.err.find("broken.jpg") != std::string::npos);
  std::filesystem::copy_file(folder + "/ex/pictures/val/checks/0000.jpg", folder + "/bad/good.jpg");
  const io::Json some = measured("--data bad");
  CHECK(some.at("pictures").at("count") == 1);
  CHECK(some.at("pictures").at("unreadable") == 1);
  const io::Json both = measured("--data bad --backbone ex/tiny.pt --precision f32 --batch 4");
  CHECK(both.at("pipeline").at("seconds_per_picture").get<double>() > 0);
}

TEST_CASE("bench takes what embed takes: manifests with more columns, several taps, maps", "[cli]") {
  const std::string folder = example().path();
  test::put_file(folder + "/by_camera.csv",
                 "image_path,label,camera\nex/pictures/val/checks/0000.jpg,checks,a\n"
                 "ex/pictures/val/diagonal/0000.jpg,diagonal,b\n");
  const io::Json result =
      measured("--data by_camera.csv --backbone ex/tiny.pt --precision f32 --tap mixed_1,mixed_2 --pool none");
  CHECK(result.at("pictures").at("count") == 2);
  CHECK(result.at("network").at("taps").size() == 2);
}

TEST_CASE("bench says what is wrong with a folder to write to, and with a crop", "[cli]") {
  const Outcome gone = engraft_in(example().path(), "bench --backbone ex/tiny.pt --scratch nowhere");
  CHECK(gone.code == 1);
  CHECK(gone.err.find("nowhere") != std::string::npos);
  const Outcome crop = engraft_in(example().path(), "bench --data ex/pictures --crop-ratio 1e-9");
  CHECK(crop.code == 2);
  CHECK(crop.err.find("crop_ratio") != std::string::npos);
}
