#pragma once

#include <cstdint>
#include <string>

namespace engraft::data {

/// Which pictures, and what to do about bad ones.
struct DataOptions {
  std::string data;
  double val_fraction = 0.2;
  int64_t batch = 32;
};

template <class Visitor>
void describe(Visitor& v, DataOptions& o) {
  v.group("Data");
  v.field("data", o.data,
          "folder with train/ and val/ (or validation/, valid/, test/), one folder of class folders, or a CSV/TSV "
          "manifest image_path,label[,split]")
      .value("DATA")
      .required();
  v.field("val_fraction", o.val_fraction, "share held out for validation where the data has no split of its own")
      .above(0)
      .below(1);
  v.field("batch", o.batch, "pictures in a batch").at_least(1).at_most(65536);
}

}  // namespace engraft::data
