// Ops of linalg_ext as loops over elements.

#ifndef MOEC_COMPILER_LOWERING_LINALGEXTLOOPS_H
#define MOEC_COMPILER_LOWERING_LINALGEXTLOOPS_H

#include "dialects/linalg_ext/LinalgExtDialect.h"

namespace moec {

// Each emits loops on memrefs at the builder; the caller erases the op.
void emitLoops(mlir::OpBuilder &builder, linalg_ext::TopKOp op);
void emitLoops(mlir::OpBuilder &builder, linalg_ext::NonzeroOp op);
void emitLoops(mlir::OpBuilder &builder, linalg_ext::ScatterOp op);
void emitLoops(mlir::OpBuilder &builder, linalg_ext::ScanOp op);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_LINALGEXTLOOPS_H
