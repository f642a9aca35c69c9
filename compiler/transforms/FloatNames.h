// The floats that a pass's options choose among, by name.

#ifndef MOEC_COMPILER_TRANSFORMS_FLOATNAMES_H
#define MOEC_COMPILER_TRANSFORMS_FLOATNAMES_H

#include "mlir/IR/Operation.h"

namespace moec {

/// Fails, with a diagnostic at `op`, unless each of `names` is f32 or bf16.
inline mlir::LogicalResult verifyFloatNames(mlir::Operation *op,
                                            llvm::ArrayRef<llvm::StringRef> names) {
  for (llvm::StringRef name : names)
    if (name != "f32" && name != "bf16")
      return op->emitError() << "'" << name << "' is neither f32 nor bf16";
  return mlir::success();
}

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_FLOATNAMES_H
