// The C header of a graph's library: which input and output has which number.

#ifndef MOEC_TOOLS_MOEC_GRAPHHEADER_H
#define MOEC_TOOLS_MOEC_GRAPHHEADER_H

#include "runtime/core/Manifest.h"

#include <string>

namespace moec {

/// Where the header of a library goes: `lib/router.so` has `lib/router.h`.
std::string graphHeaderPath(const std::string &library);

/// The header's text. It names, for the library of that file name, the numbers that moec_graph_run
/// counts inputs and outputs by, and says what each is.
std::string writeGraphHeader(const ManifestGraph &graph, const std::string &library);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_GRAPHHEADER_H
