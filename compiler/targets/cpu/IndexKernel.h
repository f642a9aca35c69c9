// The choice of the positions that a token attends to, by the scores of a small attention of its
// own (the lightning indexer of DeepSeek V3.2).

#ifndef MOEC_COMPILER_TARGETS_CPU_INDEXKERNEL_H
#define MOEC_COMPILER_TARGETS_CPU_INDEXKERNEL_H

#include "compiler/targets/cpu/CpuKernelBuilder.h"

namespace moec {

/// What is known when the kernel is made; see lm.choose_keys. Keys of a block lie in panels as
/// AttentionShape has them.
struct IndexShape {
  mlir::Type element; ///< of keys, f32 or bf16
  int64_t heads, size;
  int64_t block;   ///< tokens of a block, a multiple of 16
  int64_t context; ///< most positions
  int64_t chosen;  ///< most that are chosen
  double scale;
};

/// One token.
struct IndexTile {
  mlir::Value queries;  ///< !llvm.ptr to its row, f32
  mlir::Value weights;  ///< likewise
  mlir::Value position; ///< i64
  mlir::Value out;      ///< !llvm.ptr to i32: how many are chosen, then these
  mlir::Value scratch;  ///< !llvm.ptr to indexScratchBytes(shape), aligned to 64 bytes
  /// Emits the address of the keys of block `number` (i64).
  llvm::function_ref<mlir::Value(mlir::Value number)> block;
};

int64_t indexScratchBytes(const IndexShape &shape);

void emitChooseKeys(CpuKernelBuilder &kernel, const IndexShape &shape, const IndexTile &tile);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_INDEXKERNEL_H
