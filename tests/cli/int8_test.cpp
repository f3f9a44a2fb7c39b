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
  for (const char* command :
       {"train --backbone ex/tiny.pt --data ex/pictures --out no --epochs 1",
        "evaluate --model run/model.pt --data ex/pictures", "predict --model run/model.pt ex/pictures"}) {
    const Outcome refused = engraft_in(folder, std::string(command) + " --precision int8");
    CHECK(refused.code == 2);
    CHECK(refused.err.find("must be one of auto, f32, bf16, not 'int8'") != std::string::npos);
  }
  const Outcome torch =
      engraft_in(folder, "embed --backbone ex/tiny.pt --data more.txt --out no --precision int8 --engine torch");
  CHECK(torch.code == 2);
  CHECK(torch.err.find("int8 is computed by OpenVINO") != std::string::npos);
  must(
      engraft_in(folder, "embed --backbone ex/tiny.pt --data more.txt --out seen --precision int8 --augment standard"));
}
