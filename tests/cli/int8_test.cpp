#include <catch2/catch.hpp>
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

namespace fs = std::filesystem;

TEST_CASE("embed --precision int8 says what it costs, and the store keeps to its calibration", "[cli]") {
  const std::string folder = example().path();
  fs::copy(folder + "/ex/pictures", folder + "/more", fs::copy_options::recursive);
  std::string list;  // without labels: of so few pictures a probe loses two by chance
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/more"))
    if (entry.is_regular_file()) list += entry.path().string() + "\n";
  test::put_file(folder + "/more.txt", list);
  const std::string arguments = "embed --backbone ex/tiny.pt --data more.txt --out small --precision int8 --append";
  const Outcome begun = engraft_in(folder, arguments);
  must(begun);
  CHECK(begun.err.find("precision: int8, calibrated on 15 pictures; on 57 pictures cosine to f32 ") !=
        std::string::npos);
  const io::Json store = io::read_json(folder + "/small/store.json");
  CHECK(store["engine"]["precision"] == "int8");
  CHECK(store["engine"]["int8"]["judged"] == 57);
  const std::string digest = store["computed"]["int8"]["calibration"]["digest"];
  CHECK(store["engine"]["name"].get<std::string>().find(" by " + digest.substr(0, 8)) != std::string::npos);

  fs::copy_file(list.substr(0, list.find('\n')), folder + "/more/zz-new.png");
  test::put_file(folder + "/more.txt", list + folder + "/more/zz-new.png\n");
  const Outcome added = engraft_in(folder, arguments);
  must(added);
  CHECK(added.err.find("precision: int8, calibrated as the store was begun") != std::string::npos);
  const io::Json grown = io::read_json(folder + "/small/store.json");
  CHECK(grown["computed"] == store["computed"]);
  CHECK(grown["engine"]["int8"] == store["engine"]["int8"]);
  const Outcome other =
      engraft_in(folder, "embed --backbone ex/tiny.pt --data ex/pictures --out small --append --precision f32");
  CHECK(other.code == 3);
  CHECK(other.err.find("was begun with another") != std::string::npos);
  CHECK(other.err.find("precision (\"int8\", now \"f32\")") != std::string::npos);
  const Outcome begun_otherwise = engraft_in(folder, arguments + " --tap stem");
  CHECK(begun_otherwise.code == 3);
  CHECK(begun_otherwise.err.find("was begun with another") != std::string::npos);
  const Outcome torch =
      engraft_in(folder, "embed --backbone ex/tiny.pt --data more.txt --out no --precision int8 --engine torch");
  CHECK(torch.code == 2);
  CHECK(torch.err.find("int8 is computed by OpenVINO") != std::string::npos);
  must(
      engraft_in(folder, "embed --backbone ex/tiny.pt --data more.txt --out seen --precision int8 --augment standard"));
}

TEST_CASE("train, evaluate and predict compute in int8 where it does, and say so where not", "[cli]") {
  const std::string folder = example().path();
  std::string csv = "image_path,label,split\n";  // numbers: of so few pictures a probe of classes loses two by chance
  int64_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/ex/pictures")) {
    if (!entry.is_regular_file()) continue;
    const std::string path = entry.path().string(), split = path.find("/val/") == std::string::npos ? "train" : "val";
    csv += path + "," + std::to_string(++count % 7) + "," + split + "\n";
  }
  test::put_file(folder + "/numbers.csv", csv);
  const std::string train = "train --backbone ex/tiny.pt --epochs 3 --precision int8 --data ";
  must(engraft_in(folder, train + "numbers.csv --loss regression --out head"));
  const io::Json result = io::read_json(folder + "/head/result.json");
  CHECK(result["precision"] == "int8");
  CHECK(result["int8"]["mean_cosine"] > 0.999);
  CHECK(io::read_file(folder + "/head/run.toml").find(" int8 ") != std::string::npos);
  must(engraft_in(folder, train + "numbers.csv --loss regression --out head --resume"));

  const Outcome stages = engraft_in(folder, train + "ex/pictures --out stages --stage unfreeze=last:1,epochs=1");
  must(stages);
  CHECK(stages.err.find("int8 is for a head on features") != std::string::npos);
  const io::Json staged = io::read_json(folder + "/stages/result.json");
  CHECK(staged["precision"] != "int8");
  CHECK(staged["precision_fallback"].get<std::string>().find("int8 is for a head") == 0);
  CHECK(engraft_in(folder, train + "ex/pictures --out no --engine torch").code == 2);

  const Outcome judged =
      engraft_in(folder, "evaluate --model stages/model.pt --data ex/pictures --split all --json --precision int8");
  must(judged);
  const io::Json engine = io::parse_json(judged.out, "stdout")["engine"];
  const io::Json& found = engine["int8"]["decisions"];
  const bool does = found["differing"] <= 1 && found["f32_right"].get<int>() - found["int8_right"].get<int>() <= 1;
  CHECK(found["pictures"] == 57);
  CHECK(found["labelled"] == 57);
  CHECK(engine["precision"] == (does ? "int8" : "f32"));
  CHECK(does != engine.contains("precision_fallback"));
  const Outcome predicted = engraft_in(folder, "predict --model head/model.pt ex/pictures/val --precision int8");
  must(predicted);
  CHECK(predicted.err.find("decides ") != std::string::npos);
  const Outcome one =
      engraft_in(folder, "predict --model head/model.pt ex/pictures/val/checks/0000.jpg --precision int8");
  must(one);
  CHECK(one.err.find("no readable picture is left to judge it by") != std::string::npos);
  CHECK(engraft_in(folder, "predict --model head/model.pt ex/pictures --precision int8 --engine torch").code == 2);
}
