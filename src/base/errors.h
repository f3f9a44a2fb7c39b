#pragma once

#include <stdexcept>
#include <string>

namespace engraft {

/// Exit codes of the program; README.md says the same to its users.
enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,       // our bug, or a failed system call
  kUsage = 2,          // wrong usage or configuration
  kBadInput = 3,       // a file, data set or backbone that cannot be used
  kGateNotMet = 4,     // an --assert gate
  kTooManyBad = 5,     // done, but more inputs were skipped than --max-bad allows
  kStopped = 75,       // a signal other than Ctrl-C asked to stop
  kInterrupted = 130,  // Ctrl-C
};

/// Every error of ours. `what()` is one line that names the thing, what was expected and what was found.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// A flag, a configuration key or a combination of them is wrong.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitCode::kUsage, message) {}
};

/// A picture, a data set, a manifest or a store cannot be used as given.
class DataError : public Error {
 public:
  explicit DataError(const std::string& message) : Error(ExitCode::kBadInput, message) {}
};

/// A backbone or model file cannot be used as given.
class ModelError : public Error {
 public:
  explicit ModelError(const std::string& message) : Error(ExitCode::kBadInput, message) {}
};

/// The system refused: a write, a rename, an allocation of a device.
class SystemError : public Error {
 public:
  explicit SystemError(const std::string& message) : Error(ExitCode::kInternal, message) {}
  /// "cannot WHAT PATH: strerror(errno)".
  static SystemError from_errno(const std::string& what, const std::string& path);
};

/// The user asked to stop (Ctrl-C or a signal); `code` is what the program ends with.
class Stopped : public Error {
 public:
  Stopped(ExitCode code, const std::string& message) : Error(code, message) {}
};

}  // namespace engraft
