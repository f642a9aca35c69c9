// Unbuffered writes; whoever writes much collects it first.

#include "runtime/program/Output.h"

#include "runtime/core/File.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <unistd.h>

namespace moec {

static bool closed = false;
static std::string programName = "moec";

/// False with errno set where not all was written.
static bool writeAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return false;
    text.remove_prefix(written);
  }
  return true;
}

Status writeOutput(std::string_view text) {
  if (writeAll(STDOUT_FILENO, text))
    return {};
  closed = errno == EPIPE;
  return {codeOfError(errno, Code::Usage),
          fmt::format("cannot write to standard output: {}", strerror(errno))};
}

bool outputClosed() { return closed; }

void writeError(std::string_view text) { writeAll(STDERR_FILENO, text); }

void writeMessage(std::string_view text) { writeError(fmt::format("{}: {}\n", programName, text)); }

void setProgramName(std::string_view name) { programName = name; }

std::function<void(double)> showProgress(std::string_view what) {
  if (!isatty(STDERR_FILENO))
    return {};
  return [what, shown = -1](double share) mutable {
    const int percent = static_cast<int>(share * 100);
    if (percent != shown)
      writeError(fmt::format("\r{}: {}%{}", what, shown = percent, percent == 100 ? "\n" : ""));
  };
}

} // namespace moec
