#include "sweep/plan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "base/errors.h"
#include "support/support.h"

using namespace engraft;
using Catch::Matchers::Contains;

namespace {

/// Four pictures, which nothing here decodes, and a backbone file, which nothing loads.
void put_data(const std::string& folder) {
  for (const char* name : {"train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"})
    test::put_file(folder + "/data/" + name, name);
  test::put_file(folder + "/b.pt", "weights");
}

std::string base_of(const std::string& folder) {
  return "[base]\nbackbone = '" + folder + "/b.pt'\ndata = '" + folder + "/data'\n";
}

sweep::Plan plan(const std::string& toml, const sweep::Plan& before = {}) {
  SilentReporter silent;
  return sweep::make_plan(sweep::parse_spec(toml, "s.toml"), "s.toml", before, silent);
}

}  // namespace

TEST_CASE("ids say what decides a result, and not where it lies or runs", "[unit]") {
  const test::TempFolder here, there;
  put_data(here.path());
  put_data(there.path());
  const std::string grid = "[grid]\nlearning_rate = [0.1, 0.01]\n";
  const sweep::Plan a = plan(base_of(here.path()) + grid);
  const sweep::Plan b = plan(base_of(there.path()) + "device = 'cpu'\n" + grid);
  REQUIRE(a.trials.size() == 2);
  CHECK(a.trials[0].id == b.trials[0].id);
  CHECK(a.trials[0].id != a.trials[1].id);
  CHECK(a.trials[0].id.size() == 16);
  CHECK(a.trials[0].options.at("batch") == 32);  // resolved
  for (const char* other : {"batch = 16\n", "tap = 'x'\n", "seed = 7\n", "size = 99\n"})
    CHECK(plan(base_of(here.path()) + other + grid).trials[0].id != a.trials[0].id);
  test::put_file(there / "b.pt", "other weights");
  CHECK(plan(base_of(there.path()) + grid).trials[0].id != a.trials[0].id);
  test::put_file(there / "b.pt", "weights");
  test::put_file(there / "data/train/a/1.jpg", "another one");
  CHECK(plan(base_of(there.path()) + grid).trials[0].id != a.trials[0].id);
}

TEST_CASE("what is planned of data or a backbone that changed is left out, what differs has a column", "[unit]") {
  const test::TempFolder folder, other;
  put_data(folder.path());
  put_data(other.path());
  const std::string grid = "[grid]\nlearning_rate = [0.1, 0.01]\n";
  const sweep::Plan before = plan(base_of(folder.path()) + grid);
  const sweep::Plan more = plan(base_of(other.path()) + "epochs = 3\n" + grid, before);
  CHECK(more.trials.size() == 4);
  CHECK(more.groups.size() == 2);
  for (const char* name : {"learning_rate", "data", "epochs"})
    CHECK(std::count(more.varied.begin(), more.varied.end(), name) == 1);
  CHECK(sweep::planned_inputs(more, more.trials[0]).data_digest ==
        sweep::planned_inputs(more, more.trials[2]).data_digest);

  test::put_file(folder / "data/train/a/1.jpg", "as long as that");
  const sweep::Plan after = plan(base_of(folder.path()) + grid, more);
  REQUIRE(after.trials.size() == 4);  // the other folder's two, and two new ones
  CHECK(after.trials[0].id == more.trials[2].id);
  for (const sweep::Trial& trial : after.trials) CHECK(trial.id != before.trials[0].id);
  std::set<size_t> places;
  for (const sweep::Group& group : after.groups) places.insert(group.trials.begin(), group.trials.end());
  CHECK(places.size() == 4);
  CHECK(sweep::planned_inputs(after, after.trials[2]).data_digest !=
        sweep::planned_inputs(before, before.trials[0]).data_digest);
  // The same bytes written again are the same data.
  test::put_file(folder / "data/train/a/1.jpg", "as long as that");
  CHECK(plan(base_of(folder.path()) + grid, after).trials[0].id == after.trials[0].id);
}

TEST_CASE("halving takes the epochs that it takes", "[unit]") {
  CHECK(sweep::epochs_when_halving(8, 16) == 8 * 2 + 4 * 2 + 2 * 4 + 1 * 8);
  CHECK(sweep::epochs_when_halving(1, 16) == 16);
  CHECK(sweep::epochs_when_halving(3, 1) == 3);
}

TEST_CASE("a default that is written out is the same trial", "[unit]") {
  const test::TempFolder folder;
  put_data(folder.path());
  const sweep::Plan out = plan(base_of(folder.path()) + "[grid]\nlearning_rate = [1e-3, 1e-3, 0.001]\n");
  CHECK(out.trials.size() == 1);
  CHECK(out.repeated == 2);
}

TEST_CASE("heads that can learn together do, at most so many; stages are single", "[unit]") {
  const test::TempFolder folder;
  put_data(folder.path());
  std::string rates;
  for (int i = 1; i <= 70; ++i) rates += std::to_string(i) + "e-4, ";
  const sweep::Plan heads = plan(base_of(folder.path()) + "[grid]\nseed = [1, 2]\nlearning_rate = [" + rates + "]\n");
  REQUIRE(heads.groups.size() == 4);
  std::set<size_t> seen;
  for (const sweep::Group& group : heads.groups) {
    CHECK(group.is_stack);
    CHECK(group.trials.size() <= sweep::kMostHeads);
    CHECK(group.features == heads.groups.front().features);  // seeds draw nothing where nothing is augmented
    for (const size_t place : group.trials) {
      CHECK(seen.insert(place).second);
      CHECK(heads.trials[place].options.at("seed") == heads.trials[group.trials.front()].options.at("seed"));
    }
  }
  CHECK(seen.size() == 140);

  const sweep::Plan mixed =
      plan(base_of(folder.path()) +
           "[[trial]]\nstage = 'unfreeze=all,epochs=1'\n[[trial]]\nema = 0.9\n"
           "[[trial]]\nhead = 'fc=8,relu,dropout=0.1'\n[[trial]]\nhead = 'fc=8,relu,dropout=0.5'\n"
           "[[trial]]\nhead = 'fc=9,relu,dropout=0.5'\n");
  REQUIRE(mixed.groups.size() == 4);
  CHECK_FALSE(mixed.groups[0].is_stack);
  CHECK_FALSE(mixed.groups[1].is_stack);
  CHECK(mixed.groups[2].trials.size() == 2);
  const sweep::Plan augmented = plan(base_of(folder.path()) + "augment = 'flip'\n[grid]\nseed = [1, 2]\n");
  CHECK(augmented.groups[0].features != augmented.groups[1].features);
}

TEST_CASE("a plan that is there keeps its groups and takes what is new", "[unit]") {
  const test::TempFolder folder;
  put_data(folder.path());
  const sweep::Plan first = plan(base_of(folder.path()) + "[grid]\nlearning_rate = [0.1, 0.01]\n");
  sweep::write_plan(folder.path(), first);
  const sweep::Plan read = sweep::read_plan(folder.path());
  CHECK(read.groups.front().id == first.groups.front().id);
  const sweep::Plan second = plan(base_of(folder.path()) + "[grid]\nlearning_rate = [0.1, 0.5]\n", read);
  REQUIRE(second.trials.size() == 3);
  REQUIRE(second.groups.size() == 2);
  CHECK(second.groups[0].id == first.groups[0].id);
  CHECK(second.groups[1].trials == std::vector<size_t>{2});
  CHECK(sweep::read_plan(folder / "nowhere").trials.empty());
  test::put_file(folder / "plan.json", "{}");
  CHECK_THROWS_WITH(sweep::read_plan(folder.path()), Contains("not the plan of a sweep"));
}

TEST_CASE("an option that train has not is refused, and one that changes no result", "[unit]") {
  const test::TempFolder folder;
  put_data(folder.path());
  CHECK_THROWS_WITH(plan(base_of(folder.path()) + "[grid]\nlearning_rat = [1]\n"),
                    Contains("trial 1") && Contains("did you mean 'learning_rate'"));
  CHECK_THROWS_WITH(plan(base_of(folder.path()) + "[grid]\nlearning_rate = [1, -1]\n"), Contains("trial 2"));
  CHECK_THROWS_WITH(plan(base_of(folder.path()) + "cache = 'off'\n"), Contains("changes no result"));
  CHECK_THROWS_WITH(plan("[base]\ndata = 'x'\n"), Contains("backbone"));
}
