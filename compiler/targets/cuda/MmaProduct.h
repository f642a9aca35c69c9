// Products by tensor cores: a block of threads makes a tile of columns for a few or many rows.

#ifndef MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H
#define MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H

#include "compiler/analysis/WarpTiles.h"
#include "compiler/targets/cuda/ThreadBuilder.h"

namespace moec {

/// Rows of bf16 activations, K adjacent elements each, at multiples of 16 bytes.
struct MmaRows {
  mlir::Value base;    ///< !llvm.ptr to row 0
  mlir::Value stride;  ///< i64: elements from one row to the next
  mlir::Value count;   ///< i64, of the tile: 1 to the tile's rows
  mlir::Value indices; ///< !llvm.ptr to the rows' numbers (i32), or null where they are 0, 1, ...
};

/// A bf16 matrix of N rows of K adjacent elements, at a multiple of 16 bytes.
struct MmaMatrix {
  mlir::Value base; ///< !llvm.ptr
  int64_t columns;  ///< N, as the product has them
  int64_t depth;    ///< K, a multiple of 8
};

/// What becomes of the sums of one row and one column (both i64; the row counts in the tile, the
/// column in the matrix), f32, one of each matrix. Each thread calls it for other elements.
using MmaFinish =
    llvm::function_ref<void(mlir::Value row, mlir::Value column, llvm::ArrayRef<mlir::Value> sums)>;

/// Bytes of a block's shared memory that a product with so many matrices takes.
int64_t mmaSharedBytes(const MmaTile &tile, int64_t matrices);

/// Multiplies the rows with columns [first, first + tile.columns(matrices)) of each of the
/// `matrices`, which have one shape; those that there are not are left out. `shared` (!llvm.ptr<3>)
/// is mmaSharedBytes() of shared memory at a multiple of 128.
///
/// Sums of K go by 16 elements at a time, in ascending order, in tiles of every height: matrices
/// are the first operand of the instruction whatever the number of rows. The tile's threads have to
/// come together, and meet at a barrier before the call returns.
void emitMmaProduct(ThreadBuilder &kernel, const MmaTile &tile, const MmaRows &rows,
                    llvm::ArrayRef<MmaMatrix> matrices, mlir::Value first, mlir::Value shared,
                    MmaFinish finish);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H
