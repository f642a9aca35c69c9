// Where text for people goes.

#ifndef MOEC_TOOLS_MOEC_TEXTOUTPUT_H
#define MOEC_TOOLS_MOEC_TEXTOUTPUT_H

#include "runtime/core/Result.h"

#include <string>
#include <string_view>

namespace moec {

/// Writes `text` to stdout where `path` is "-", straight into devices and pipes, else by way of an
/// AtomicFile.
Status writeText(const std::string &path, std::string_view text);

/// Writes `text` to stderr. Where nobody can read it, it is lost, and the work goes on.
void writeMessage(std::string_view text);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_TEXTOUTPUT_H
