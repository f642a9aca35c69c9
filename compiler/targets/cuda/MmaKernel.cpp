// The pipeline of stages, rows of bf16, and the way of sums through shared memory.

#include "compiler/targets/cuda/MmaKernel.h"
#include "compiler/targets/cuda/MatrixInstructions.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

/// Of a row in a plane of bf16 activations.
static constexpr int64_t kPlaneRowBytes = kStageDepth * 2;
static constexpr int64_t kPlaneRowCopies = kPlaneRowBytes / kCopyBytes;
/// Elements that a copy brings.
static constexpr int64_t kCopyDepth = kCopyBytes / 2;

MmaKernel::MmaKernel(ThreadBuilder &kernel, const MmaOperands &operands)
    : kernel(kernel), tile(operands.tile), rows(operands.rows), matrices(operands.matrices),
      first(operands.first), shared(operands.shared), width(tile.columns(count())),
      depth(matrices.front().depth), thread(kernel.thread()), warp(kernel.warp()),
      lane(kernel.lane()) {}

// Shared memory -----------------------------------------------------------------------------------

Value MmaKernel::sharedAt(Value base, Value bytes) { return moec::sharedAt(kernel, base, bytes); }

Value MmaKernel::stageAt(Value step) {
  Value stage = kernel.rem(step, kernel.integer(tile.stages));
  return sharedAt(shared, kernel.mul(stage, kernel.integer(stageBytes())));
}

Value MmaKernel::placeIn(int64_t rowBytes, Value row, Value chunk) {
  const int64_t chunks = rowBytes / kCopyBytes;
  // Rows of 64 bytes share the banks by twos.
  Value turn = rowBytes == kPlaneRowBytes ? row : kernel.div(row, kernel.integer(2));
  Value place = arith::XOrIOp::create(kernel.builder, kernel.loc, chunk,
                                      kernel.rem(turn, kernel.integer(chunks)));
  return kernel.add(kernel.mul(row, kernel.integer(rowBytes)),
                    kernel.mul(place, kernel.integer(kCopyBytes)));
}

void MmaKernel::copy(Value to, Value from, Value present, int64_t bytes) {
  auto global = LLVM::LLVMPointerType::get(kernel.builder.getContext(),
                                           static_cast<unsigned>(NVVM::NVVMMemorySpace::Global));
  // Only copies of 16 bytes may leave out the first cache.
  const auto cache =
      bytes == kCopyBytes ? NVVM::LoadCacheModifierKind::CG : NVVM::LoadCacheModifierKind::CA;
  NVVM::CpAsyncOp::create(kernel.builder, kernel.loc, to,
                          LLVM::AddrSpaceCastOp::create(kernel.builder, kernel.loc, global, from),
                          static_cast<uint32_t>(bytes), cache, present);
}

Value MmaKernel::presentIf(Value condition, Value present, int64_t bytes) {
  if (!condition)
    return present;
  Value all = present ? present : kernel.integer(kernel.i32(), bytes);
  return kernel.select(condition, all, kernel.integer(kernel.i32(), 0));
}

void MmaKernel::wait(int64_t groups) {
  NVVM::CpAsyncWaitGroupOp::create(kernel.builder, kernel.loc, static_cast<uint32_t>(groups));
  kernel.barrier();
}

MmaKernel::Values MmaKernel::loadFragments(Value at, int64_t number) {
  auto shape = NVVM::LdStMatrixShapeAttr::get(kernel.builder.getContext(), 8, 8);
  Type type = LLVM::LLVMStructType::getLiteral(
      kernel.builder.getContext(), SmallVector<Type>(static_cast<size_t>(number), kernel.i32()));
  Value loaded =
      NVVM::LdMatrixOp::create(kernel.builder, kernel.loc, type, at, static_cast<uint32_t>(number),
                               NVVM::MMALayout::row, shape, NVVM::LdStMatrixEltType::B16);
  Values registers;
  for (int64_t i = 0; i < number; ++i)
    registers.push_back(LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, loaded, i));
  return registers;
}

// Products ----------------------------------------------------------------------------------------

Value MmaKernel::columnOf(int64_t part) {
  const int64_t matrix = part / columnTiles(), within = part % columnTiles();
  return kernel.add(kernel.mul(warp, kernel.integer(columnTiles() * kMmaColumns)),
                    kernel.integer(matrix * width + within * kMmaColumns));
}

void MmaKernel::multiply(ArrayRef<Value> weights, ArrayRef<Value> activations,
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

MmaKernel::Values MmaKernel::multiplyBytes(ArrayRef<Value> weights, ArrayRef<Value> activations,
                                           ArrayRef<Value> sums) {
  Type type = LLVM::LLVMStructType::getLiteral(kernel.builder.getContext(),
                                               SmallVector<Type>(4, kernel.i32()));
  Value result = NVVM::MmaOp::create(kernel.builder, kernel.loc, type, weights, activations, sums,
                                     ArrayRef<int64_t>{kMmaColumns, kMmaRows, 2 * kMmaDepth},
                                     std::nullopt, NVVM::MMAIntOverflow::wrapped,
                                     std::array{NVVM::MMATypes::s8, NVVM::MMATypes::s8},
                                     std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  Values after;
  for (int64_t i = 0; i < 4; ++i)
    after.push_back(LLVM::ExtractValueOp::create(kernel.builder, kernel.loc, result, i));
  return after;
}

// Rows of activations -----------------------------------------------------------------------------

std::pair<Value, Value> MmaKernel::findRow(Value row) {
  Value isRow = kernel.compare(arith::CmpIPredicate::slt, row, rows.count);
  Value at = kernel.select(isRow, row, kernel.integer(0));
  if (rows.indices) {
    Value index = kernel.load(kernel.i32(), kernel.address(rows.indices, kernel.i32(), at));
    at = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), index);
  }
  return {kernel.mul(at, rows.stride), isRow};
}

/// A pass copies a row of a plane by each 8 threads.
void MmaKernel::findBf16Rows() {
  Value own = kernel.div(thread, kernel.integer(kPlaneRowCopies));
  for (int64_t row = 0; row < tile.rows; row += threads() / kPlaneRowCopies) {
    auto [offset, isRow] = findRow(kernel.add(own, kernel.integer(row)));
    rowSources.push_back({kernel.address(rows.base, kernel.bf16(), offset), isRow});
  }
}

void MmaKernel::copyBf16Rows(Value to, Value from, int64_t planes) {
  const int64_t rowsPerPass = threads() / kPlaneRowCopies;
  Value row = kernel.div(thread, kernel.integer(kPlaneRowCopies)),
        chunk = kernel.rem(thread, kernel.integer(kPlaneRowCopies));
  Value place = sharedAt(to, placeIn(kPlaneRowBytes, row, chunk));
  for (int64_t plane = 0; plane < planes; ++plane) {
    Value at = kernel.add(kernel.add(from, kernel.integer(plane * kStageDepth)),
                          kernel.mul(chunk, kernel.integer(kCopyDepth)));
    Value isInside; // of K; null where all is
    if (depth % (planes * kStageDepth) != 0) {
      isInside = kernel.compare(arith::CmpIPredicate::slt, at, kernel.integer(depth));
      at = kernel.select(isInside, at, kernel.integer(0));
    }
    for (auto [pass, source] : llvm::enumerate(rowSources)) {
      const int64_t firstRow = static_cast<int64_t>(pass) * rowsPerPass,
                    left = tile.rows - firstRow;
      auto put = [&, &source = source] {
        copy(sharedAt(place, plane * planeBytes() + firstRow * kPlaneRowBytes),
             kernel.address(source.from, kernel.bf16(), at),
             presentIf(isInside, presentIf(source.isRow, {})));
      };
      if (left >= rowsPerPass)
        put();
      else
        kernel.when(kernel.compare(arith::CmpIPredicate::slt, row, kernel.integer(left)), put);
    }
  }
}

MmaKernel::Values MmaKernel::loadBf16Rows(Value planes, int64_t step) {
  constexpr int64_t kPlaneSteps = kStageDepth / kMmaDepth;
  Value plane = sharedAt(planes, step / kPlaneSteps * planeBytes());
  // Of two row tiles lanes 0 to 7 and 8 to 15 have the halves of K of the first, the others of the
  // second.
  Value inTile = kernel.rem(lane, kernel.integer(8)),
        half = kernel.rem(kernel.div(lane, kernel.integer(8)), kernel.integer(2)),
        second = kernel.div(lane, kernel.integer(16));
  Value chunk = kernel.add(kernel.integer(2 * (step % kPlaneSteps)), half);
  const int64_t pair = std::min<int64_t>(rowTiles(), 2);
  Values registers;
  for (int64_t begin = 0; begin < rowTiles(); begin += pair) {
    Value row = kernel.add(kernel.integer(begin * kMmaRows), inTile);
    if (pair == 2)
      row = kernel.add(row, kernel.mul(second, kernel.integer(kMmaRows)));
    llvm::append_range(
        registers, loadFragments(sharedAt(plane, placeIn(kPlaneRowBytes, row, chunk)), 2 * pair));
  }
  return registers;
}

// Sums --------------------------------------------------------------------------------------------

/// Byte of element (row, column) of matrix `matrix`'s sums.
Value MmaKernel::sumAt(int64_t matrix, Value row, Value column) {
  Value place = kernel.add(kernel.integer(matrix * tile.rows), row);
  place = kernel.add(kernel.mul(place, kernel.integer(width + kSumsPadding)), column);
  return sharedAt(shared, kernel.mul(place, kernel.integer(4)));
}

/// Lane l has columns l / 4 and 8 more of a column tile, rows 2 (l % 4) and one more of a row tile.
void MmaKernel::storeSums(ValueRange sums) {
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

void MmaKernel::finishSums(MmaFinish finish) {
  Value columns = kernel.integer(width);
  kernel.loop(thread, kernel.mul(rows.count, columns), threads(), [&](Value place) {
    Value row = kernel.div(place, columns), within = kernel.rem(place, columns);
    Value column = kernel.add(first, within);
    auto put = [&] {
      Values sums;
      for (int64_t matrix = 0; matrix < count(); ++matrix)
        sums.push_back(
            finished(kernel.load(sumType(), sumAt(matrix, row, within)), matrix, row, column));
      finish(row, column, sums);
    };
    const int64_t all = matrices.front().columns;
    if (all % width == 0)
      put();
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, column, kernel.integer(all)), put);
  });
}

void MmaKernel::emit(MmaFinish finish) {
  findSources();
  for (int64_t step = 0; step < tile.stages - 1; ++step) {
    Value number = kernel.integer(step);
    if (step < steps())
      copyStage(number, stageAt(number));
    NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc);
  }
  Value none = sumType().isInteger() ? kernel.integer(sumType(), 0) : kernel.number(sumType(), 0);
  Values sums(sumsAt(tile.columnTiles, 0), none);
  Value end = kernel.integer(steps());
  sums = kernel.loop(kernel.integer(0), end, 1, sums, [&](Value step, ValueRange before) -> Values {
    wait(tile.stages - 2);
    // All are done with the stage that was at work before.
    Value next = kernel.add(step, kernel.integer(tile.stages - 1));
    kernel.when(kernel.compare(arith::CmpIPredicate::slt, next, end),
                [&] { copyStage(next, stageAt(next)); });
    NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc);
    return multiplyStage(stageAt(step), before);
  });
  wait(0);
  storeSums(sums);
  kernel.barrier();
  finishSums(finish);
  kernel.barrier();
}
