// Text for standard output and messages for standard error.

#ifndef MOEC_RUNTIME_PROGRAM_OUTPUT_H
#define MOEC_RUNTIME_PROGRAM_OUTPUT_H

#include "runtime/core/Result.h"

#include <functional>
#include <string_view>

namespace moec {

/// Writes to standard output at once. A closed pipe is a failure that `outputClosed` tells apart:
/// the program then ends quietly.
Status writeOutput(std::string_view text);
bool outputClosed();

/// Writes to standard error at once, as it is; that it cannot be written is nobody's failure.
void writeError(std::string_view text);

/// Writes one line to standard error, after the program's name.
void writeMessage(std::string_view text);
/// What `writeMessage` puts in front.
void setProgramName(std::string_view name);

/// Takes the share, from 0 to 1, that is done of `what`, which outlives it, and shows it on a
/// terminal.
std::function<void(double)> showProgress(std::string_view what);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_OUTPUT_H
