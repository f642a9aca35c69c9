// Keys and values from all over a cache that is held row by row, laid out as attention takes them.

#ifndef MOEC_COMPILER_TARGETS_CPU_GATHEREDKEYS_H
#define MOEC_COMPILER_TARGETS_CPU_GATHEREDKEYS_H

#include "compiler/targets/cpu/CpuKernelBuilder.h"

namespace moec {

/// Turns kLanes vectors into those of their first lanes, of their second lanes, and so on.
void emitTranspose(CpuKernelBuilder &kernel, llvm::SmallVectorImpl<mlir::Value> &vectors);

/// Lays out the columns [begin, end) of kLanes rows, the first at !llvm.ptr each, of `element`, as
/// f32. `begin` is a multiple of kLanes.
///
/// Where `keys` is not null, as a panel of keys: column c of the rows is the vector number c at
/// `keys`. Where `values` is not null, as part of panels of values: kLanes columns of row r are
/// vector number `(c / kLanes) * block + r` at `values`, for c the first of them; what is behind
/// `end` in the last is zero.
void emitGatheredColumns(CpuKernelBuilder &kernel, mlir::Type element,
                         llvm::ArrayRef<mlir::Value> rows, int64_t begin, int64_t end,
                         mlir::Value keys, mlir::Value values, int64_t block);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_GATHEREDKEYS_H
