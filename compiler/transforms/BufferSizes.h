// Sizes of buffers: what they follow from, and how large they can be.

#ifndef MOEC_COMPILER_TRANSFORMS_BUFFERSIZES_H
#define MOEC_COMPILER_TRANSFORMS_BUFFERSIZES_H

#include "mlir/IR/Builders.h"

namespace moec {

/// The size of a buffer along one dimension, by what the buffer was made with.
mlir::Value sizeOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value buffer,
                   int64_t dimension);

/// The largest that a number of whole things can be, an index or integer that follows from data:
/// how many places linalg_ext.nonzero has room for, and what arithmetic makes of such. `isKnown`
/// says which values are there before any data. Null where there is no such number.
mlir::Value largestOf(mlir::OpBuilder &builder, mlir::Value value,
                      llvm::function_ref<bool(mlir::Value)> isKnown);

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_BUFFERSIZES_H
