#include "sweep/state.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/support.h"

using namespace engraft;

namespace {

sweep::Plan plan_of(size_t trials) {
  sweep::Plan plan;
  plan.varied = {"seed"};
  sweep::Group group;
  group.id = "g";
  for (size_t i = 0; i < trials; ++i) {
    plan.trials.push_back({"t" + std::to_string(i), {{"seed", i}}, {{"seed", i}}});
    group.trials.push_back(i);
  }
  plan.groups.push_back(group);
  return plan;
}

void put_result(const std::string& folder, double top1, double loss, bool is_halved = false) {
  const io::Json stage = {{"best", {{"epoch", 3}}}, {"last", {{"epoch", 4}}}};
  io::Json result = {{"rows", 40}, {"top1", top1}, {"loss", loss}, {"stages", io::Json::array({stage})}};
  if (is_halved) result["halved"] = true;
  test::put_file(folder + "/result.json", io::json_line(result));
}

}  // namespace

TEST_CASE("a trial's folder appears once, whoever else ends it", "[unit]") {
  const test::TempFolder folder;
  const std::string work = sweep::take_work_folder(folder.path(), "t0", "7");
  put_result(work, 0.5, 1);
  CHECK(sweep::publish(folder.path(), "t0", work));
  CHECK(sweep::ended_state(folder.path(), "t0") == sweep::TrialState::kDone);
  put_result(work, 0.75, 1);
  CHECK_FALSE(sweep::publish(folder.path(), "t0", work));
  CHECK_FALSE(std::filesystem::exists(work));
  CHECK(sweep::trial_json(folder.path(), plan_of(1), 0).at("right") == 20);
}

TEST_CASE("what another left of a trial is gone on with under another name; a half removed folder gives way",
          "[unit]") {
  const test::TempFolder folder;
  const std::string theirs = sweep::take_work_folder(folder.path(), "t0", "1");
  test::put_file(theirs + "/checkpoint", "x");
  const std::string ours = sweep::take_work_folder(folder.path(), "t0", "2");
  CHECK(std::filesystem::exists(ours + "/checkpoint"));
  CHECK_FALSE(std::filesystem::exists(theirs));
  CHECK(sweep::take_work_folder(folder.path(), "t0", "2") == ours);
  test::put_file(sweep::trial_folder(folder.path(), "t0") + "/run.toml", "");
  put_result(ours, 0.5, 1);
  CHECK(sweep::publish(folder.path(), "t0", ours));
  CHECK(sweep::ended_state(folder.path(), "t0") == sweep::TrialState::kDone);
}

TEST_CASE("results stand by figure, then loss, then number; what failed or waits behind", "[unit]") {
  const test::TempFolder folder;
  const sweep::Plan plan = plan_of(8);
  put_result(sweep::trial_folder(folder.path(), "t6"), 0.9, 0.1, /*is_halved=*/true);
  test::put_file(sweep::trial_folder(folder.path(), "t7") + "/result.json", "{");
  put_result(sweep::trial_folder(folder.path(), "t0"), 0.5, 0.31234567);
  put_result(sweep::trial_folder(folder.path(), "t2"), 0.75, 0.5);
  put_result(sweep::trial_folder(folder.path(), "t3"), 0.75, 0.25);
  put_result(sweep::trial_folder(folder.path(), "t5"), 0.5, 0.312345672);
  test::put_file(sweep::trial_folder(folder.path(), "t1") + "/error.json", R"({"error": "no, it failed"})");
  const std::string table = sweep::results_csv(sweep::results_of(folder.path(), plan), plan.varied);
  CHECK_THAT(table, Catch::Matchers::StartsWith("trial,number,state,seed,rows,right,top1,loss,epoch,epochs,error\n"
                                                "t3,4,done,3,40,30,0.75,0.250000,3,4,\n"
                                                "t2,3,done,2,40,30,0.75,0.500000,3,4,\n"
                                                "t0,1,done,0,40,20,0.5,0.312346,3,4,\n"
                                                "t5,6,done,5,40,20,0.5,0.312346,3,4,\n"
                                                "t6,7,halved,6,40,36,0.9,0.100000,3,4,\n"
                                                "t1,2,failed,1,,,,,,,\"no, it failed\"\n"
                                                "t4,5,waiting,4,,,,,,,\n"
                                                "t7,8,damaged,"));
  CHECK_THAT(table, Catch::Matchers::Contains("/trials/t7 and the same command does it again"));
}

TEST_CASE("a sweep's status counts what is done, failed, claimed and left", "[unit]") {
  const test::TempFolder folder;
  const sweep::Plan plan = plan_of(4);
  put_result(sweep::trial_folder(folder.path(), "t0"), 0.5, 1);
  test::put_file(sweep::trial_folder(folder.path(), "t1") + "/error.json", R"({"error": "x"})");
  sweep::Status status = sweep::status_of(folder.path(), plan);
  CHECK((status.done == 1 && status.failed == 1 && status.waiting == 2 && status.running == 0));
  const auto claim = sweep::Claim::take(sweep::group_folder(folder.path(), "g"));
  status = sweep::status_of(folder.path(), plan);
  CHECK((status.waiting == 0 && status.running == 2));
  REQUIRE(status.workers.size() == 1);
  CHECK_THAT(status.workers.front(), Catch::Matchers::Contains(": 2 trials"));
  CHECK(sweep::forget_failures(folder.path(), plan) == 1);
  CHECK(sweep::ended_state(folder.path(), "t1") == sweep::TrialState::kWaiting);
}
