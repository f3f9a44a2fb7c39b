#pragma once

#include <string>
#include <vector>

namespace engraft::app {

/// A file of models/recipes/, compiled in.
struct Recipe {
  std::string name;  // of the file, without .toml
  std::string toml;
};

const std::vector<Recipe>& recipes();

}  // namespace engraft::app
