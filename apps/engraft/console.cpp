#include "console.h"

#include <unistd.h>

#include <iostream>

#include "base/text.h"

namespace engraft::app {

Console::Console(bool quiet) : quiet_(quiet), is_terminal_(::isatty(STDERR_FILENO) == 1) {}

Console::~Console() { clear_line(); }

void Console::clear_line() {
  if (line_is_open_) std::cerr << "\r\x1b[K" << std::flush;
  line_is_open_ = false;
}

void Console::note(const std::string& line) {
  if (quiet_) return;
  clear_line();
  std::cerr << line << "\n";
}

void Console::warn(const std::string& line) {
  clear_line();
  std::cerr << "warning: " << line << "\n";
}

void Console::progress(const std::string& what, int64_t done, int64_t total, const std::string& detail) {
  if (quiet_ || !is_terminal_) return;
  constexpr double kBetweenLines_s = 0.1;
  if (what != what_) {
    what_ = what;
    since_start_ = Stopwatch();
    last_shown_s_ = -1;
  }
  const double elapsed = since_start_.seconds();
  if (done < total && elapsed - last_shown_s_ < kBetweenLines_s) return;
  last_shown_s_ = elapsed;
  std::cerr << "\r\x1b[K" << what << "  " << done;
  if (total > 0) std::cerr << "/" << total;
  if (!detail.empty()) std::cerr << "  " << detail;
  if (total > done && done > 0 && elapsed > 0.5) {
    std::cerr << "  " << text::duration(elapsed / static_cast<double>(done) * static_cast<double>(total - done))
              << " left";
  }
  std::cerr << std::flush;
  line_is_open_ = true;
}

}  // namespace engraft::app
