// The keys that a row chose, as a list of positions in memory.

#ifndef MOEC_COMPILER_TARGETS_CHOSENKEYS_H
#define MOEC_COMPILER_TARGETS_CHOSENKEYS_H

#include "compiler/targets/KernelBuilder.h"

namespace moec {

/// The positions that a row chose, as lm.choose_keys writes them. What no choice can be is taken
/// for the nearest that can, so that nothing leads out of the cache.
struct ChosenKeys {
  mlir::Value list; ///< !llvm.ptr to i32: how many, then these
  int64_t most;     ///< positions that the list has room for
  mlir::Value last; ///< i64, the row's own position, the last that it may see

  mlir::Value count(KernelBuilder &kernel) const; ///< i64, 1 to `most`
  /// The position in place `index` (i64) of the list, 0 to `last`.
  mlir::Value position(KernelBuilder &kernel, mlir::Value index) const;
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CHOSENKEYS_H
