#include "sweep/claim.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "support/support.h"

using namespace engraft;

namespace {

const sweep::ClaimOptions kQuick{0.02, 0.3};

void wait_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// A process that claims the folder and dies with the claim.
pid_t die_with_claim(const std::string& folder) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto claim = sweep::Claim::take(folder);
    ::_exit(claim != nullptr ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WEXITSTATUS(status) == 0);
  return child;
}

}  // namespace

TEST_CASE("a claimed folder is nobody else's until it is given back", "[unit]") {
  const test::TempFolder folder;
  auto claim = sweep::Claim::take(folder.path());
  REQUIRE(claim != nullptr);
  CHECK(claim->lost_before() == 0);
  CHECK_FALSE(claim->is_lost());
  CHECK(sweep::Claim::take(folder.path()) == nullptr);
  CHECK(sweep::holder_of(folder.path()));
  CHECK(sweep::was_claimed_by(folder.path(), ::getpid()));
  claim.reset();
  CHECK_FALSE(sweep::holder_of(folder.path()));
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(sweep::Claim::take(folder.path()) != nullptr);
}

TEST_CASE("a claim whose process is gone is taken over at once", "[unit]") {
  const test::TempFolder folder;
  const pid_t dead = die_with_claim(folder.path());
  CHECK_FALSE(sweep::holder_of(folder.path()));
  CHECK(sweep::was_claimed_by(folder.path(), dead));
  CHECK_FALSE(sweep::was_claimed_by(folder.path(), ::getpid()));
  const auto claim = sweep::Claim::take(folder.path());
  REQUIRE(claim != nullptr);
  CHECK(claim->lost_before() == 1);
}

TEST_CASE("a claim that is renewed lives on; one that is not is lost", "[unit]") {
  const test::TempFolder folder;
  const auto renewed = sweep::Claim::take(folder.path(), kQuick);
  wait_s(3 * kQuick.stale_s);
  CHECK(sweep::Claim::take(folder.path(), kQuick) == nullptr);
  CHECK_FALSE(renewed->is_lost());

  const test::TempFolder other;
  const auto silent = sweep::Claim::take(other.path(), {3600, kQuick.stale_s});
  wait_s(2 * kQuick.stale_s);
  const auto second = sweep::Claim::take(other.path(), kQuick);
  REQUIRE(second != nullptr);
  CHECK(second->lost_before() == 1);
  CHECK(silent->is_lost());
  CHECK_FALSE(second->is_lost());
}

TEST_CASE("of many that claim at once one has it", "[unit]") {
  constexpr int kThreads = 8, kRounds = 60;
  const test::TempFolder folder;
  std::atomic<int> holders{0}, most{0}, taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const auto claim = sweep::Claim::take(folder.path());
        if (claim == nullptr || claim->is_lost()) continue;
        const int now = ++holders;
        if (now > most) most = now;
        ++taken;
        std::this_thread::yield();
        --holders;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most == 1);
  CHECK(taken > 0);
  CHECK(std::filesystem::is_empty(folder.path()));
}
