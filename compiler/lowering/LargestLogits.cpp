// Lowers lm.record_largest: one by one, each the largest of those that come after it.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/SortKey.h"
#include "runtime/core/Step.h"

#include <cstddef>
#include <limits>

using namespace mlir;
using namespace moec;

static constexpr int64_t kLeastKey = std::numeric_limits<int32_t>::min(); ///< that no logit has
static constexpr int64_t kMostColumn = std::numeric_limits<int32_t>::max();
static constexpr int64_t kInfinityKey = 0x7f800000;

namespace {
/// A logit's sort key, and its column from the first of the piece on; both i32.
struct Place {
  Value key, column;
};
} // namespace

/// The largest that comes after `before` of the logits [first, end) of a row; kLeastKey where none
/// does.
static Place nextLargest(KernelBuilder &kernel, Value row, Value first, Value end, Place before) {
  const int64_t lanes = kernel.laneCount();
  const Type words = kernel.lanes(kernel.i32());
  Value last = kernel.sub(end, kernel.integer(1));
  Value size = kernel.broadcast(
      arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), kernel.sub(end, first)));
  Value beforeKey = kernel.broadcast(before.key), beforeColumn = kernel.broadcast(before.column);
  auto take = [&](Value from, ValueRange best) -> SmallVector<Value> {
    Value logits = kernel.eachLane(lanes, [&](Value lane) {
      Value column = kernel.min(kernel.add(from, lane), last);
      return kernel.load(kernel.f32(), kernel.address(row, kernel.f32(), column));
    });
    Value numbers = kernel.eachLane(lanes, [&](Value lane) -> Value {
      return arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(),
                                     kernel.add(kernel.sub(from, first), lane));
    });
    Value column = arith::FPToSIOp::create(kernel.builder, kernel.loc, words, numbers);
    Value key = kernel.min(emitSortKey(kernel, logits), kernel.integer(words, kInfinityKey));
    auto is = [&](arith::CmpIPredicate how, Value a, Value b) { return kernel.compare(how, a, b); };
    Value isAfter =
        kernel.bitOr(is(arith::CmpIPredicate::slt, key, beforeKey),
                     kernel.bitAnd(is(arith::CmpIPredicate::eq, key, beforeKey),
                                   is(arith::CmpIPredicate::sgt, column, beforeColumn)));
    // Columns ascend, so that of equals the first stays.
    Value isBetter = kernel.bitAnd(is(arith::CmpIPredicate::slt, column, size),
                                   is(arith::CmpIPredicate::sgt, key, best[0]));
    Value isTaken = kernel.bitAnd(isAfter, isBetter);
    return {kernel.select(isTaken, key, best[0]), kernel.select(isTaken, column, best[1])};
  };
  Value none = kernel.integer(words, kMostColumn), zero = kernel.integer(words, 0);
  auto best =
      kernel.loop(first, end, lanes, ValueRange{kernel.integer(words, kLeastKey), none}, take);
  Value key = kernel.maxOfLanes(best[0]);
  Value isBest = kernel.compare(arith::CmpIPredicate::eq, best[0], kernel.broadcast(key));
  Value least = kernel.maxOfLanes(kernel.sub(zero, kernel.select(isBest, best[1], none)));
  return {key, kernel.sub(kernel.integer(kernel.i32(), 0), least)};
}

void moec::emitLargest(KernelBuilder &kernel, Value row, Value first, Value end, int64_t count,
                       Value out) {
  const Type i32 = kernel.i32();
  Value start[] = {kernel.integer(i32, std::numeric_limits<int32_t>::max()),
                   kernel.integer(i32, -1)};
  auto record = [&](Value number, ValueRange before) -> SmallVector<Value> {
    const Place place = nextLargest(kernel, row, first, end, {before[0], before[1]});
    Value isThere =
        kernel.compare(arith::CmpIPredicate::ne, place.key, kernel.integer(i32, kLeastKey));
    Value column = kernel.add(
        first, arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), place.column));
    Value from = kernel.select(isThere, column, first);
    Value logit = kernel.load(kernel.f32(), kernel.address(row, kernel.f32(), from));
    Value to = kernel.addressBytes(
        out, kernel.mul(number, kernel.integer(static_cast<int64_t>(sizeof(moec_largest)))));
    storeId(kernel, kernel.select(isThere, column, kernel.integer(-1)),
            kernel.address(to, offsetof(moec_largest, id)), kernel.integer(0));
    kernel.store(logit, kernel.address(to, offsetof(moec_largest, logit)));
    return {place.key, place.column};
  };
  kernel.loop(kernel.integer(0), kernel.integer(count), 1, ValueRange(start), record);
}

void moec::lowerRecordLargest(KernelBuilder &kernel, lm::RecordLargestOp op, const Tile &tile) {
  RowBuffer logits = rowBuffer(kernel, op.getLogits());
  const auto count = static_cast<int64_t>(op.getCount());
  Value size = kernel.integer(static_cast<int64_t>(op.getPiece()));
  Value out = batchField(kernel, offsetof(moec_step_arguments, largest), kernel.pointer());
  Value null = LLVM::ZeroOp::create(kernel.builder, kernel.loc, kernel.pointer());
  auto recordPiece = [&](Value index) {
    auto [row, piece] = Tile{index, tile.rows}.split(kernel, op.pieces());
    Value first = kernel.mul(piece, size);
    Value end = kernel.min(kernel.add(first, size), kernel.integer(logits.columns));
    Value bytes = kernel.integer(count * static_cast<int64_t>(sizeof(moec_largest)));
    emitLargest(kernel, logits.row(kernel, row), first, end, count,
                kernel.addressBytes(out, kernel.mul(index, bytes)));
  };
  Value isWanted =
      LLVM::ICmpOp::create(kernel.builder, kernel.loc, LLVM::ICmpPredicate::ne, out, null);
  kernel.when(isWanted, [&] {
    if (tile.rows > 0)
      return recordPiece(tile.index);
    kernel.loop(kernel.integer(0), kernel.mul(logits.rows, kernel.integer(op.pieces())), 1,
                [&](Value index) { recordPiece(index); });
  });
}
