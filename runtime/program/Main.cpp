// A compiled program starts here: it takes its arguments apart and runs one command.

#include "runtime/core/AtomicFile.h"
#include "runtime/core/File.h"
#include "runtime/core/Step.h"
#include "runtime/program/CommandLine.h"
#include "runtime/program/Commands.h"
#include "runtime/program/MissingPage.h"
#include "runtime/program/Output.h"

#include <csignal>
#include <new>
#include <string_view>
#include <unistd.h>

namespace moec {

/// Ends the process from a place that cannot clean up.
[[noreturn]] static void endNow(Code code) {
  removeOutputs();
  _exit(static_cast<int>(code));
}

static void onMissingPage(int, siginfo_t *info, void *) {
  reportMissingPage(info->si_addr);
  endNow(Code::Mismatch);
}

static void onNoMemory() {
  constexpr std::string_view message = "error: out of memory\n";
  ssize_t ignored = write(STDERR_FILENO, message.data(), message.size());
  static_cast<void>(ignored);
  endNow(Code::Resource);
}

static Status runCommand(const CommandLine &line) {
  const bool isOfModel = line.command != Command::Help && line.command != Command::Inspect &&
                         line.command != Command::Graph;
  if (isOfModel && moec_program_graph_sizes)
    return {Code::Usage, "this program is a graph of tensors, and no language model: it has the "
                         "commands graph and inspect"};
  switch (line.command) {
  case Command::Help:
    return writeOutput(line.help);
  case Command::Generate:
    return runGenerate(line.generate);
  case Command::Chat:
    return runChat(line.chat);
  case Command::Eval:
    return runEval(line.eval);
  case Command::Perplexity:
    return runPerplexity(line.perplexity);
  case Command::Bench:
    return runBench(line.bench);
  case Command::Inspect:
    return runInspect(line.inspect);
  case Command::Graph:
    return runGraph(line.graph);
  }
  return {Code::Internal, "a command that nobody runs"};
}

} // namespace moec

int main(int argc, char **argv) {
  using namespace moec;
  openStandardStreams();
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction missing = {};
  missing.sa_sigaction = onMissingPage;
  missing.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &missing, nullptr);
  std::set_new_handler(onNoMemory);
  removeOutputsOnInterrupt();
  std::string name = argc > 0 ? argv[0] : "";
  name = name.substr(name.rfind('/') + 1);
  setProgramName(name);
  Result<CommandLine> line = parseCommandLine(name, {argv + (argc > 0), argv + argc});
  Status status = line.ok() ? runCommand(*line) : line.status();
  if (status.ok() || outputClosed())
    return 0;
  if (status.code != Code::Interrupted)
    writeMessage("error: " + status.message);
  return static_cast<int>(status.code);
}
