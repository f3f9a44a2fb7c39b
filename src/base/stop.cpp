#include "base/stop.h"

#include <atomic>
#include <csignal>
#include <string>

#include "base/errors.h"

namespace engraft {

namespace {
// The one piece of process-wide state: a signal handler can reach nothing else.
std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);
}  // namespace

int stop_requested() { return stop_signal.load(std::memory_order_relaxed); }

void request_stop(int signal_number) {
  int none = 0;
  stop_signal.compare_exchange_strong(none, signal_number, std::memory_order_relaxed);
}

void throw_if_stopped(const char* doing) {
  const int signal_number = stop_requested();
  if (signal_number == 0) return;
  const ExitCode code = signal_number == SIGINT ? ExitCode::kInterrupted : ExitCode::kStopped;
  throw Stopped(code, std::string("stopped by a signal while ") + doing);
}

}  // namespace engraft
