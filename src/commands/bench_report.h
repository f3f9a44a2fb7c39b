#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands/bench_stages.h"
#include "commands/embed_network.h"
#include "data/listing.h"
#include "image/preprocessing.h"
#include "io/json.h"

namespace engraft::commands {

/// What is measured, by what, and what was found.
struct Bench {
  int64_t cores = 0, threads = 0;
  data::Listing listing;
  std::vector<int64_t> rows;  // of the listing, to measure with
  image::Preprocessing preprocessing;
  std::optional<Network> network;
  ChosenEngine chosen;
  double flops = 0;  // a picture
  model::Pool pool = model::Pool::kAverage;
  int64_t loader_threads = 0;

  Ceilings ceilings;
  PictureTimes picture_times;
  NetworkTimes network_times;

  bool has_pictures() const { return !rows.empty(); }
  /// What all stages together run on: rows that can be read, as many as fill batches where there are enough.
  std::vector<int64_t> pipeline_rows() const;
};

/// What bench prints, with `--json` and without.
io::Json to_json(const Bench& bench);
std::string to_text(const Bench& bench);

}  // namespace engraft::commands
