// Calls of functions as Python writes them, with literals for arguments.

#ifndef MOEC_RUNTIME_TEXT_PYTHONCALLS_H
#define MOEC_RUNTIME_TEXT_PYTHONCALLS_H

#include "runtime/text/ToolCalls.h"

#include <optional>
#include <string_view>

namespace moec {

/// The calls of a list such as [f(x=1, y=[True, 'a']), g()]; none where `text` is anything else.
std::optional<ToolCalls> readPythonCalls(std::string_view text);

/// Whether a text that begins with `text`, which starts with a bracket, may become such a list.
bool mayBePythonCalls(std::string_view text);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_PYTHONCALLS_H
