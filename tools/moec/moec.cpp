// The command moec: parses its words, calls libraries, turns a failure into an exit status.

#include "runtime/core/AtomicFile.h"
#include "runtime/core/File.h"
#include "tools/moec/CommandLine.h"
#include "tools/moec/Inspect.h"
#include "tools/moec/InspectOnnx.h"
#include "tools/moec/Quality.h"
#include "tools/moec/Run.h"
#include "tools/moec/TextOutput.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <unistd.h>

using namespace moec;

/// Says why, in one line, and gives the exit status.
static int fail(const Status &status) {
  writeMessage(fmt::format("moec: error: {}\n", status.message));
  return static_cast<int>(status.code);
}

/// Ends the process from a place that cannot clean up; LLVM and the runtime each remove their
/// unfinished files.
[[noreturn]] static void endNow(int status) {
  llvm::sys::RunInterruptHandlers();
  removeOutputs();
  ::_exit(status);
}

/// Ctrl-C, and what else asks the process to end.
static void onInterrupt(int signal) { endNow(128 + signal); }

/// LLVM's own fatal errors: temporary files go, and the process ends without a signal.
static void onFatalError(void *, const char *reason, bool) {
  writeMessage(fmt::format("moec: error: {}\n", reason));
  // How LLVM's streams end when a file cannot be written out.
  bool full = std::strstr(reason, "No space left") || std::strstr(reason, "File too large");
  endNow(static_cast<int>(full ? Code::Resource : Code::Internal));
}

static void onOutOfMemory() {
  writeMessage("moec: error: out of memory; --weights=map or fewer --threads need less\n");
  endNow(static_cast<int>(Code::Resource));
}

int main(int count, char **words) {
  openStandardStreams();
  std::signal(SIGPIPE, SIG_IGN); // a reader that went away is no failure
  llvm::install_fatal_error_handler(onFatalError);
  std::set_new_handler(onOutOfMemory);
  // Also where moec itself fails; LLVM removes its own temporary files.
  llvm::sys::AddSignalHandler([](void *) { removeOutputs(); }, nullptr);
  // In the place of LLVM's handlers, which do not tell one signal from another.
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, onInterrupt);

  // Past the limit on file sizes a write then fails, as it does on a full disk; LLVM has a handler.
  std::signal(SIGXFSZ, SIG_IGN);

  Result<CommandLine> line = parseCommandLine(count, words);
  if (!line.ok())
    return fail(line.status());
  line->request.program =
      llvm::sys::fs::getMainExecutable(words[0], reinterpret_cast<void *>(&main));
  Status status;
  switch (line->command) {
  case Command::None:
    break;
  case Command::Compile:
    status = compile(line->request);
    break;
  case Command::Run:
    status = run(line->request, line->arguments);
    break;
  case Command::Quality:
    line->quality.model = line->request;
    status = quality(line->quality);
    break;
  case Command::Inspect:
    status = isOnnx(line->request.input) ? inspectOnnx(line->request, line->json)
                                         : inspect(line->request, line->json);
    break;
  }
  return status.ok() ? 0 : fail(status);
}
