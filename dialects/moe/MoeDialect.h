// The moe dialect: see MoeOps.td for what it holds.

#ifndef MOEC_DIALECTS_MOE_MOEDIALECT_H
#define MOEC_DIALECTS_MOE_MOEDIALECT_H

#include "dialects/DestinationStyle.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"

#include "dialects/moe/MoeEnums.h.inc"
#include "dialects/moe/MoeOpsDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/moe/MoeAttributes.h.inc"
#define GET_OP_CLASSES
#include "dialects/moe/MoeOps.h.inc"

namespace moec::moe {

/// Attaches the bufferization of the dialect's ops.
void registerBufferization(mlir::DialectRegistry &registry);

/// Attaches upstream's tiling, by rows, to the ops that have one result row per token.
void registerTiling(mlir::DialectRegistry &registry);

} // namespace moec::moe

#endif // MOEC_DIALECTS_MOE_MOEDIALECT_H
