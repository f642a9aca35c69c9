// `moec inspect`: what a model directory holds, without a compile.

#ifndef MOEC_TOOLS_MOEC_INSPECT_H
#define MOEC_TOOLS_MOEC_INSPECT_H

#include "tools/moec/Compile.h"

namespace moec {

/// Prints parameters, experts, sizes and what will be fused to stdout, as JSON if `json`.
/// Headers suffice.
Status inspect(const CompileRequest &request, bool json);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_INSPECT_H
