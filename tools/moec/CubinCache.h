// Cubins that are kept from one compile to the next, found again by what they were made of.

#ifndef MOEC_TOOLS_MOEC_CUBINCACHE_H
#define MOEC_TOOLS_MOEC_CUBINCACHE_H

#include "compiler/emit/Ptxas.h"

namespace moec {

/// As assemblePtx(), unless the cache has what the same ptxas has made of the same text for the
/// same architecture. Where there is no cache, or it may not be written, nothing is kept: it only
/// saves time. Cubins that were not asked for in a month are removed when one is made. May be
/// called by several threads at once.
Result<Cubin> cachedCubin(const Ptxas &ptxas, std::string_view ptx, std::string_view architecture);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_CUBINCACHE_H
