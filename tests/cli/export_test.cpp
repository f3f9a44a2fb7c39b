#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "io/json.h"

using namespace engraft;
using test::engraft_in;
using test::example;
using test::must;
using test::Outcome;

TEST_CASE("export gives the backbone of a model back, to embed with and to train on", "[cli]") {
  const std::string folder = example().path();
  must(engraft_in(folder,
                  "train --backbone ex/tiny.pt --data ex/pictures --epochs 2 --out unfrozen "
                  "--stage unfreeze=last:1,epochs=1 --precision f32"));
  const Outcome whole = engraft_in(folder, "export --model unfrozen/model.pt --out own.pt --json --licence CC0-1.0");
  must(whole);
  const io::Json record = io::parse_json(whole.out, "stdout");
  CHECK(record["difference"] == 0.0);
  CHECK(engraft_in(folder, "export --model unfrozen/model.pt --out own.pt").code == 2);  // it is there
  const Outcome half = engraft_in(folder, "export --model unfrozen/model.pt --out half.pt --half --size 64 --json");
  must(half);
  const io::Json halved = io::parse_json(half.out, "stdout");
  CHECK(halved["bytes"].get<int64_t>() < 0.7 * record["bytes"].get<int64_t>());
  CHECK(halved["difference"] > 0.0);
  CHECK(halved["difference"] < 0.01);
  const Outcome inspected = engraft_in(folder, "inspect half.pt");
  CHECK(inspected.out.find("size_px 64") != std::string::npos);

  must(engraft_in(folder, "embed --backbone half.pt --data ex/pictures --out own-feats"));
  must(engraft_in(folder,
                  "train --backbone half.pt --data ex/pictures --epochs 2 --out own-run "
                  "--stage unfreeze=last:1,epochs=1"));
  CHECK(engraft_in(folder, "export --model ex/tiny.pt --out no.pt").code == 3);
  CHECK(engraft_in(folder, "export --model unfrozen/model.pt --out nowhere/no.pt").code == 1);
  must(engraft_in(folder,
                  "train --backbone new:cnn3 --pool flatten --data ex/pictures --epochs 1 --out own-cnn --size 64"));
  const Outcome small = engraft_in(folder, "export --model own-cnn/model.pt --out no.pt --size 8");
  CHECK(small.code == 3);
  CHECK(small.err.find("does not take a picture of 8 px") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder + "/no.pt"));
}
