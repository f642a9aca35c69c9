// All options of moe-emulate, by way of CLI11, whose exceptions end here.

#include "tools/moe-emulate/CommandLine.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>

using namespace moec;

/// `4`, `4,2` or `4,2,1`; what is missing is 1. An error otherwise.
static std::string parseExtents(const std::string &word, emulator::Dim3 &extents) {
  emulator::Dim3 parsed{1, 1, 1};
  const char *at = word.data(), *end = at + word.size();
  for (uint32_t &extent : parsed) {
    auto [next, error] = std::from_chars(at, end, extent);
    if (error != std::errc() || next == at)
      break;
    if (next == end) {
      extents = parsed;
      return {};
    }
    if (*next != ',')
      break;
    at = next + 1;
  }
  return fmt::format("'{}' is not X, X,Y or X,Y,Z", word);
}

static void addExtents(CLI::App &app, const std::string &name, emulator::Dim3 &extents,
                       const std::string &help) {
  app.add_option_function<std::string>(
         name,
         [name, &extents](const std::string &word) {
           if (std::string error = parseExtents(word, extents); !error.empty())
             throw CLI::ValidationError(name, error);
         },
         help)
      ->type_name("X,Y,Z")
      ->required();
}

Result<std::variant<EmulateOptions, std::string>> moec::parseCommandLine(int count, char **words) {
  EmulateOptions options;
  CLI::App app("Runs a GPU kernel in MLIR on the CPU and reports races, unwaited copies, accesses "
               "out of bounds and the like.",
               "moe-emulate");
  app.add_option("input", options.input,
                 "a file with a gpu.module, in any dialects that upstream lowers to nvvm")
      ->required();
  addExtents(app, "--grid", options.grid, "blocks of the launch");
  addExtents(app, "--block", options.block, "threads of a block");
  app.add_option("--kernel", options.kernel, "which; default: the only one")->type_name("NAME");
  app.add_option("--shared", options.dynamicSharedBytes, "dynamic shared memory; default: 0")
      ->type_name("BYTES");
  app.add_option("--args", options.arguments,
                 "a safetensors file with a tensor for each argument: arg0, arg1, ...; memrefs and "
                 "pointers are its data, numbers tensors of shape []")
      ->type_name("FILE");
  app.add_option("--out", options.output, "where the tensors of --args go as the kernel left them")
      ->type_name("FILE");
  app.add_option("--schedule-seed", options.seed,
                 "the order of blocks and threads, and when copies happen; default: 0, ascending "
                 "and as late as they may")
      ->type_name("N");
  app.add_flag("--bank-conflicts", options.bankConflicts,
               "print how often accesses to shared memory went over the banks");
  app.add_flag("!--no-checks", options.checks,
               "run faster and report less: only what stops the kernel");
  try {
    app.parse(count, words);
  } catch (const CLI::CallForHelp &) {
    return std::variant<EmulateOptions, std::string>(app.help());
  } catch (const CLI::Error &error) {
    return Status{Code::Usage, error.what()};
  }
  return std::variant<EmulateOptions, std::string>(std::move(options));
}
