// The part of the program that loads LibTorch. Started by front.cpp, which has checked the flags; they are read again
// here, since only text can be handed from one program to another.
#include <c10/util/Exception.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "base/errors.h"
#include "base/text.h"
#include "catalogue.h"
#include "commands/commands.h"
#include "console.h"
#include "flags.h"
#include "signals.h"

namespace {

using namespace engraft;

/// Freed memory stays with the process. A network frees and asks for the same large tensors in every batch; malloc
/// would give each back to the system, whose fresh zeroed pages then cost up to a third of the time.
void keep_freed_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TOP_PAD, 64 << 20);
#endif
}

int run(const std::string& command, const std::vector<std::string>& rest) {
  ExitCode code = ExitCode::kUsage;
  const bool known = app::with_command(command, [&](const app::CommandInfo&, auto options) {
    options::Schema schema;
    describe(schema, options);
    if (app::read_flags(schema, rest)) return;
    app::Console console(options.common.quiet);
    commands::Session session{std::cout, console};
    if constexpr (std::is_same_v<decltype(options), commands::SweepOptions>) {
      code = commands::run_worker(options, session);
    } else {
      code = commands::run(options, session);
    }
  });
  if (!known) throw UsageError("no command '" + command + "'");
  std::cout.flush();
  if (!std::cout) throw SystemError("cannot write the result to stdout");
  return static_cast<int>(code);
}

int run_reported(const std::vector<std::string>& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const auto tell = [&](const std::string& what) { std::cerr << "engraft " << command << ": " << what << "\n"; };
  try {
    return run(command,
               arguments.empty() ? arguments : std::vector<std::string>(arguments.begin() + 1, arguments.end()));
  } catch (const Error& error) {
    const std::string what = error.what();
    tell(text::starts_with(what, ": ") ? what.substr(2) : what);
    return static_cast<int>(error.code());
  } catch (const c10::Error& error) {
    tell("internal error: LibTorch: " + text::split(error.what_without_backtrace(), '\n').front());
  } catch (const std::bad_alloc&) {
    tell("out of memory; a smaller --batch or --size needs less");
  } catch (const std::exception& error) {
    tell(std::string("internal error: ") + error.what());
  }
  return static_cast<int>(ExitCode::kInternal);
}

/// Ends the process without the destructors of what lives as long as it does: all files are closed by now, and
/// LibTorch's tables of operators take a tenth of a second to go.
[[noreturn]] void leave(int code) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
#ifdef __SANITIZE_ADDRESS__
  std::exit(code);  // looks for leaks
#else
  ::_exit(code);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  app::watch_signals();
  keep_freed_memory();
  leave(run_reported({argv + 1, argv + argc}));
}
