#pragma once

#include "commands/common_options.h"
#include "engine/compute_options.h"
#include "image/preprocessing_flags.h"

namespace engraft::commands {

struct InspectOptions {
  std::string file;
  engine::ComputeOptions compute;
  image::PreprocessingFlags preprocessing;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, InspectOptions& o) {
  v.field("file", o.file, "a backbone, model.pt, feature store or run folder").value("FILE").positional().required();
  describe(v, o.preprocessing);
  describe(v, o.compute);
  describe(v, o.common);
}

}  // namespace engraft::commands
