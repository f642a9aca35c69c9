// The linalg_ext dialect: see LinalgExtOps.td for what it holds.

#ifndef MOEC_DIALECTS_LINALGEXT_LINALGEXTDIALECT_H
#define MOEC_DIALECTS_LINALGEXT_LINALGEXTDIALECT_H

#include "dialects/DestinationStyle.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"

#include "dialects/linalg_ext/LinalgExtEnums.h.inc"
#include "dialects/linalg_ext/LinalgExtOpsDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/linalg_ext/LinalgExtAttributes.h.inc"
#define GET_OP_CLASSES
#include "dialects/linalg_ext/LinalgExtOps.h.inc"

namespace moec::linalg_ext {

/// Attaches the bufferization of the dialect's ops.
void registerBufferization(mlir::DialectRegistry &registry);

} // namespace moec::linalg_ext

#endif // MOEC_DIALECTS_LINALGEXT_LINALGEXTDIALECT_H
