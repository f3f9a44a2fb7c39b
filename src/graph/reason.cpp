#include "graph/reason.h"

#include <c10/util/Exception.h>

#include "base/text.h"

namespace engraft::graph {

std::string reason(const std::exception& error) {
  const auto* ours = dynamic_cast<const c10::Error*>(&error);
  const std::string message = ours != nullptr ? ours->what_without_backtrace() : error.what();
  std::string first, named;
  for (const std::string& raw : text::split(message, '\n')) {
    const std::string line = text::trim(raw);
    if (line.empty()) continue;
    if (first.empty()) first = line;
    // The TorchScript interpreter ends its traceback with the error's own line.
    for (const char* mark : {"RuntimeError: ", "Error: "})
      if (named.empty() && text::starts_with(line, mark)) named = line.substr(std::string(mark).size());
  }
  const bool traceback = message.find("Traceback of TorchScript") != std::string::npos;
  return traceback && !named.empty() ? named : first;
}

}  // namespace engraft::graph
