// Lowers the choice of a row's keys to a block of warps. It goes along the positions in runs, each
// a thread's to score, and keeps of what it has and a run the largest, so that room in shared
// memory depends on how many are chosen, not on how many there are.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/SortKey.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/PackedLayout.h"
#include "runtime/core/Step.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <cstddef>
#include <limits>
#include <numeric>

using namespace mlir;
using namespace moec;

using arith::CmpIPredicate;

/// Heads whose products with a key are summed at once, at most, and elements of each read at once.
static constexpr int64_t kHeadsAtOnce = 8, kElementsAtOnce = 4;

namespace {

class BlockChoice {
public:
  BlockChoice(ThreadBuilder &kernel, lm::ChooseKeysOp op, int64_t warps)
      : kernel(kernel), op(op), warps(warps), queries(rowBuffer(kernel, op.getQueries())),
        weights(rowBuffer(kernel, op.getWeights())), out(rowBuffer(kernel, op.getOut())),
        cache(cacheView(kernel, lm::cacheOf(op), op.getLayer())), layout(cache.layout),
        most(out.columns - 1), run(roundUpTo(most, warps * kWarpLanes)), warp(kernel.warp()),
        lane(kernel.lane()), thread(kernel.thread()), keys(kernel.scratch((most + run) * 4)),
        places(kernel.scratch((most + run) * 4)), counts(kernel.scratch(warps * 8)) {}

  void emit(Value row);

private:
  /// Of so many entries or columns of the block, each a thread's.
  void forOwn(Value count, function_ref<void(Value)> body) {
    kernel.loop(thread, count, warps * kWarpLanes, body);
  }
  void addProducts(MutableArrayRef<Value> sums, Value row, Value head, Value place, Value slot,
                   Value first, int64_t elements);
  Value scoreOf(Value row, Value sequence, Value position);

  struct Sums {
    Value before, all;
  };
  Sums sumsOfWarps(Value own);
  Value countAtLeast(Value total, Value least);
  Value findBound(Value total);
  void keepLargest(Value total);

  Value keyAt(Value index) {
    return kernel.load(kernel.i32(), kernel.address(keys, kernel.i32(), index));
  }
  void putEntry(Value index, Value key, Value position) {
    kernel.store(key, kernel.address(keys, kernel.i32(), index));
    storeId(kernel, position, places, index);
  }

  ThreadBuilder &kernel;
  lm::ChooseKeysOp op;
  const int64_t warps;
  const RowBuffer queries, weights, out;
  const CacheView cache;
  const CacheLayout &layout;
  const int64_t most, run;
  const Value warp, lane, thread;
  const Value keys, places; ///< i32 of each entry, positions ascending
  const Value counts;       ///< i64 of each warp
};

} // namespace

/// Adds to the sums of as many heads, from `head` on, the products of `elements` from `first` on.
void BlockChoice::addProducts(MutableArrayRef<Value> sums, Value row, Value head, Value place,
                              Value slot, Value first, int64_t elements) {
  const Type f32 = kernel.f32(), several = VectorType::get(elements, f32);
  SmallVector<Value> key;
  for (int64_t i = 0; i < elements; ++i) {
    Value offset = keyOffset(kernel, layout, slot, kernel.add(first, kernel.integer(i)));
    key.push_back(kernel.widen(kernel.load(layout.element, kernel.addressBytes(place, offset))));
  }
  for (auto [number, sum] : llvm::enumerate(sums)) {
    Value column = kernel.mul(kernel.add(head, kernel.integer(static_cast<int64_t>(number))),
                              kernel.integer(layout.size));
    Value query = kernel.load(
        several, kernel.address(queries.row(kernel, row), f32, kernel.add(column, first)),
        elements * bytesOf(f32));
    for (int64_t i = 0; i < elements; ++i) {
      Value element = LLVM::ExtractElementOp::create(kernel.builder, kernel.loc, query,
                                                     kernel.integer(kernel.i32(), i));
      sum = kernel.fma(element, key[static_cast<size_t>(i)], sum);
    }
  }
}

Value BlockChoice::scoreOf(Value row, Value sequence, Value position) {
  const Type f32 = kernel.f32();
  Value zero = kernel.integer(0), none = kernel.number(f32, 0);
  Value place = cacheHead(kernel, cache, sequence, position, zero),
        slot = kernel.rem(position, kernel.integer(layout.block));
  const int64_t heads = std::gcd(weights.columns, kHeadsAtOnce),
                elements = std::gcd(layout.size, kElementsAtOnce);
  auto addHeads = [&](Value head, ValueRange score) -> SmallVector<Value> {
    auto multiply = [&](Value first, ValueRange now) {
      SmallVector<Value> sums(now);
      addProducts(sums, row, head, place, slot, first, elements);
      return sums;
    };
    SmallVector<Value> dots = kernel.loop(zero, kernel.integer(layout.size), elements,
                                          SmallVector<Value>(heads, none), multiply);
    Value sum = score[0];
    for (auto [number, dot] : llvm::enumerate(dots)) {
      Value column = kernel.add(head, kernel.integer(static_cast<int64_t>(number)));
      Value weight = kernel.load(f32, kernel.address(weights.row(kernel, row), f32, column));
      sum = kernel.fma(weight, kernel.max(none, dot), sum);
    }
    return {sum};
  };
  Value score =
      kernel.loop(zero, kernel.integer(weights.columns), heads, ValueRange{none}, addHeads)[0];
  return kernel.mul(score, kernel.number(f32, op.getScale().convertToFloat()));
}

/// Of what each warp has, an i64 that is the same in all its lanes.
BlockChoice::Sums BlockChoice::sumsOfWarps(Value own) {
  const Type i64 = kernel.i64();
  kernel.barrier(); // those of the last time have been read
  kernel.when(kernel.compare(CmpIPredicate::eq, lane, kernel.integer(0)),
              [&] { kernel.store(own, kernel.address(counts, i64, warp)); });
  kernel.barrier();
  Value none = kernel.integer(0);
  auto add = [&](Value other, ValueRange now) -> SmallVector<Value> {
    Value count = kernel.load(i64, kernel.address(counts, i64, other));
    Value isBefore = kernel.compare(CmpIPredicate::slt, other, warp);
    return {kernel.add(now[0], kernel.select(isBefore, count, none)), kernel.add(now[1], count)};
  };
  auto sums = kernel.loop(none, kernel.integer(warps), 1, ValueRange{none, none}, add);
  return {sums[0], sums[1]};
}

/// How many of the keys of `total` entries are no less than `least`, i32.
Value BlockChoice::countAtLeast(Value total, Value least) {
  Value none = kernel.integer(0), last = kernel.sub(total, kernel.integer(1));
  auto count = [&](Value first, ValueRange now) -> SmallVector<Value> {
    Value index = kernel.add(first, thread);
    Value isEntry = kernel.compare(CmpIPredicate::slt, index, total);
    Value key = keyAt(kernel.min(index, last));
    Value isLarge = kernel.bitAnd(isEntry, kernel.compare(CmpIPredicate::sge, key, least));
    return {kernel.add(now[0], kernel.bitCount(kernel.votes(isLarge)))};
  };
  Value own = kernel.loop(none, total, warps * kWarpLanes, ValueRange{none}, count)[0];
  return sumsOfWarps(own).all;
}

/// The `most`th largest of the keys of more entries: the bits of the largest bound that so many
/// reach, from the highest on.
Value BlockChoice::findBound(Value total) {
  const Type i32 = kernel.i32();
  auto reaches = [&](Value bound) {
    return kernel.compare(CmpIPredicate::sge, countAtLeast(total, bound), kernel.integer(most));
  };
  Value zero = kernel.integer(i32, 0),
        lowest = kernel.integer(i32, std::numeric_limits<int32_t>::min());
  Value start = kernel.select(reaches(zero), zero, lowest);
  auto take = [&](Value step, ValueRange now) -> SmallVector<Value> {
    Value shift = arith::TruncIOp::create(kernel.builder, kernel.loc, i32,
                                          kernel.sub(kernel.integer(30), step));
    Value bit = arith::ShLIOp::create(kernel.builder, kernel.loc, kernel.integer(i32, 1), shift);
    Value bound = kernel.bitOr(now[0], bit);
    return {kernel.select(reaches(bound), bound, now[0])};
  };
  return kernel.loop(kernel.integer(0), kernel.integer(31), 1, ValueRange{start}, take)[0];
}

/// Of more than `most` entries the largest come to the front, in their order; of equal ones the
/// first.
void BlockChoice::keepLargest(Value total) {
  const Type i32 = kernel.i32();
  Value bound = findBound(total), none = kernel.integer(0),
        last = kernel.sub(total, kernel.integer(1));
  Value above = countAtLeast(total, kernel.add(bound, kernel.integer(i32, 1)));
  Value equals = kernel.sub(kernel.integer(most), above);
  // Two counts in one integer: of those above the bound, and of those equal to it.
  constexpr int64_t half = 32;
  Value lowHalf = kernel.integer((int64_t(1) << half) - 1);
  auto countBoth = [&](Value a, Value b) {
    return kernel.add(kernel.bitCount(a), kernel.shiftLeft(kernel.bitCount(b), half));
  };
  auto take = [&](Value first, ValueRange now) -> SmallVector<Value> {
    Value index = kernel.add(first, thread);
    Value isEntry = kernel.compare(CmpIPredicate::slt, index, total);
    Value safe = kernel.min(index, last); // not one that others replace
    Value key = keyAt(safe), position = loadId(kernel, places, safe);
    Value isAbove = kernel.bitAnd(isEntry, kernel.compare(CmpIPredicate::sgt, key, bound)),
          isEqual = kernel.bitAnd(isEntry, kernel.compare(CmpIPredicate::eq, key, bound));
    Value aboves = kernel.votes(isAbove), equalOnes = kernel.votes(isEqual);
    // Behind its barriers all threads have read their entries, which others may now replace.
    const Sums sums = sumsOfWarps(countBoth(aboves, equalOnes));
    Value below = NVVM::LaneMaskLtOp::create(kernel.builder, kernel.loc, i32);
    Value before =
        kernel.add(kernel.add(now[0], sums.before),
                   countBoth(kernel.bitAnd(aboves, below), kernel.bitAnd(equalOnes, below)));
    Value equalsBefore = kernel.shiftRight(before, half);
    Value to = kernel.add(kernel.bitAnd(before, lowHalf), kernel.min(equalsBefore, equals));
    Value isKept = kernel.bitOr(
        isAbove, kernel.bitAnd(isEqual, kernel.compare(CmpIPredicate::slt, equalsBefore, equals)));
    kernel.when(isKept, [&] { putEntry(to, key, position); });
    return {kernel.add(now[0], sums.all)};
  };
  kernel.loop(none, total, warps * kWarpLanes, ValueRange{none}, take);
}

void BlockChoice::emit(Value row) {
  auto ofStep = [&](size_t offset) {
    return loadId(kernel, batchField(kernel, offset, kernel.pointer()), row);
  };
  Value last = ofStep(offsetof(moec_step_arguments, positions)),
        sequence = ofStep(offsetof(moec_step_arguments, row_sequences));
  Value none = kernel.integer(0), one = kernel.integer(1), count = kernel.add(last, one);
  auto takeRun = [&](Value first, ValueRange kept) -> SmallVector<Value> {
    Value added = kernel.min(kernel.sub(count, first), kernel.integer(run)),
          total = kernel.add(kept[0], added);
    kernel.barrier(); // what was kept is in its place, or another row's has been read
    forOwn(added, [&](Value number) {
      Value position = kernel.add(first, number);
      Value key = emitSortKey(kernel, scoreOf(row, sequence, position));
      putEntry(kernel.add(kept[0], number), key, position);
    });
    kernel.barrier();
    Value room = kernel.integer(most);
    kernel.when(kernel.compare(CmpIPredicate::sgt, total, room), [&] { keepLargest(total); });
    return {kernel.min(total, room)};
  };
  Value chosen = kernel.loop(none, count, run, ValueRange{none}, takeRun)[0];
  kernel.barrier();
  Value list = out.row(kernel, row);
  kernel.when(kernel.compare(CmpIPredicate::eq, thread, none),
              [&] { storeId(kernel, chosen, list, none); });
  forOwn(chosen, [&](Value index) {
    storeId(kernel, loadId(kernel, places, index), list, kernel.add(index, one));
  });
}

void moec::lowerChooseKeysByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::ChooseKeysOp op,
                                  const Tile &tile) {
  BlockChoice choice(kernel, op, static_cast<int64_t>(phase.getWarps()));
  auto [begin, end] = tile.rowsOf(kernel, rowBuffer(kernel, op.getOut()));
  kernel.loop(begin, end, 1, [&](Value row) { choice.emit(row); });
}
