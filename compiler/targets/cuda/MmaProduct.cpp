// Products of bf16 with bf16, and the choice among kinds of matrices.

#include "compiler/targets/cuda/MmaProduct.h"
#include "compiler/targets/cuda/MmaKernel.h"

using namespace mlir;
using namespace moec;

/// Of a column or row in a stage.
static constexpr int64_t kStageRowBytes = kStageDepth * 2;
static constexpr int64_t kCopiesPerRow = kStageRowBytes / kCopyBytes;
static constexpr int64_t kCopyDepth = kCopyBytes / 2;

static int64_t bf16StageBytes(const MmaTile &tile) {
  return (tile.columns(1) + tile.rows) * kStageRowBytes;
}

int64_t moec::mmaSharedBytes(const MmaTile &tile, int64_t matrices, MmaKind kind,
                             std::optional<QuantFormat> format) {
  int64_t stage = 0;
  switch (kind) {
  case MmaKind::Floats:
    stage = bf16StageBytes(tile);
    break;
  case MmaKind::FloatCodes:
    stage = floatCodesStageBytes(tile, *format);
    break;
  case MmaKind::IntegerCodes:
    stage = integerCodesStageBytes(tile, *format);
    break;
  }
  const int64_t sums = matrices * tile.rows * (tile.columns(matrices) + kSumsPadding) * 4;
  return std::max(tile.stages * stage, sums);
}

namespace {

class Bf16Kernel final : public MmaKernel {
public:
  using MmaKernel::MmaKernel;

private:
  int64_t stageDepth() const override { return kStageDepth; }
  int64_t stageBytes() const override { return bf16StageBytes(tile); }
  void findSources() override;
  void copyStage(Value step, Value stage) override;
  Values multiplyStage(Value stage, ValueRange sums) override;

  int64_t rowsPerPass() const { return threads() / kCopiesPerRow; }
  Value planesOf(Value stage) { return sharedAt(stage, tile.columns(1) * kStageRowBytes); }

  /// Where a thread's copies of a row of a matrix come from, and how many bytes they bring (i32;
  /// null: all).
  struct Source {
    Value from, bytes;
  };
  SmallVector<Source> sources; ///< of each pass of copies
};

} // namespace

/// A pass copies a row of a stage by each 8 threads.
void Bf16Kernel::findSources() {
  Value own = kernel.div(thread, kernel.integer(kCopiesPerRow));
  for (const MmaMatrix &matrix : matrices)
    for (int64_t column = 0; column < width; column += rowsPerPass()) {
      Value at = kernel.add(first, kernel.add(own, kernel.integer(column)));
      Source &source = sources.emplace_back();
      if (matrix.columns % width != 0) {
        Value isColumn =
            kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(matrix.columns));
        source.bytes = presentIf(isColumn, {});
        at = kernel.min(at, kernel.integer(matrix.columns - 1));
      }
      source.from =
          kernel.addressBytes(matrix.base, kernel.mul(at, kernel.integer(matrix.depth * 2)));
    }
  findBf16Rows();
}

void Bf16Kernel::copyStage(Value step, Value stage) {
  Value row = kernel.div(thread, kernel.integer(kCopiesPerRow)),
        chunk = kernel.rem(thread, kernel.integer(kCopiesPerRow));
  Value to = sharedAt(stage, placeIn(kStageRowBytes, row, chunk));
  Value from = kernel.mul(step, kernel.integer(kStageDepth));
  Value at = kernel.add(from, kernel.mul(chunk, kernel.integer(kCopyDepth)));
  Value isInside; // of K; null where all is
  if (depth % kStageDepth != 0) {
    isInside = kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(depth));
    at = kernel.select(isInside, at, kernel.integer(0));
  }
  for (auto [pass, source] : llvm::enumerate(sources))
    copy(sharedAt(to, static_cast<int64_t>(pass) * rowsPerPass() * kStageRowBytes),
         kernel.address(source.from, kernel.bf16(), at), presentIf(isInside, source.bytes));
  copyBf16Rows(planesOf(stage), from, 1);
}

MmaKernel::Values Bf16Kernel::multiplyStage(Value stage, ValueRange sums) {
  Values after(sums);
  Value laneRow = kernel.rem(lane, kernel.integer(kMmaColumns)),
        laneChunk = kernel.div(lane, kernel.integer(kMmaColumns));
  for (int64_t step = 0; step < kStageDepth / kMmaDepth; ++step) {
    Values activations = loadBf16Rows(planesOf(stage), step);
    Value chunk = kernel.add(kernel.integer(2 * step), laneChunk);
    for (int64_t part = 0; part < tile.columnTiles; ++part) {
      Value column = kernel.add(columnOf(part), laneRow);
      Values weights = loadFragments(sharedAt(stage, placeIn(kStageRowBytes, column, chunk)), 4);
      for (int64_t row = 0; row < rowTiles(); ++row)
        multiply(weights, ArrayRef(activations).slice(static_cast<size_t>(2 * row), 2),
                 MutableArrayRef(after).slice(sumsAt(part, row), 4));
    }
  }
  return after;
}

void moec::emitMmaProduct(ThreadBuilder &kernel, const MmaTile &tile, const MmaRows &rows,
                          ArrayRef<MmaMatrix> matrices, Value first, Value shared,
                          MmaFinish finish) {
  const MmaOperands operands{tile, rows, matrices, first, shared};
  switch (mmaKindOf(matrices.front().format, rows.integers)) {
  case MmaKind::Floats:
    return Bf16Kernel(kernel, operands).emit(finish);
  case MmaKind::FloatCodes:
    return makeFloatCodesKernel(kernel, operands)->emit(finish);
  case MmaKind::IntegerCodes:
    return makeIntegerCodesKernel(kernel, operands)->emit(finish);
  }
}
