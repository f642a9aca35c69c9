// Programs that are kept from one `moec run` or `moec quality` to the next.

#ifndef MOEC_TOOLS_MOEC_CACHE_H
#define MOEC_TOOLS_MOEC_CACHE_H

#include "tools/moec/Compile.h"

namespace moec {

/// The path of the program for `request`, whose input is a model directory: compiled unless the
/// cache holds the very same. Each has a folder to itself; when one is made, those that were not
/// asked for in a month are removed. Where `packsUnmappable` makes it pack what was to be mapped, a
/// notice says so and why.
Result<std::string> cachedProgram(CompileRequest request);

/// What messages about the cache end with.
inline constexpr const char *kCacheHint =
    "; set XDG_CACHE_HOME to another folder, or use moec compile";

} // namespace moec

#endif // MOEC_TOOLS_MOEC_CACHE_H
