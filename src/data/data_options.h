#pragma once

#include <cstdint>
#include <string>

namespace engraft::data {

inline constexpr int64_t kDefaultBatch = 32;

/// Which pictures, and how many at a time.
struct DataOptions {
  std::string data;
  int64_t batch = kDefaultBatch;
};

template <class Visitor>
void describe(Visitor& v, DataOptions& o) {
  v.group("Data");
  v.field(
       "data", o.data,
       "folder with train/ and val/ (or validation/, valid/, test/), one folder of class folders, a CSV/TSV manifest "
       "image_path,label[,split], .tar archives as WebDataset names them (a folder of them, one, or "
       "train-{000..012}.tar), or without labels a folder, a list of paths, or - for a list on stdin")
      .value("DATA")
      .required();
  v.field("batch", o.batch, "pictures in a batch").at_least(1).at_most(65536);
}

/// Share of the pictures that goes to validation where nothing says another.
inline constexpr double kValFraction = 0.2;

/// `--val-fraction`; `fraction` is a double or an optional one. `otherwise` says what holds where it is not given.
template <class Visitor, class Fraction>
void describe_val_fraction(Visitor& v, Fraction& fraction, const std::string& otherwise = "") {
  v.field("val_fraction", fraction, "share held out for validation where the data has no split of its own" + otherwise)
      .above(0)
      .below(1);
}

}  // namespace engraft::data
