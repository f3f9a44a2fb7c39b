#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace engraft {

/// Where a library function tells what it is doing. The program's console implements it; tests may record.
/// Calls come from one thread at a time.
class Reporter {
 public:
  virtual ~Reporter() = default;
  /// A fact worth a line ("cut: mixed_7, 768x17x17").
  virtual void note(const std::string& line) = 0;
  /// Something that may surprise the user; shown also when quiet.
  virtual void warn(const std::string& line) = 0;
  /// `done` of `total` items of the work called `what`; total 0 = not known. `detail` is shown at the end of the line.
  virtual void progress(const std::string& what, int64_t done, int64_t total, const std::string& detail) = 0;
};

/// Says nothing.
class SilentReporter : public Reporter {
 public:
  void note(const std::string&) override {}
  void warn(const std::string&) override {}
  void progress(const std::string&, int64_t, int64_t, const std::string&) override {}
};

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const;

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace engraft
