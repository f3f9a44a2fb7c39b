#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace engraft::sweep {

/// What a SPEC.toml asks for: options of `train` by their names (dashes and underscores alike are written with
/// underscores here).
struct Spec {
  /// What all trials have: the table [base].
  io::Json base;
  /// What each trial has besides.
  std::vector<io::Json> trials;
  /// Names that some trial sets in addition to the base, in the order of the file.
  std::vector<std::string> varied;
};

/// Reads a SPEC (scripts/sweeps/README.md), TOML with the tables
///
///   [base]      options that all trials have
///   [grid]      name = [values]: every combination, the last name fastest
///   [random]    draws = N, seed_of_draws = S, and name = { uniform | log_uniform | int_uniform = [low, high] } or
///               { choice = [values] }: N times. What is drawn depends on seed, name and number alone; numbers that are
///               not whole have six digits.
///   [[trial]]   single settings
///
/// Trials are all [[trial]] × draws × grid combinations, in that order; what is missing is one empty setting. A name
/// stands in one of the tables only but for [base], which the others override. A value of an option that may be given
/// several times (stage) is a text or a list of texts. Throws UsageError "WHERE: …" for what is none of this, and for
/// more than 100,000 trials.
Spec parse_spec(std::string_view toml, const std::string& where);

}  // namespace engraft::sweep
