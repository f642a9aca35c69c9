// The innermost step of products with weights whose values are floats, in panels.

#ifndef MOEC_COMPILER_TARGETS_CPU_PANELSTEP_H
#define MOEC_COMPILER_TARGETS_CPU_PANELSTEP_H

#include "compiler/targets/cpu/CpuKernelBuilder.h"

namespace moec {

/// Multiplies what `depth` adjacent columns of K hold: some rows of f32 or bf16 by some vectors of
/// 16 columns. Weights are f32, bf16, f16, or the codes of fp8 or mxfp4, each of which counts as
/// its value by unit().
class PanelStep {
public:
  PanelStep(CpuKernelBuilder &kernel, mlir::Type activation, mlir::Type weight);

  const int64_t depth;           ///< of K: 1, 2 of weights of 16 or 8 bits, 8 of 4 bits
  const int64_t lineBytes;       ///< of a vector's weights
  const int64_t activationBytes; ///< of a row

  /// The value that codes which count as 1 have.
  double unit() const;
  /// Whether rows are to be given with the middle two of every four columns exchanged: the level
  /// multiplies pairs, and those that weights of mxfp4 come in are not of adjacent columns.
  bool exchangesColumns() const;

  /// `sums`, [row][vector], with the products added: `rows` are where each row's activations are,
  /// `weights` where the first vector's are. With `half` the second of K does not exist, and is not
  /// read of the rows.
  llvm::SmallVector<mlir::Value> emit(llvm::ArrayRef<mlir::Value> rows, mlir::Value weights,
                                      llvm::SmallVector<mlir::Value> sums, bool half = false) const;

private:
  bool multipliesPairs() const;
  mlir::Value loadWeights(mlir::Value from) const;
  mlir::Value widenWeights(mlir::Value loaded, int64_t column) const;
  mlir::Value widenFloat4(mlir::Value from, int64_t column) const;
  mlir::Value spreadFloats8(mlir::Value loaded, int64_t column) const;
  llvm::SmallVector<mlir::Value> widenVectors(mlir::Value weights, size_t count,
                                              int64_t column) const;
  mlir::Value pairOfWeights(mlir::Value loaded, int64_t pair) const;
  mlir::Value pairOfFloats4(mlir::Value loaded, int64_t pair) const;
  mlir::Value activationPair(mlir::Value from, bool single) const;
  mlir::Value activationLanes(mlir::Value from, int64_t column, bool single) const;

  CpuKernelBuilder &kernel;
  const mlir::Type activation, weight;
  const bool isFloat8, isFloat4; ///< the weights
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_PANELSTEP_H
