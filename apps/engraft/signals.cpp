#include "signals.h"

#include <unistd.h>

#include <csignal>

#include "base/errors.h"
#include "base/stop.h"

namespace engraft::app {

namespace {

extern "C" void on_signal(int signal_number) {
  if (stop_requested() != 0 && signal_number == SIGINT) ::_exit(static_cast<int>(ExitCode::kInterrupted));
  request_stop(signal_number);
}

}  // namespace

void watch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction before {};
    ::sigaction(signal_number, nullptr, &before);
    const bool is_nohup = signal_number == SIGHUP && before.sa_handler == SIG_IGN;
    if (!is_nohup) ::sigaction(signal_number, &action, nullptr);
  }
}

}  // namespace engraft::app
