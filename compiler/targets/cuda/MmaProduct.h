// Products by tensor cores: a block of threads makes a tile of columns for a few or many rows.

#ifndef MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H
#define MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H

#include "compiler/analysis/WarpTiles.h"
#include "compiler/targets/cuda/ThreadBuilder.h"
#include "runtime/core/Quantization.h"

#include <optional>

namespace moec {

/// Rows of activations, K adjacent elements each, at multiples of `alignment` bytes: of bf16, or of
/// integers in blocks as lm.quantize makes them for the matrices' format.
struct MmaRows {
  mlir::Value base;    ///< !llvm.ptr to row 0
  mlir::Value stride;  ///< i64: elements from one row to the next
  mlir::Value count;   ///< i64, of the tile: 1 to the tile's rows
  mlir::Value indices; ///< !llvm.ptr to the rows' numbers (i32), or null where they are 0, 1, ...
  bool integers = false;
  int64_t alignment = 16; ///< 16, or of integers 8
};

/// A matrix at a multiple of 16 bytes: of bf16, N rows of K adjacent elements, K a multiple of 8;
/// or codes of a format in bands (BandLayout.h).
struct MmaMatrix {
  mlir::Value base; ///< !llvm.ptr
  int64_t columns;  ///< N, as the product has them
  int64_t depth;    ///< K
  std::optional<QuantFormat> format = std::nullopt;
};

/// What becomes of the sums of one row and one column (both i64; the row counts in the tile, the
/// column in the matrix), f32, one of each matrix. Each thread calls it for other elements.
using MmaFinish =
    llvm::function_ref<void(mlir::Value row, mlir::Value column, llvm::ArrayRef<mlir::Value> sums)>;

/// What a product with matrices of a format, or of bf16, is for tensor cores.
constexpr MmaKind mmaKindOf(std::optional<QuantFormat> format, bool integers) {
  return !format ? MmaKind::Floats : integers ? MmaKind::IntegerCodes : MmaKind::FloatCodes;
}

/// Between rows of sums: then the 32 that a warp stores at a time are in as many banks.
inline constexpr int64_t kSumsPadding = 4;

/// Bytes of a block's shared memory that a product with so many matrices takes.
int64_t mmaSharedBytes(const MmaTile &tile, int64_t matrices, MmaKind kind,
                       std::optional<QuantFormat> format);

/// Multiplies the rows with columns [first, first + tile.columns(matrices)) of each of the
/// `matrices`, which have one shape; those that there are not are left out. `shared` (!llvm.ptr<3>)
/// is mmaSharedBytes() of shared memory at a multiple of 128.
///
/// Sums of K go by 16 elements at a time, in ascending order, in tiles of every height: matrices
/// are the first operand of the instruction whatever the number of rows. Codes become, in
/// registers, bf16 elements with the numbers that they stand for: of mxfp4 with their scales, which
/// are powers of two; of fp8 without, so that the sums of a group are multiplied with its scale and
/// added to those of the groups before. With integers codes are multiplied as integers, 32 at a
/// time, and the sums of a group, which are exact, then with the scales of the row's block and of
/// the group, in the order in which kernels of the CPU do it. The tile's threads have to
/// come together, and meet at a barrier before the call returns.
void emitMmaProduct(ThreadBuilder &kernel, const MmaTile &tile, const MmaRows &rows,
                    llvm::ArrayRef<MmaMatrix> matrices, mlir::Value first, mlir::Value shared,
                    MmaFinish finish);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_MMAPRODUCT_H
