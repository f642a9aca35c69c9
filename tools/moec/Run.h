// `moec run`: compiles into a cache, then becomes the program.

#ifndef MOEC_TOOLS_MOEC_RUN_H
#define MOEC_TOOLS_MOEC_RUN_H

#include "tools/moec/Compile.h"

namespace moec {

/// Compiles `request.input`, a model directory, unless the cache holds the very same; then
/// replaces this process by the program with `arguments`. Returns only on failure.
Status run(const CompileRequest &request, const std::vector<std::string> &arguments);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_RUN_H
