#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/listing.h"
#include "engine/engine.h"
#include "model/compose.h"
#include "store/feature_store.h"
#include "tensor/peak.h"

namespace engraft::commands {

/// One measurement in each round.
class Rounds {
 public:
  void add(double value) { values_.push_back(value); }
  bool has_any() const { return !values_.empty(); }
  /// 0 without any.
  double median() const;
  double largest() const;
  double smallest() const;

 private:
  std::vector<double> values_;
};

/// What the machine can do at most.
struct Ceilings {
  struct Arithmetic {
    tensor::Precision precision;
    std::string unit;  // empty: the machine has none
    Rounds ops_per_second;
  };
  std::vector<Arithmetic> arithmetic;
  Rounds copied_bytes_per_second;

  /// Adds a round. Throws as tensor::arithmetic_peak.
  void measure(int64_t threads);
};

/// From a file to pixels, on one core: seconds a picture, in each round.
struct PictureTimes {
  Rounds read, decode, resize;
  std::vector<int64_t> readable;                  // rows of the last round
  int64_t unreadable = 0;                         // that were left out
  double bytes = 0, width_px = 0, height_px = 0;  // means over the readable files

  /// Adds a round over `rows` of the listing. Throws DataError where none of them can be read, Stopped between two.
  void measure(const data::Listing& listing, const std::vector<int64_t>& rows,
               const image::Preprocessing& preprocessing);
};

/// From pixels to rows on disk: seconds a picture, in each round.
struct NetworkTimes {
  Rounds engine, write, pipeline;

  /// Adds a round of `pixels`, uint8 [batch_size, size, size, 3], for half a second at least, and of writing what came
  /// out as a store in a new folder below `scratch`. Throws ModelError, SystemError, and Stopped between two runs.
  void measure(engine::Engine& network, const std::vector<uint8_t>& pixels, model::Pool pool,
               const std::vector<store::TapShape>& taps, const std::string& scratch);
  /// Adds a round of all stages together over `rows`, which can be read, as embed does them. Throws as above, and as
  /// finetune::forward_pass.
  void measure_pipeline(engine::Engine& network, const data::Listing& listing, const std::vector<int64_t>& rows,
                        int64_t loader_threads, model::Pool pool, const std::vector<store::TapShape>& taps,
                        const std::string& scratch);
};

/// `rows` without those that do not fill a batch, where there are more than one batch of them.
std::vector<int64_t> whole_batches(std::vector<int64_t> rows, int64_t batch);

}  // namespace engraft::commands
