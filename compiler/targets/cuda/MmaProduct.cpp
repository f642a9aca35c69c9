// Stages of K come by asynchronous copies while earlier ones are multiplied; sums go through shared
// memory, so that neighbours in a row are stored by neighbouring threads.

#include "compiler/targets/cuda/MmaProduct.h"
#include "compiler/targets/cuda/CudaTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

/// What an asynchronous copy brings, in bytes and elements.
static constexpr int64_t kCopyBytes = 16, kCopyDepth = 8;
static constexpr int64_t kStageRowBytes = kStageDepth * 2;
static constexpr int64_t kCopiesPerRow = kStageRowBytes / kCopyBytes;
/// Between rows of sums: then the 32 that a warp stores at a time are in as many banks.
static constexpr int64_t kSumsPadding = 4;

static int64_t stageBytes(const MmaTile &tile) {
  return (tile.columns(1) + tile.rows) * kStageRowBytes;
}

int64_t moec::mmaSharedBytes(const MmaTile &tile, int64_t matrices) {
  const int64_t sums = matrices * tile.rows * (tile.columns(matrices) + kSumsPadding) * 4;
  return std::max(tile.stages * stageBytes(tile), sums);
}

namespace {

class MmaProduct {
public:
  MmaProduct(ThreadBuilder &kernel, const MmaTile &tile, const MmaRows &rows,
             ArrayRef<MmaMatrix> matrices, Value first, Value shared)
      : kernel(kernel), tile(tile), rows(rows), matrices(matrices), first(first), shared(shared),
        count(static_cast<int64_t>(matrices.size())), width(tile.columns(count)),
        depth(matrices.front().depth), steps((depth + kStageDepth - 1) / kStageDepth),
        thread(kernel.thread()), warp(kernel.warp()), lane(kernel.lane()) {}

  void emit(MmaFinish finish);

private:
  int64_t threads() const { return tile.warps * kWarpLanes; }
  int64_t columnTiles() const { return tile.columnTiles / count; } ///< of a warp and a matrix
  int64_t rowTiles() const { return tile.rows / kMmaRows; }

  /// Where a thread's copies of a row come from, and how many bytes they bring (i32; null: all).
  struct Source {
    Value from, bytes;
  };
  void findSources();
  void copyStage(Value step);
  SmallVector<Value> multiplyStage(Value step, ValueRange sums);
  SmallVector<Value> loadFragments(Value stage, Value row, Value chunk, int64_t number);
  void multiply(ArrayRef<Value> weights, ArrayRef<Value> activations, MutableArrayRef<Value> sums);
  void storeSums(ValueRange sums);
  void finishSums(MmaFinish finish);

  Value sharedAt(Value base, Value bytes) {
    return LLVM::GEPOp::create(kernel.builder, kernel.loc, shared.getType(), kernel.i8(), base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value stageAt(Value step) {
    Value stage = kernel.rem(step, kernel.integer(tile.stages));
    return sharedAt(shared, kernel.mul(stage, kernel.integer(stageBytes(tile))));
  }
  /// Byte of a stage where chunk `chunk` of 16 bytes of a row is: in place `chunk` ^ (row % 8), so
  /// that the same chunk of 8 adjacent rows is in as many banks as there are.
  Value placeIn(Value row, Value chunk) {
    Value place = arith::XOrIOp::create(kernel.builder, kernel.loc, chunk,
                                        kernel.rem(row, kernel.integer(8)));
    return kernel.add(kernel.mul(row, kernel.integer(kStageRowBytes)),
                      kernel.mul(place, kernel.integer(kCopyBytes)));
  }
  void wait(int64_t groups) {
    NVVM::CpAsyncWaitGroupOp::create(kernel.builder, kernel.loc, static_cast<uint32_t>(groups));
    kernel.barrier();
  }
  /// Byte of element (row, column) of matrix `matrix`'s sums.
  Value sumAt(int64_t matrix, Value row, Value column) {
    Value place = kernel.add(kernel.integer(matrix * tile.rows), row);
    place = kernel.add(kernel.mul(place, kernel.integer(width + kSumsPadding)), column);
    return sharedAt(shared, kernel.mul(place, kernel.integer(4)));
  }

  ThreadBuilder &kernel;
  const MmaTile &tile;
  const MmaRows &rows;
  const ArrayRef<MmaMatrix> matrices;
  const Value first, shared;
  const int64_t count; ///< of matrices
  const int64_t width; ///< columns of each
  const int64_t depth, steps;
  const Value thread, warp, lane;
  SmallVector<Source> sources; ///< of each pass of copies: matrices, then rows
};

} // namespace

/// A pass copies a row of a stage by each 8 threads.
void MmaProduct::findSources() {
  Value own = kernel.div(thread, kernel.integer(kCopiesPerRow));
  const int64_t rowsPerPass = threads() / kCopiesPerRow;
  Value none = kernel.integer(kernel.i32(), 0), all = kernel.integer(kernel.i32(), kCopyBytes);
  for (const MmaMatrix &matrix : matrices)
    for (int64_t column = 0; column < width; column += rowsPerPass) {
      Value at = kernel.add(first, kernel.add(own, kernel.integer(column)));
      Source &source = sources.emplace_back();
      if (matrix.columns % width != 0) {
        Value isColumn =
            kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(matrix.columns));
        source.bytes = kernel.select(isColumn, all, none);
        at = kernel.min(at, kernel.integer(matrix.columns - 1));
      }
      source.from =
          kernel.addressBytes(matrix.base, kernel.mul(at, kernel.integer(matrix.depth * 2)));
    }
  for (int64_t row = 0; row < tile.rows; row += rowsPerPass) {
    Value at = kernel.add(own, kernel.integer(row));
    Value isRow = kernel.compare(arith::CmpIPredicate::slt, at, rows.count);
    at = kernel.select(isRow, at, kernel.integer(0));
    if (rows.indices) {
      Value index = kernel.load(kernel.i32(), kernel.address(rows.indices, kernel.i32(), at));
      at = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), index);
    }
    sources.push_back({kernel.address(rows.base, kernel.bf16(), kernel.mul(at, rows.stride)),
                       kernel.select(isRow, all, none)});
  }
}

/// Puts 64 elements of K of all rows into the stage of `step`.
void MmaProduct::copyStage(Value step) {
  const int64_t rowsPerPass = threads() / kCopiesPerRow;
  Value row = kernel.div(thread, kernel.integer(kCopiesPerRow)),
        chunk = kernel.rem(thread, kernel.integer(kCopiesPerRow)), stage = stageAt(step);
  Value to = placeIn(row, chunk);
  Value at = kernel.add(kernel.mul(step, kernel.integer(kStageDepth)),
                        kernel.mul(chunk, kernel.integer(kCopyDepth)));
  Value isInside; // of K; null where all is
  if (depth % kStageDepth != 0) {
    isInside = kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(depth));
    at = kernel.select(isInside, at, kernel.integer(0));
  }
  auto copy = [&](const Source &source, int64_t firstRow) {
    Value bytes = source.bytes;
    if (isInside) {
      Value all = bytes ? bytes : kernel.integer(kernel.i32(), kCopyBytes);
      bytes = kernel.select(isInside, all, kernel.integer(kernel.i32(), 0));
    }
    auto global = LLVM::LLVMPointerType::get(kernel.builder.getContext(),
                                             static_cast<unsigned>(NVVM::NVVMMemorySpace::Global));
    Value from = LLVM::AddrSpaceCastOp::create(kernel.builder, kernel.loc, global,
                                               kernel.address(source.from, kernel.bf16(), at));
    Value own = kernel.add(to, kernel.integer(firstRow * kStageRowBytes));
    NVVM::CpAsyncOp::create(kernel.builder, kernel.loc, sharedAt(stage, own), from,
                            static_cast<uint32_t>(kCopyBytes), NVVM::LoadCacheModifierKind::CG,
                            bytes);
  };
  const int64_t allRows = tile.columns(1) + tile.rows;
  for (auto [pass, source] : llvm::enumerate(sources)) {
    const int64_t firstRow = static_cast<int64_t>(pass) * rowsPerPass, left = allRows - firstRow;
    if (left >= rowsPerPass)
      copy(source, firstRow);
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, row, kernel.integer(left)),
                  [&, &source = source] { copy(source, firstRow); });
  }
}

/// `number` matrices of 8 rows and 8 elements of K: what each lane gets of them (i32, two elements
/// each). `row` is that of the stage whose part the lane points to, `chunk` its place in it.
SmallVector<Value> MmaProduct::loadFragments(Value stage, Value row, Value chunk, int64_t number) {
  Value offset = placeIn(row, chunk);
  auto shape = NVVM::LdStMatrixShapeAttr::get(kernel.builder.getContext(), 8, 8);
  Type type = LLVM::LLVMStructType::getLiteral(
      kernel.builder.getContext(), SmallVector<Type>(static_cast<size_t>(number), kernel.i32()));
  Value loaded = NVVM::LdMatrixOp::create(kernel.builder, kernel.loc, type, sharedAt(stage, offset),
                                          static_cast<uint32_t>(number), NVVM::MMALayout::row,
                                          shape, NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> registers;
  for (int64_t i = 0; i < number; ++i)
    registers.push_back(LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, loaded, i));
  return registers;
}

/// Adds the products of a stage to the sums: [matrix][column tile][row tile][4].
SmallVector<Value> MmaProduct::multiplyStage(Value step, ValueRange sums) {
  SmallVector<Value> after(sums);
  Value stage = stageAt(step);
  Value laneRow = kernel.rem(lane, kernel.integer(kMmaColumns)),
        laneChunk = kernel.div(lane, kernel.integer(kMmaColumns));
  // Of two row tiles lanes 0 to 7 and 8 to 15 have the halves of K of the first, the others of the
  // second.
  Value inTile = kernel.rem(lane, kernel.integer(8)),
        half = kernel.rem(kernel.div(lane, kernel.integer(8)), kernel.integer(2));
  const int64_t pair = std::min<int64_t>(rowTiles(), 2);
  for (int64_t k = 0; k < kStageDepth / kMmaDepth; ++k) {
    Value chunk = kernel.integer(2 * k);
    SmallVector<Value> activations; // two registers of each row tile
    for (int64_t first = 0; first < rowTiles(); first += pair) {
      Value row = kernel.add(kernel.integer(tile.columns(1) + first * kMmaRows), inTile);
      if (pair == 2)
        row = kernel.add(row, kernel.mul(laneChunk, kernel.integer(kMmaRows)));
      llvm::append_range(activations, loadFragments(stage, row, kernel.add(chunk, half), 2 * pair));
    }
    for (int64_t part = 0; part < tile.columnTiles; ++part) {
      const int64_t matrix = part / columnTiles(), within = part % columnTiles();
      Value column = kernel.add(kernel.mul(warp, kernel.integer(columnTiles() * kMmaColumns)),
                                kernel.integer(matrix * width + within * kMmaColumns));
      SmallVector<Value> weights =
          loadFragments(stage, kernel.add(column, laneRow), kernel.add(chunk, laneChunk), 4);
      for (int64_t row = 0; row < rowTiles(); ++row)
        multiply(
            weights, ArrayRef(activations).slice(static_cast<size_t>(2 * row), 2),
            MutableArrayRef(after).slice(static_cast<size_t>((part * rowTiles() + row) * 4), 4));
    }
  }
  return after;
}

void MmaProduct::multiply(ArrayRef<Value> weights, ArrayRef<Value> activations,
                          MutableArrayRef<Value> sums) {
  Type type = LLVM::LLVMStructType::getLiteral(kernel.builder.getContext(),
                                               SmallVector<Type>(4, kernel.f32()));
  Value result = NVVM::MmaOp::create(
      kernel.builder, kernel.loc, type, weights, activations, ArrayRef<Value>(sums),
      ArrayRef<int64_t>{kMmaColumns, kMmaRows, kMmaDepth}, std::nullopt, std::nullopt,
      std::array{NVVM::MMATypes::bf16, NVVM::MMATypes::bf16},
      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, result, static_cast<int64_t>(i));
}

/// Lane l has columns l / 4 and 8 more of a column tile, rows 2 (l % 4) and one more of a row tile.
void MmaProduct::storeSums(ValueRange sums) {
  Value laneColumn = kernel.div(lane, kernel.integer(4)),
        laneRow = kernel.mul(kernel.rem(lane, kernel.integer(4)), kernel.integer(2));
  for (auto [i, sum] : llvm::enumerate(sums)) {
    const auto index = static_cast<int64_t>(i);
    const int64_t part = index / 4 / rowTiles(), row = index / 4 % rowTiles();
    const int64_t matrix = part / columnTiles(), within = part % columnTiles();
    Value column = kernel.add(kernel.mul(warp, kernel.integer(columnTiles() * kMmaColumns)),
                              kernel.integer(within * kMmaColumns + index % 4 / 2 * 8));
    Value to = sumAt(matrix, kernel.add(laneRow, kernel.integer(row * kMmaRows + index % 2)),
                     kernel.add(column, laneColumn));
    kernel.store(sum, to);
  }
}

void MmaProduct::finishSums(MmaFinish finish) {
  Value columns = kernel.integer(width);
  kernel.loop(thread, kernel.mul(rows.count, columns), threads(), [&](Value place) {
    Value row = kernel.div(place, columns), within = kernel.rem(place, columns);
    Value column = kernel.add(first, within);
    auto put = [&] {
      SmallVector<Value> sums;
      for (int64_t matrix = 0; matrix < count; ++matrix)
        sums.push_back(kernel.load(kernel.f32(), sumAt(matrix, row, within)));
      finish(row, column, sums);
    };
    const int64_t all = matrices.front().columns;
    if (all % width == 0)
      put();
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, column, kernel.integer(all)), put);
  });
}

void MmaProduct::emit(MmaFinish finish) {
  findSources();
  for (int64_t step = 0; step < tile.stages - 1; ++step) {
    if (step < steps)
      copyStage(kernel.integer(step));
    NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc);
  }
  SmallVector<Value> sums(static_cast<size_t>(tile.columnTiles * rowTiles() * 4),
                          kernel.number(kernel.f32(), 0));
  Value end = kernel.integer(steps);
  sums = kernel.loop(
      kernel.integer(0), end, 1, sums, [&](Value step, ValueRange before) -> SmallVector<Value> {
        wait(tile.stages - 2);
        // All are done with the stage that was at work before.
        Value next = kernel.add(step, kernel.integer(tile.stages - 1));
        kernel.when(kernel.compare(arith::CmpIPredicate::slt, next, end), [&] { copyStage(next); });
        NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc);
        return multiplyStage(step, before);
      });
  wait(0);
  storeSums(sums);
  kernel.barrier();
  finishSums(finish);
  kernel.barrier();
}

void moec::emitMmaProduct(ThreadBuilder &kernel, const MmaTile &tile, const MmaRows &rows,
                          ArrayRef<MmaMatrix> matrices, Value first, Value shared,
                          MmaFinish finish) {
  MmaProduct(kernel, tile, rows, matrices, first, shared).emit(finish);
}
