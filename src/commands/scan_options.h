#pragma once

#include <string>

#include "commands/common_options.h"
#include "finetune/scan.h"

namespace engraft::commands {

struct ScanOptions {
  finetune::ScanOptions scan;
  std::string csv;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, ScanOptions& o) {
  describe(v, o.scan);
  v.group("Output");
  v.field("csv", o.csv, "also write the table here, as CSV").value("FILE").not_recorded();
  describe(v, o.common);
}

}  // namespace engraft::commands
