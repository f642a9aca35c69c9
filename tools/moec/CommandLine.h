// The words after `moec`, parsed.

#ifndef MOEC_TOOLS_MOEC_COMMANDLINE_H
#define MOEC_TOOLS_MOEC_COMMANDLINE_H

#include "tools/moec/Compile.h"
#include "tools/moec/Quality.h"

#include <string>
#include <vector>

namespace moec {

enum class Command {
  None, ///< everything is said already: help, or the version
  Compile,
  Run,
  Quality,
  Inspect,
};

struct CommandLine {
  Command command = Command::None;
  CompileRequest request;
  bool json = false;                  ///< inspect
  std::vector<std::string> arguments; ///< run: for the program
  QualityRequest quality;             ///< but for the model, which is `request`
};

/// Parses; prints help and versions to stdout where they are asked for. Wrong words are a usage
/// error.
Result<CommandLine> parseCommandLine(int count, const char *const *words);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_COMMANDLINE_H
