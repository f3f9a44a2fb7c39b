// graph_export [--noise OTHER.pt] IN.pt OUT.pt TAP…: extracts the taps that IN.pt has and writes the archive.
// With --noise another module is loaded, extracted and run before.
#include <torch/csrc/jit/serialization/import.h>

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "graph/anatomy.h"
#include "graph/archive.h"
#include "graph/nets.h"
#include "graph/surgery.h"

int main(int argc, char** argv) try {
  using namespace engraft;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::vector<torch::jit::Module> kept;
  if (arguments.at(0) == "--noise") {
    for (int i = 0; i < 2; ++i) {
      kept.push_back(torch::jit::load(arguments.at(1)));
      kept.push_back(graph::extract(kept.back(), {graph::analyse(kept.back()).blocks().back().name}));
      kept.push_back(test::from_bytes(test::bytes_of(kept.back())));
      kept.back().forward({test::input_of(1)});
    }
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  const auto source = torch::jit::load(arguments.at(0));
  std::vector<std::string> taps;
  for (const auto& block : graph::analyse(source).blocks())
    for (size_t i = 2; i < arguments.size(); ++i)
      if (block.name == arguments[i]) taps.push_back(block.name);
  auto module = graph::extract(source, taps);
  if (taps.size() == 1) graph::split(module, graph::analyse(module).blocks().front().name);
  std::ofstream(arguments.at(1), std::ios::binary) << graph::archive_bytes(module);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
