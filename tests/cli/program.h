#pragma once

#include <string>

#include "support/support.h"

// The real program, run as a person runs it.

namespace engraft::test {

struct Outcome {
  int code;
  std::string out, err;
};

/// Runs `engraft ARGUMENTS` by the shell in `folder`.
Outcome engraft_in(const std::string& folder, const std::string& arguments);

/// Throws std::runtime_error where it failed.
void must(const Outcome& outcome);

/// The example in ex/, drawn once for all tests, and a run on it in run/.
const TempFolder& example();

}  // namespace engraft::test
