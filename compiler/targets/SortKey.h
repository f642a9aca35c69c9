// Integers in place of floats where an order is wanted that all numbers have a place in.

#ifndef MOEC_COMPILER_TARGETS_SORTKEY_H
#define MOEC_COMPILER_TARGETS_SORTKEY_H

#include "compiler/targets/KernelBuilder.h"

namespace moec {

/// The integer, i32, that orders as the f32 `number` does, scalar or vector: zeros are equal, all
/// NaNs are equal and the largest. There is an integer below and one above all keys.
mlir::Value emitSortKey(KernelBuilder &kernel, mlir::Value number);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_SORTKEY_H
