#pragma once

#include <string>

namespace engraft::commands {

/// What every command takes.
struct CommonOptions {
  std::string config;
  bool json = false;
  bool quiet = false;
};

template <class Visitor>
void describe(Visitor& v, CommonOptions& o) {
  v.group("General");
  v.field("config", o.config, "TOML file with the same names as these flags, or the name of a recipe; flags win")
      .value("FILE")
      .not_recorded();
  v.field("json", o.json, "one machine-readable result on stdout").not_recorded();
  v.field("quiet", o.quiet, "no progress and no notes on stderr").not_recorded();
}

}  // namespace engraft::commands
