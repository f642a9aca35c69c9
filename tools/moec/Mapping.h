// Whether a model's weights can be used where they lie.

#ifndef MOEC_TOOLS_MOEC_MAPPING_H
#define MOEC_TOOLS_MOEC_MAPPING_H

#include "tools/moec/Compile.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace moec {

/// What keeps a weight that the module loads from being used where it lies; empty where nothing
/// does.
std::string obstacleToMapping(mlir::ModuleOp module);

/// What keeps the weights of the model directory from being mapped, by the name of one of them;
/// empty where nothing does. Reads headers.
Result<std::string> whyNotMapped(const CompileRequest &request);

} // namespace moec

#endif // MOEC_TOOLS_MOEC_MAPPING_H
