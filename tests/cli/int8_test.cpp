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
  const std::string arguments = "embed --backbone ex/tiny.pt --data more --out small --precision int8 --append";
  const Outcome begun = engraft_in(folder, arguments);
  must(begun);
  CHECK(begun.err.find("precision: int8, calibrated on 15 pictures; on 57 pictures cosine to f32 ") !=
        std::string::npos);
  const io::Json store = io::read_json(folder + "/small/store.json");
  CHECK(store["engine"]["precision"] == "int8");
  CHECK(store["engine"]["int8"]["judged"] == 57);
  const std::string digest = store["computed"]["calibration"]["digest"];
  CHECK(store["engine"]["name"].get<std::string>().find(" by " + digest.substr(0, 8)) != std::string::npos);

  const fs::path one = fs::path(folder) / "more/train";
  for (const auto& entry : fs::recursive_directory_iterator(one)) {
    if (!entry.is_regular_file()) continue;
    fs::copy_file(entry.path(), entry.path().parent_path() / "zz-new.png");
    break;
  }
  const Outcome added = engraft_in(folder, arguments);
  must(added);
  CHECK(added.err.find("precision: int8, calibrated as the store was begun") != std::string::npos);
  CHECK(io::read_json(folder + "/small/store.json")["computed"]["calibration"]["digest"] == digest);
  for (const char* command : {"train --backbone ex/tiny.pt --data ex/pictures --out no --epochs 1",
                              "evaluate --model run/model.pt --data ex/pictures",
                              "predict --model run/model.pt ex/pictures"}) {
    const Outcome refused = engraft_in(folder, std::string(command) + " --precision int8");
    CHECK(refused.code == 2);
    CHECK(refused.err.find("int8 is for embed") != std::string::npos);
  }
}
