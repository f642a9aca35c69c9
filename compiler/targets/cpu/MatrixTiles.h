// Products by matrix registers, whose tiles are the operands: some rows by some columns at once.

#ifndef MOEC_COMPILER_TARGETS_CPU_MATRIXTILES_H
#define MOEC_COMPILER_TARGETS_CPU_MATRIXTILES_H

#include "compiler/targets/cpu/ProductFunctions.h"

namespace moec {

/// Products over K, or over each of some groups of it, in steps.
struct MatrixOperands {
  mlir::Value rows;             ///< !llvm.ptr to where the first row's activations begin
  mlir::Value weights;          ///< !llvm.ptr to words of 4 bytes, [steps * stepBytes / 4][width]
  mlir::Value sums;             ///< !llvm.ptr to [groups][height][width] x f32 or i32, written
  mlir::Value groups;           ///< i64, at least 1
  mlir::Value rowGroup = {};    ///< i64, bytes from the activations of one group to the next
  mlir::Value weightGroup = {}; ///< of the weights; both may be null where there is one group
  mlir::Value steps;            ///< of a group, i64, at least 1
  int64_t stepBytes;            ///< of a row in a step: 4 for each word of weights, at most 64
  bool integers;                ///< i8 by u8; else bf16
};

/// Multiplies the rows of a product function with its panel. The rows are equally far apart.
class MatrixTiles {
public:
  /// The panel has `vectors` (i64) of 16 columns; of `tile` rows and height count.
  MatrixTiles(CpuKernelBuilder &kernel, const TileOperands &tile, mlir::Value vectors);

  void emit(const MatrixOperands &operands);

  /// Where the first row begins.
  mlir::Value firstRow() const { return first; }

private:
  CpuKernelBuilder &kernel;
  const mlir::Value height, vectors;
  const mlir::Value tiles;     // of rows: 1 or 2
  const mlir::Value tileRows;  // of each
  const mlir::Value first;     // row's address
  const mlir::Value rowStride; // bytes
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_MATRIXTILES_H
