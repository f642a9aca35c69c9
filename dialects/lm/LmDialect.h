// The lm dialect: see LmOps.td for what it holds.

#ifndef MOEC_DIALECTS_LM_LMDIALECT_H
#define MOEC_DIALECTS_LM_LMDIALECT_H

#include "dialects/DestinationStyle.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/SymbolTable.h"

namespace moec {

/// Whether buffers may hold elements of that type.
bool isStoredNumber(mlir::Type type);

} // namespace moec

#include "dialects/lm/LmEnums.h.inc"
#include "dialects/lm/LmOpsDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/lm/LmAttributes.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/lm/LmOpsTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/lm/LmOps.h.inc"

namespace moec::lm {

/// Most layers of a model: tables of layers have an entry for each number up to the last.
inline constexpr int64_t kMostLayers = int64_t(1) << 20;

/// Most positions that keys are chosen among.
inline constexpr int64_t kMostScored = int64_t(1) << 20;

/// What lm.attend_pieces holds of a piece beside its sums.
inline constexpr int64_t kPieceNumbers = 2;

/// The keys and values of all sequences, as a resource of memory effects.
struct CacheResource : mlir::SideEffects::Resource::Base<CacheResource> {
  llvm::StringRef getName() final { return "<Cache>"; }
};

/// What the caller of a step gets besides logits.
struct RecordResource : mlir::SideEffects::Resource::Base<RecordResource> {
  llvm::StringRef getName() final { return "<Record>"; }
};

/// The cache that `op`, a verified user of one, names.
template <typename Op> CacheOp cacheOf(Op op) {
  return mlir::SymbolTable::lookupNearestSymbolFrom<CacheOp>(op, op.getCacheAttr());
}

/// Attaches the bufferization of the dialect's ops.
void registerBufferization(mlir::DialectRegistry &registry);

/// Attaches upstream's tiling, by rows, to the ops that do not ask which row of the batch they work
/// on.
void registerTiling(mlir::DialectRegistry &registry);

} // namespace moec::lm

#endif // MOEC_DIALECTS_LM_LMDIALECT_H
