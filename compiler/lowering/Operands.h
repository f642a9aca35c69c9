// How lowered code reaches what an op names: rows of a buffer, a weight of the model, the cache,
// the fields of the batch.

#ifndef MOEC_COMPILER_LOWERING_OPERANDS_H
#define MOEC_COMPILER_LOWERING_OPERANDS_H

#include "compiler/targets/KernelBuilder.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <optional>

namespace moec {

/// A buffer of rows: columns are adjacent, rows `stride` elements apart.
struct RowBuffer {
  mlir::Value base; ///< !llvm.ptr to row 0
  mlir::Type element;
  mlir::Value stride; ///< i64, elements
  mlir::Value rows;   ///< i64
  int64_t columns;

  mlir::Value row(KernelBuilder &kernel, mlir::Value index) const {
    return kernel.address(base, element, kernel.mul(index, stride));
  }
};

/// A memref of rank 1 (one column a row) or 2, whose innermost stride is one.
RowBuffer rowBuffer(KernelBuilder &kernel, mlir::Value memref);

/// One matrix (or vector: one row) of a weight.
struct Matrix {
  mlir::Value base; ///< !llvm.ptr
  lm::Layout layout;
  mlir::Type element; ///< in memory
  int64_t rows, columns;

  int64_t bytes() const;
};

/// The matrix that `weight` (a handle made by lm.load_weight, or a memref) holds, of `expert` (i64)
/// where it has experts.
Matrix matrixOf(KernelBuilder &kernel, mlir::Value weight, mlir::Value expert = {});

/// The vector `weight`, if it is not null, of `expert` (i64) where it has experts.
std::optional<Matrix> vectorOf(KernelBuilder &kernel, mlir::Value weight, mlir::Value expert = {});

/// Elements [column, column + lanes) of row `row` (i64) of a matrix, as f32; for tables and
/// vectors, not for products.
mlir::Value matrixLanes(KernelBuilder &kernel, const Matrix &matrix, mlir::Value row,
                        mlir::Value column, int64_t lanes);

/// Entries [first, first + lanes) of a matrix of one column, as f32.
mlir::Value columnLanes(KernelBuilder &kernel, const Matrix &matrix, mlir::Value first,
                        int64_t lanes);

/// One element as f32; plain and slow.
mlir::Value matrixElement(KernelBuilder &kernel, const Matrix &matrix, mlir::Value row,
                          mlir::Value column);

/// The batch argument of the function that holds the insertion point, as a pointer to
/// moec_step_arguments.
mlir::Value batchPointer(KernelBuilder &kernel);

/// A field of moec_step_arguments.
mlir::Value batchField(KernelBuilder &kernel, uint64_t offset, mlir::Type type);

/// Entry `index` (i64) of a constant table, as i64.
mlir::Value tableEntry(KernelBuilder &kernel, llvm::ArrayRef<int64_t> table, mlir::Value index);

/// How the blocks of a cache lie in memory: [layer][head] of keys and, but for a latent cache, of
/// values, each in panels as AttentionShape has them.
struct CacheLayout {
  explicit CacheLayout(lm::CacheOp cache);

  mlir::Type element;
  int64_t heads, size, values, block, window, chunk, layers;
  bool latent;  ///< values are the first elements of keys
  bool rows;    ///< keys, and values, are [block][size] instead
  bool indexed; ///< as well
  int64_t elementBytes;
  int64_t keyDepth;   ///< size, even where elements have 16 bits; in rows as values
  int64_t valueWidth; ///< values rounded up to whole vectors

  int64_t keyBytes() const { return keyDepth * block * elementBytes; }
  int64_t headBytes() const {
    return keyBytes() + (latent ? 0 : block * valueWidth * elementBytes);
  }
  int64_t blockBytes() const { return layers * heads * headBytes(); }
};

/// The cache of a layer at work: where its blocks are.
struct CacheView {
  CacheLayout layout;
  mlir::Value blocks; ///< !llvm.ptr to the group's first block, advanced to the layer
  mlir::Value tables; ///< !llvm.ptr to the group's block tables
  mlir::Value stride; ///< i64: entries of a table
};
CacheView cacheView(KernelBuilder &kernel, lm::CacheOp cache, mlir::Value layer);

/// Keys (then values) of `head` (i64) in the block that holds `position` (i64) of `sequence` (i64).
mlir::Value cacheHead(KernelBuilder &kernel, const CacheView &cache, mlir::Value sequence,
                      mlir::Value position, mlir::Value head);

/// Bytes from cacheHead() to element `i` of the key, or of the value, in `slot` (all i64).
mlir::Value keyOffset(KernelBuilder &kernel, const CacheLayout &layout, mlir::Value slot,
                      mlir::Value i);
mlir::Value valueOffset(KernelBuilder &kernel, const CacheLayout &layout, mlir::Value slot,
                        mlir::Value i);

// Small things that row-wise lowerings share.

/// `lanes` f32 values at `column` of a row, whatever the row's element type; and back, rounded.
mlir::Value loadRow(KernelBuilder &kernel, mlir::Type element, mlir::Value row, mlir::Value column,
                    int64_t lanes);
void storeRow(KernelBuilder &kernel, mlir::Value values, mlir::Type element, mlir::Value row,
              mlir::Value column, int64_t lanes);
/// An i32 in memory as i64.
mlir::Value loadId(KernelBuilder &kernel, mlir::Value base, mlir::Value index);
void storeId(KernelBuilder &kernel, mlir::Value id, mlir::Value base, mlir::Value index);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_OPERANDS_H
