#pragma once

#include <string>

#include "base/report.h"

namespace engraft::app {

/// Talks on stderr: notes and warnings as lines; progress with the remaining time as one line that is overwritten, only
/// on a terminal. Quiet leaves warnings.
class Console : public Reporter {
 public:
  explicit Console(bool quiet);
  ~Console() override;
  void note(const std::string& line) override;
  void warn(const std::string& line) override;
  void progress(const std::string& what, int64_t done, int64_t total, const std::string& detail) override;

 private:
  void clear_line();

  bool quiet_;
  bool is_terminal_;
  bool line_is_open_ = false;
  std::string what_;
  Stopwatch since_start_;
  double last_shown_s_ = 0;
};

}  // namespace engraft::app
