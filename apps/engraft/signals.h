#pragma once

namespace engraft::app {

/// From here on SIGINT, SIGTERM, SIGHUP (unless it is ignored, as nohup has it) and SIGUSR1 ask to stop (base/stop.h);
/// a second Ctrl-C ends the process at once.
void watch_signals();

}  // namespace engraft::app
