#include "store/checkpoint.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "store/run_folder.h"
#include "support/support.h"

using namespace engraft;

namespace fs = std::filesystem;

namespace {

store::Checkpoint make_checkpoint(int64_t step) {
  store::Checkpoint checkpoint;
  checkpoint.step = step;
  checkpoint.state = {{"loss_sum", 0.1 + static_cast<double>(step) / 3}};
  const at::Tensor weight = at::arange(48, at::kFloat).view({2, 3, 2, 4}) + static_cast<double>(step);
  checkpoint.weights = {{"now/conv.weight", weight.contiguous(at::MemoryFormat::ChannelsLast)},
                        {"now/fc1.bias", at::arange(3, at::kFloat)}};
  checkpoint.optimizer = {{"fc1.bias/step", at::scalar_tensor(step, at::kLong)}};
  return checkpoint;
}

}  // namespace

TEST_CASE("the newest whole checkpoint comes back to the bit, strides included; two are kept", "[unit]") {
  test::TempFolder folder;
  SilentReporter silent;
  CHECK_FALSE(store::newest_checkpoint(folder.path(), silent));
  for (const int64_t step : {5, 20, 100}) store::write_checkpoint(folder.path(), make_checkpoint(step));
  CHECK_FALSE(fs::exists(folder / "checkpoints/step-5"));
  CHECK(fs::exists(folder / "checkpoints/step-20"));
  const auto found = store::newest_checkpoint(folder.path(), silent);
  REQUIRE(found);
  const store::Checkpoint expected = make_checkpoint(100);
  CHECK(found->step == 100);
  CHECK(found->state == expected.state);
  REQUIRE(found->weights.size() == 2);
  for (const auto& item : found->weights) {
    const auto same = std::find_if(expected.weights.begin(), expected.weights.end(),
                                   [&](const auto& other) { return other.name == item.name; });
    REQUIRE(same != expected.weights.end());
    CHECK(at::equal(item.value, same->value));
    CHECK(item.value.strides() == same->value.strides());
  }
  CHECK(found->optimizer.at(0).value.item<int64_t>() == 100);
  store::remove_checkpoints(folder.path());
  CHECK_FALSE(fs::exists(folder / "checkpoints"));
}

TEST_CASE("a damaged or unfinished checkpoint is passed over", "[unit]") {
  test::TempFolder folder;
  SilentReporter silent;
  store::write_checkpoint(folder.path(), make_checkpoint(1));
  store::write_checkpoint(folder.path(), make_checkpoint(2));
  fs::create_directories(folder / "checkpoints/.tmp-step-3");
  const std::string file = folder / "checkpoints/step-2/weights.safetensors";
  std::string bytes = io::read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  io::write_file(file, bytes);
  CHECK(store::newest_checkpoint(folder.path(), silent)->step == 1);
  io::write_file(folder / "checkpoints/step-1/state.json", "{");
  CHECK_FALSE(store::newest_checkpoint(folder.path(), silent));
}

TEST_CASE("a digit of state.json that was changed is damage", "[unit]") {
  struct Warned : SilentReporter {
    void warn(const std::string& line) override { lines += line; }
    std::string lines;
  } warned;
  test::TempFolder folder;
  store::write_checkpoint(folder.path(), make_checkpoint(1));
  store::write_checkpoint(folder.path(), make_checkpoint(2));
  const std::string file = folder / "checkpoints/step-2/state.json";
  std::string bytes = io::read_file(file);
  const size_t sum = bytes.find("0.76666");
  REQUIRE(sum != std::string::npos);
  bytes[sum + 3] = '5';
  io::write_file(file, bytes);
  CHECK(store::newest_checkpoint(folder.path(), warned)->step == 1);
  CHECK(warned.lines == file + ": is damaged; this checkpoint is passed over");
}

TEST_CASE("a run folder is cut back to what a checkpoint has seen", "[unit]") {
  test::TempFolder folder;
  {
    store::RunFolder run(folder / "run");
    for (int epoch = 1; epoch <= 3; ++epoch) {
      run.add_epochs({io::Json{{"epoch", epoch}, {"loss", 1.0 / epoch}}}, {io::Json{{"epoch", epoch}}});
    }
    run.write_text("model.pt", "x");
    test::put_file(folder / "run/predictions.csv.tmp-77", "half");
  }
  const std::string whole = io::read_file(folder / "run/metrics.jsonl");
  store::RunFolder run(folder / "run", 2);
  CHECK(run.epochs() == 2);
  CHECK_FALSE(fs::exists(folder / "run/model.pt"));
  CHECK_FALSE(fs::exists(folder / "run/predictions.csv.tmp-77"));
  run.add_epochs({io::Json{{"epoch", 3}, {"loss", 1.0 / 3}}}, {io::Json{{"epoch", 3}}});
  CHECK(io::read_file(folder / "run/metrics.jsonl") == whole);
  CHECK(std::string(io::read_file(folder / "run/metrics.csv")).find("3,0.333") != std::string::npos);
  CHECK_THROWS_AS(store::RunFolder(folder / "run", 9), DataError);
  store::remove_temporaries(folder / "none");
}

TEST_CASE("what a killed writer left is taken away, and nothing else", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "run.toml.tmp-77", "half");
  test::put_file(folder / "notes", "mine");
  test::put_file(folder / "notes.tmp-1", "mine too");
  store::remove_temporaries(folder.path(), kRunFile);
  CHECK_FALSE(fs::exists(folder / "run.toml.tmp-77"));
  CHECK(fs::exists(folder / "notes.tmp-1"));
  store::remove_temporaries(folder.path());
  CHECK_FALSE(fs::exists(folder / "notes.tmp-1"));
  CHECK(fs::exists(folder / "notes"));
}
