// The options of moe-emulate.

#ifndef MOEC_TOOLS_MOEEMULATE_COMMANDLINE_H
#define MOEC_TOOLS_MOEEMULATE_COMMANDLINE_H

#include "runtime/core/Result.h"
#include "runtime/emulator/Emulator.h"

#include <optional>
#include <string>
#include <variant>

namespace moec {

struct EmulateOptions {
  std::string input;     ///< a module of MLIR
  std::string kernel;    ///< empty: the only one
  std::string arguments; ///< a safetensors file; may be empty
  std::string output;    ///< likewise
  emulator::Dim3 grid{1, 1, 1}, block{1, 1, 1};
  uint32_t dynamicSharedBytes = 0;
  bool checks = true;
  bool bankConflicts = false;
  uint64_t seed = 0;
};

/// The options, or text to print in place of any work (--help).
Result<std::variant<EmulateOptions, std::string>> parseCommandLine(int count, char **words);

} // namespace moec

#endif // MOEC_TOOLS_MOEEMULATE_COMMANDLINE_H
