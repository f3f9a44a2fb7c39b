#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/report.h"
#include "io/json.h"

// What Plan::digests holds; for this folder alone.

namespace engraft::sweep {

/// Under which Plan::digests has the data set of a training's options.
std::string name_of_data(const io::Json& options);

/// What `digests` say of `name`; empty where they say nothing.
std::string digest_in(const io::Json& digests, const std::string& name);

/// Digests of backbones and data sets, each taken once, and anew only where files look otherwise than when `known` was
/// taken (sizes and times).
class InputDigests {
 public:
  InputDigests(io::Json known, Reporter& reporter);

  /// Of a TorchScript file and of the NAME.toml beside it; a network without a file is its own name. Throws as
  /// io::sha256_of_file.
  std::string of_network(const std::string& path);
  /// Of the data set of a training's options. Throws as data::list_data.
  std::string of_data(const io::Json& options);
  /// After of_data().
  int64_t pictures_of(const io::Json& options) const { return pictures_.at(name_of_data(options)); }

  const io::Json& all() const { return known_; }

 private:
  template <class Take>
  std::string known_or(const std::string& name, const io::Json& now, const Take& take);

  io::Json known_;
  Reporter& reporter_;
  std::map<std::string, std::string> taken_;
  std::map<std::string, int64_t> pictures_;  // by the names of data sets
};

}  // namespace engraft::sweep
