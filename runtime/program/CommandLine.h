// Takes the arguments of a compiled program apart.

#ifndef MOEC_RUNTIME_PROGRAM_COMMAND_LINE_H
#define MOEC_RUNTIME_PROGRAM_COMMAND_LINE_H

#include "runtime/core/Result.h"
#include "runtime/program/Options.h"

#include <string>
#include <vector>

namespace moec {

/// `arguments` are those after the program's name. The first is the command if it equals one, else
/// the command is generate; what follows `--` is never a command nor an option. Code::Usage says
/// what is wrong.
Result<CommandLine> parseCommandLine(const std::string &program,
                                     const std::vector<std::string> &arguments);

/// An option given that only a chat template reads; null if there is none.
const char *templateOption(const PromptOptions &options);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_COMMAND_LINE_H
