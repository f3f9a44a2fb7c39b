// The program people start: help, versions, wrong usage and commands that read and write files alone end here, without
// LibTorch. Anything else is handed to
// engraft-run, with the one setting that LibTorch's OpenMP reads before main: waiting threads must sleep, not spin,
// beside threads that decode pictures.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "catalogue.h"
#include "commands/commands.h"
#include "console.h"
#include "flags.h"
#include "signals.h"

namespace {

using namespace engraft;

std::string overview() {
  std::string out = "engraft: transfer learning from the shell\n\nusage: engraft COMMAND [options]\n\nCommands\n";
  for (const app::CommandInfo& info : app::catalogue()) {
    const std::string name = info.name;
    out += "  " + name + std::string(12 - name.size(), ' ') + info.summary + "\n";
  }
  return out +
         "\n`engraft COMMAND --help` lists the options of a command with their defaults.\n\n"
         "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad input, 4 an --assert not met, 5 done but\n"
         "more pictures skipped than --max-bad or trials of a sweep failed, 75 stopped by a signal, 130 Ctrl-C\n";
}

[[noreturn]] void execute_heavy_part(char** argv) {
  namespace fs = std::filesystem;
  const fs::path self = fs::read_symlink("/proc/self/exe");
  const fs::path heavy = self.parent_path() / ".." / "libexec" / "engraft" / "engraft-run";
  // Threads without work sleep, after some 0.2 ms: from one operation to the next takes less than waking them.
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  ::setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
  ::execv(heavy.c_str(), argv);
  throw SystemError::from_errno("start", heavy.lexically_normal().string());
}

template <class Options>
ExitCode run_here(const Options& options) {
  app::watch_signals();
  app::Console console(options.common.quiet);
  commands::Session session{std::cout, console};
  const ExitCode code = commands::run(options, session);
  std::cout.flush();
  if (!std::cout) throw SystemError("cannot write the result to stdout");
  return code;
}

int run(const std::vector<std::string>& arguments, char** argv) {
  if (arguments.empty()) {
    std::cerr << overview();
    return static_cast<int>(ExitCode::kUsage);
  }
  std::string command = arguments[0];
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command == "--version" || command == "version") {
    std::cout << "engraft " ENGRAFT_VERSION " (LibTorch " ENGRAFT_LIBTORCH_VERSION ")\n";
    return 0;
  }
  if (command == "help" && !rest.empty()) {
    command = rest.front();
    rest = {"--help"};
  }
  if (command == "--help" || command == "-h" || command == "help") {
    std::cout << overview();
    return 0;
  }
  bool help_asked = false;
  std::optional<ExitCode> done;
  const bool known = app::with_command(command, [&](const app::CommandInfo& info, auto options) {
    options::Schema schema;
    describe(schema, options);
    const std::string defaults = options::help_text(info.name, info.summary, schema, info.examples);
    help_asked = app::read_flags(schema, rest);
    if (help_asked) std::cout << defaults;
    if constexpr (app::kIsLight<decltype(options)>) {
      if (!help_asked && !app::is_heavy(options)) done = run_here(options);
    }
  });
  if (!known) {
    std::vector<std::string> names;
    for (const app::CommandInfo& info : app::catalogue()) names.emplace_back(info.name);
    const auto near = text::closest(command, names);
    throw UsageError("no command '" + command + "'" +
                     (near ? "; did you mean '" + *near + "'?" : "; commands: " + text::join(names, " ")));
  }
  if (help_asked) return 0;
  if (done) return static_cast<int>(*done);
  execute_heavy_part(argv);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string name = arguments.empty() ? "engraft" : "engraft " + arguments[0];
  try {
    return run(arguments, argv);
  } catch (const Error& error) {
    const std::string what = error.what();
    std::cerr << name << ": " << (text::starts_with(what, ": ") ? what.substr(2) : what) << "\n";
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::cerr << name << ": internal error: " << error.what() << "\n";
    return static_cast<int>(ExitCode::kInternal);
  }
}
