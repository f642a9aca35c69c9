// Stages of matrices of codes: what of their bands is in shared memory, and where.

#ifndef MOEC_COMPILER_TARGETS_CUDA_CODESTAGES_H
#define MOEC_COMPILER_TARGETS_CUDA_CODESTAGES_H

#include "compiler/analysis/BandLayout.h"
#include "compiler/targets/cuda/MmaKernel.h"

namespace moec {

/// A stage begins with kCodesDepth elements of K of the tile's columns: the low bits of codes, or
/// all of them, in rows that are swizzled; the other bits; scales and zeros, band by band, where
/// groups are no larger than that.
///
/// Bytes of it, of all columns.
int64_t codesStageBytes(const MmaTile &tile, QuantFormat format);

class CodesKernel : public MmaKernel {
public:
  CodesKernel(ThreadBuilder &kernel, const MmaOperands &operands);

protected:
  int64_t stageDepth() const override { return kCodesDepth; }
  void findCodes();
  void copyCodes(mlir::Value step, mlir::Value stage);

  /// The stage's column (i64) that is the lane's in part `part`, and 8 further on.
  mlir::Value laneColumn(int64_t part, int64_t eight);
  /// Words of the low bits of `number / 2` chunks of 16 bytes from `chunk` on: of each that of the
  /// lane's column, then that of the one 8 further on.
  Values loadCodes(mlir::Value stage, int64_t part, int64_t chunk, int64_t number);
  /// Where the stage has low bits of a column from byte `byte` (i64) of a chunk on, other bits from
  /// byte `byte` on, its scales, its zeros.
  mlir::Value lowAt(mlir::Value stage, mlir::Value column, int64_t chunk, mlir::Value byte);
  mlir::Value highAt(mlir::Value stage, mlir::Value column, int64_t byte);
  mlir::Value scaleAt(mlir::Value stage, mlir::Value column);
  mlir::Value zeroAt(mlir::Value stage, mlir::Value column);
  /// The band of matrix `matrix` that holds column `column` (i64).
  mlir::Value bandOf(int64_t matrix, mlir::Value column);

  const QuantFormat format;

private:
  /// A band of the tile: where a thread's copies come from, and whether it is there (null: it is).
  struct Band {
    mlir::Value low, high, isThere;
  };
  int64_t bandsPerMatrix() const { return width / kBandRows; }
  int64_t rowBytes() const { return bandRowBytes(format, depth); }

  llvm::SmallVector<Band> bands;
  mlir::Value scales, zeros; ///< where the thread's copy of them comes from
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_CODESTAGES_H
