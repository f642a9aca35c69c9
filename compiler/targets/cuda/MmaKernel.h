// What products by tensor cores have in common, whatever their matrices are of: stages of K in
// shared memory, rows of activations, and what becomes of sums.

#ifndef MOEC_COMPILER_TARGETS_CUDA_MMAKERNEL_H
#define MOEC_COMPILER_TARGETS_CUDA_MMAKERNEL_H

#include "compiler/targets/cuda/CudaTarget.h"
#include "compiler/targets/cuda/MmaProduct.h"

#include <memory>

namespace moec {

/// What an asynchronous copy brings.
inline constexpr int64_t kCopyBytes = 16;

/// What emitMmaProduct() is given.
struct MmaOperands {
  const MmaTile &tile;
  const MmaRows &rows;
  llvm::ArrayRef<MmaMatrix> matrices;
  mlir::Value first, shared;
};

/// Emits a product as emitMmaProduct() has it. Stages of K come by asynchronous copies while
/// earlier ones are multiplied; sums go through shared memory, so that neighbours in a row are
/// stored by neighbouring threads. Kinds of matrices say what a stage is and how it is multiplied.
class MmaKernel {
public:
  MmaKernel(ThreadBuilder &kernel, const MmaOperands &operands);
  virtual ~MmaKernel() = default;

  void emit(MmaFinish finish);

protected:
  using Values = llvm::SmallVector<mlir::Value>;

  // What kinds differ in.
  virtual int64_t stageDepth() const = 0; ///< elements of K
  virtual int64_t stageBytes() const = 0; ///< of shared memory
  virtual mlir::Type sumType() { return kernel.f32(); }
  /// Emits, once, what copies of all stages need.
  virtual void findSources() = 0;
  /// Starts the copies of a stage: `step` (i64) counts stages of K, `stage` is where it goes.
  virtual void copyStage(mlir::Value step, mlir::Value stage) = 0;
  /// Adds the products of a stage to the sums: [matrix][column tile][row tile][4].
  virtual Values multiplyStage(mlir::Value stage, mlir::ValueRange sums) = 0;
  /// What a sum of a row of the tile and a column of a matrix stands for, f32.
  virtual mlir::Value finished(mlir::Value sum, int64_t matrix, mlir::Value row,
                               mlir::Value column) {
    return sum;
  }

  int64_t threads() const { return tile.warps * kWarpLanes; }
  int64_t count() const { return static_cast<int64_t>(matrices.size()); }
  int64_t columnTiles() const { return tile.columnTiles / count(); } ///< of a warp and a matrix
  int64_t rowTiles() const { return tile.rows / kMmaRows; }
  int64_t steps() const { return (depth + stageDepth() - 1) / stageDepth(); }
  /// The sums of a column tile and a row tile.
  size_t sumsAt(int64_t part, int64_t row) const {
    return static_cast<size_t>((part * rowTiles() + row) * 4);
  }
  /// The first of the stage's columns that are the warp's part `part`, of 16; i64.
  mlir::Value columnOf(int64_t part);

  mlir::Value sharedAt(mlir::Value base, mlir::Value bytes);
  mlir::Value sharedAt(mlir::Value base, int64_t bytes) {
    return sharedAt(base, kernel.integer(bytes));
  }
  /// Starts a copy of `bytes` (16 or 8), of which the first `present` (i32; null: all) are there;
  /// the others become zeros.
  void copy(mlir::Value to, mlir::Value from, mlir::Value present, int64_t bytes = kCopyBytes);
  /// `present` where `condition`, else 0; either may be null.
  mlir::Value presentIf(mlir::Value condition, mlir::Value present, int64_t bytes = kCopyBytes);
  /// Byte of chunk `chunk` of 16 bytes of a row, in rows of 128 or 64 bytes, so that the same chunk
  /// of 8 adjacent rows is in as many banks as there are.
  mlir::Value placeIn(int64_t rowBytes, mlir::Value row, mlir::Value chunk);
  /// Row `row` (i64) of the tile in memory, and whether there is one.
  std::pair<mlir::Value, mlir::Value> findRow(mlir::Value row);

  /// `number` matrices of 8 rows and 16 bytes: what each lane gets of them (i32). `at` is where the
  /// row is that the lane points to.
  Values loadFragments(mlir::Value at, int64_t number);
  /// sums += weights x activations, of one instruction.
  void multiply(llvm::ArrayRef<mlir::Value> weights, llvm::ArrayRef<mlir::Value> activations,
                llvm::MutableArrayRef<mlir::Value> sums);
  /// The same of signed bytes, 32 elements of K.
  Values multiplyBytes(llvm::ArrayRef<mlir::Value> weights, llvm::ArrayRef<mlir::Value> activations,
                       llvm::ArrayRef<mlir::Value> sums);

  // Rows of bf16 activations, in planes of 64 elements of K: rows of 128 bytes.
  /// Bytes of a stage that they take.
  int64_t planeBytes() const { return tile.rows * kStageDepth * 2; }
  void findBf16Rows();
  /// Copies `planes` planes to `to`, from element `from` (i64) of K on.
  void copyBf16Rows(mlir::Value to, mlir::Value from, int64_t planes);
  /// Of 16 elements of K, number `step` of a stage whose planes begin at `planes`: two registers of
  /// each row tile.
  Values loadBf16Rows(mlir::Value planes, int64_t step);

  ThreadBuilder &kernel;
  const MmaTile &tile;
  const MmaRows &rows;
  const llvm::ArrayRef<MmaMatrix> matrices;
  const mlir::Value first, shared;
  const int64_t width; ///< columns of each matrix
  const int64_t depth;
  const mlir::Value thread, warp, lane;

private:
  mlir::Value stageAt(mlir::Value step);
  void wait(int64_t groups);
  mlir::Value sumAt(int64_t matrix, mlir::Value row, mlir::Value column);
  void storeSums(mlir::ValueRange sums);
  void finishSums(MmaFinish finish);

  /// Where a thread's copies of a row of activations come from.
  struct RowSource {
    mlir::Value from, isRow;
  };
  llvm::SmallVector<RowSource> rowSources; ///< of each pass of copies
};

/// Of products with codes in bands, bytes of a stage.
int64_t floatCodesStageBytes(const MmaTile &tile, QuantFormat format);
int64_t integerCodesStageBytes(const MmaTile &tile, QuantFormat format);

std::unique_ptr<MmaKernel> makeFloatCodesKernel(ThreadBuilder &kernel, const MmaOperands &operands);
std::unique_ptr<MmaKernel> makeIntegerCodesKernel(ThreadBuilder &kernel,
                                                  const MmaOperands &operands);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_MMAKERNEL_H
