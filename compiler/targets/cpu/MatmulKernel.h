// Products of rows of activations with a weight matrix, as register tiles: the API for both weight
// layouts.
//
// Sums are f32, but of integers those within a group of quantised weights are too, and exact. The
// order in which a sum over K is taken depends on K, the element types and the CPU level alone,
// never on how many rows there are or which of them a row is, so a row's result is the same bits in
// every batch. Of floats it is the sum over the first half of K, in order, plus that over the
// second, with quantised weights group by group; of integers that of the groups in order. Where
// matrix registers multiply bf16, it is that of the products of every 32 of K in order, each what
// one instruction adds, and then of what is left of K, pair by pair; one row is multiplied by them
// as many are.

#ifndef MOEC_COMPILER_TARGETS_CPU_MATMULKERNEL_H
#define MOEC_COMPILER_TARGETS_CPU_MATMULKERNEL_H

#include "compiler/analysis/PackedWeights.h"
#include "compiler/targets/cpu/CpuKernelBuilder.h"

namespace moec {

/// The left operand: `count` rows of f32, bf16, or i8 as lm.quantize makes them. Row r begins
/// `indices[r] * stride` elements after `base` (r * stride where there are no indices).
struct ActivationRows {
  mlir::Value base;         ///< !llvm.ptr
  mlir::Type element;       ///< f32, bf16 or i8
  mlir::Value stride;       ///< i64, elements
  mlir::Value count;        ///< i64, may be 0
  mlir::Value indices = {}; ///< !llvm.ptr to `count` x i32; null where rows are adjacent
};

/// A panel: some adjacent columns of a weight of N columns (rows of the stored tensor) and depth K,
/// all of K. In layout `panels` f32 are [K][width], 16-bit elements [ceil(K/2)][width][2], a
/// missing last K zero, quantised elements as runtime/core/Quantization.h has them; in `rows` they
/// are as stored, [N][K], at any address.
struct PanelShape {
  mlir::Type element; ///< f32, bf16, f16 or quantised
  int64_t depth;      ///< K
  int64_t width;      ///< a multiple of 16; in memory where packed
  int64_t columns;    ///< those that exist: more than width - 16, at most width
  lm::Layout layout = lm::Layout::Panels;
};

/// Takes the sums of 16 columns of one row: `row` and `column` (i64) count within the rows given
/// and within the panel, the first `lanes` (1 to 16) of each vector are columns that exist, and
/// sums[i] is the product with panel i.
using MatmulEpilogue = llvm::function_ref<void(mlir::Value row, mlir::Value column, int64_t lanes,
                                               llvm::ArrayRef<mlir::Value> sums)>;

/// A number (f32) that all sums of one row are multiplied by.
using MatmulRowFactor = llvm::function_ref<mlir::Value(mlir::Value row)>;

/// Emits the products of `rows` with one or more panels of the same shape (gate and up; query, key
/// and value), each of whose sums the epilogue gets together, times the row's factor, if any.
/// Emission calls the epilogue once per place in the code, so it must not carry state from one call
/// to the next. The arithmetic is in a function of the module that all products of the same types
/// share.
void emitPanelProduct(CpuKernelBuilder &kernel, const ActivationRows &rows, const PanelShape &shape,
                      llvm::ArrayRef<mlir::Value> panels, MatmulEpilogue epilogue,
                      MatmulRowFactor factor = nullptr);

/// Calls body(address of the panel in each matrix, its first column as i64, its shape) for the
/// panels [begin, end) of matrices of `columns` x `depth`: once in a loop over full panels, once
/// for the narrower last panel if there is one.
void emitPanels(CpuKernelBuilder &kernel, mlir::Type element, int64_t depth, int64_t columns,
                llvm::ArrayRef<mlir::Value> matrices, mlir::Value begin, mlir::Value end,
                llvm::function_ref<void(llvm::ArrayRef<mlir::Value> panels, mlir::Value column,
                                        const PanelShape &shape)>
                    body,
                lm::Layout layout = lm::Layout::Panels);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_MATMULKERNEL_H
