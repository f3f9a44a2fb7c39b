#pragma once

namespace engraft {

/// Set by a signal handler (async-signal-safe), read by every long loop between two items of work.
/// `stop_requested()` is the number of the first signal received, or 0.
int stop_requested();
void request_stop(int signal_number);

/// Throws Stopped (130 for SIGINT, 75 for the others) naming `doing` when a stop was requested.
void throw_if_stopped(const char* doing);

}  // namespace engraft
