// Lowers attention for the warps of a GPU. A row and head are a block's: its warps go round runs of
// positions, and their lanes are positions where scores are made and columns where values are
// summed; then what they have is put together.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/ChosenKeys.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/PackedLayout.h"
#include "runtime/core/Step.h"

#include <cstddef>
#include <functional>

using namespace mlir;
using namespace moec;

static constexpr double kLowest = -std::numeric_limits<float>::max();

namespace {

/// One row and head at work.
struct RowAttention {
  /// `kernel` has the lanes of a warp, `warps` of which make the block.
  RowAttention(KernelBuilder &kernel, ThreadBuilder &block, int64_t warps, lm::AttentionOp op,
               const Tile &tile);
  void emit();

private:
  Value scoreAt(Value number);
  void addValues(Value first, Value count, Value scale);
  std::pair<Value, Value> attend();
  void join();
  Value place(Value position) { return cacheHead(kernel, cache, sequence, position, keyHead); }
  Value slot(Value position) { return kernel.rem(position, kernel.integer(layout.block)); }

  KernelBuilder &kernel;
  ThreadBuilder &block;
  const int64_t warps;
  lm::AttentionOp op;
  const RowBuffer queries, out;
  const CacheView cache;
  const CacheLayout &layout;
  std::optional<Matrix> sinks;
  Value warp, head, keyHead, sequence, query, result;
  Value begin, end;                       ///< numbers of positions that the row sees
  std::function<Value(Value)> positionOf; ///< of a number
  Value weights, sums;                    ///< of as many positions as lanes; of all columns
  /// Of all warps, f32: what the largest score was, the sum of what the others are beside it, and
  /// the sums.
  Value peaks, totals, allSums;
};

} // namespace

RowAttention::RowAttention(KernelBuilder &kernel, ThreadBuilder &block, int64_t warps,
                           lm::AttentionOp op, const Tile &tile)
    : kernel(kernel), block(block), warps(warps), op(op),
      queries(rowBuffer(kernel, op.getQueries())), out(rowBuffer(kernel, op.getOut())),
      cache(cacheView(kernel, lm::cacheOf(op), op.getLayer())), layout(cache.layout),
      sinks(vectorOf(kernel, op.getSinks())) {
  const int64_t heads = queries.columns / layout.size;
  Value row = kernel.div(tile.index, kernel.integer(heads));
  head = kernel.rem(tile.index, kernel.integer(heads));
  keyHead = kernel.div(head, kernel.integer(heads / layout.heads));
  Value positions = batchField(kernel, offsetof(moec_step_arguments, positions), kernel.pointer());
  Value sequences =
      batchField(kernel, offsetof(moec_step_arguments, row_sequences), kernel.pointer());
  Value position = loadId(kernel, positions, row);
  sequence = loadId(kernel, sequences, row);
  query = kernel.address(queries.row(kernel, row), queries.element,
                         kernel.mul(head, kernel.integer(layout.size)));
  result = kernel.address(out.row(kernel, row), out.element,
                          kernel.mul(head, kernel.integer(layout.values)));
  begin = kernel.integer(0);
  end = kernel.add(position, kernel.integer(1));
  positionOf = [](Value number) { return number; };
  if (op.getChosen()) {
    RowBuffer lists = rowBuffer(kernel, op.getChosen());
    ChosenKeys chosen{lists.row(kernel, row), lists.columns - 1, position};
    end = chosen.count(kernel);
    positionOf = [&kernel, chosen](Value number) { return chosen.position(kernel, number); };
  } else if (layout.window > 0) {
    begin = kernel.max(begin, kernel.sub(end, kernel.integer(layout.window)));
  } else if (layout.chunk > 0) {
    begin = kernel.sub(position, kernel.rem(position, kernel.integer(layout.chunk)));
  }
  warp = block.warp();
  auto ownOf = [&](Value room, int64_t entries) {
    return kernel.address(room, kernel.f32(), kernel.mul(warp, kernel.integer(entries)));
  };
  peaks = kernel.scratch(warps * 4);
  totals = kernel.scratch(warps * 4);
  allSums = kernel.scratch(warps * layout.values * 4);
  weights = ownOf(kernel.scratch(warps * kernel.laneCount() * 4), kernel.laneCount());
  sums = ownOf(allSums, layout.values);
}

/// Of the position with this number, in a lane of its own.
Value RowAttention::scoreAt(Value number) {
  Value position = positionOf(number);
  Value keys = place(position), at = slot(position);
  auto multiply = [&](Value i, ValueRange sum) -> SmallVector<Value> {
    Value q = kernel.widen(kernel.load(queries.element, kernel.address(query, queries.element, i)));
    Value k = kernel.widen(
        kernel.load(layout.element, kernel.addressBytes(keys, keyOffset(kernel, layout, at, i))));
    return {kernel.fma(q, k, sum[0])};
  };
  Value sum = kernel.loop(kernel.integer(0), kernel.integer(layout.size), 1,
                          ValueRange{kernel.number(kernel.f32(), 0)}, multiply)[0];
  return kernel.mul(sum, kernel.number(kernel.f32(), op.getScale().convertToFloat()));
}

/// The sums become `scale` times what they were, and the values of `count` positions from number
/// `first` on are added, weighed.
void RowAttention::addValues(Value first, Value count, Value scale) {
  kernel.forColumns(layout.values, [&](Value column, int64_t lanes) {
    Value to = kernel.address(sums, kernel.f32(), column);
    Value sum = kernel.mul(kernel.loadLanes(kernel.f32(), to, lanes), kernel.broadcast(scale));
    auto add = [&](Value i, ValueRange now) -> SmallVector<Value> {
      Value weight = kernel.load(kernel.f32(), kernel.address(weights, kernel.f32(), i));
      Value position = positionOf(kernel.add(first, i));
      Value values = place(position), at = slot(position);
      Value v = kernel.eachLane(lanes, [&](Value lane) {
        Value offset = valueOffset(kernel, layout, at, kernel.add(column, lane));
        return kernel.widen(kernel.load(layout.element, kernel.addressBytes(values, offset)));
      });
      return {kernel.fma(kernel.broadcast(weight), v, now[0])};
    };
    sum = kernel.loop(kernel.integer(0), count, 1, ValueRange{sum}, add)[0];
    kernel.storeLanes(sum, to, lanes);
  });
}

/// What the warp's own positions come to: peak and total.
std::pair<Value, Value> RowAttention::attend() {
  const Type f32 = kernel.f32();
  const int64_t lanes = kernel.laneCount();
  Value peak = kernel.number(f32, kLowest), total = kernel.number(f32, 0);
  if (sinks) { // a sink's share of the softmax weighs no value
    Value isFirst = kernel.compare(arith::CmpIPredicate::eq, warp, kernel.integer(0));
    peak = kernel.select(isFirst, matrixElement(kernel, *sinks, kernel.integer(0), head), peak);
    total = kernel.select(isFirst, kernel.number(f32, 1), total);
  }
  kernel.forColumns(layout.values, [&](Value column, int64_t lanes) {
    kernel.storeLanes(kernel.number(kernel.lanes(f32), 0), kernel.address(sums, f32, column),
                      lanes);
  });
  auto take = [&](Value first, ValueRange now) -> SmallVector<Value> {
    Value count = kernel.min(kernel.sub(end, first), kernel.integer(lanes));
    Value last = kernel.sub(end, kernel.integer(1)), lowest = kernel.number(f32, kLowest);
    Value scores = kernel.eachLane(lanes, [&](Value lane) {
      Value number = kernel.add(first, lane);
      Value isSeen = kernel.compare(arith::CmpIPredicate::slt, number, end);
      return kernel.select(isSeen, scoreAt(kernel.min(number, last)), lowest);
    });
    Value highest = kernel.max(now[0], kernel.maxOfLanes(scores));
    Value scale = emitExp(kernel, kernel.sub(now[0], highest));
    Value p = emitExp(kernel, kernel.sub(scores, kernel.broadcast(highest)));
    kernel.storeLanes(kernel.widen(kernel.round(layout.indexed ? f32 : layout.element, p)), weights,
                      lanes);
    addValues(first, count, scale);
    return {highest, kernel.fma(now[1], scale, kernel.sumOfLanes(p))};
  };
  Value first = kernel.add(begin, kernel.mul(warp, kernel.integer(lanes)));
  auto ends = kernel.loop(first, end, warps * lanes, ValueRange{peak, total},
                          [&](Value from, ValueRange now) { return take(from, now); });
  return {ends[0], ends[1]};
}

/// Puts together what the warps have, in their order.
void RowAttention::join() {
  const Type f32 = block.f32();
  auto entry = [&](Value room, int64_t index) {
    return block.load(f32, block.address(room, f32, block.integer(index)));
  };
  Value peak = entry(peaks, 0), total = block.number(f32, 0);
  for (int64_t other = 1; other < warps; ++other)
    peak = block.max(peak, entry(peaks, other));
  SmallVector<Value> scales;
  for (int64_t other = 0; other < warps; ++other) {
    scales.push_back(emitExp(block, block.sub(entry(peaks, other), peak)));
    total = block.fma(entry(totals, other), scales.back(), total);
  }
  auto finish = [&](Value column) {
    Value sum = block.number(f32, 0);
    for (int64_t other = 0; other < warps; ++other) {
      Value at = block.add(block.integer(other * layout.values), column);
      Value part = block.load(f32, block.address(allSums, f32, at));
      sum = block.fma(part, scales[static_cast<size_t>(other)], sum);
    }
    block.store(block.round(out.element, block.div(sum, total)),
                block.address(result, out.element, column));
  };
  block.loop(block.thread(), block.integer(layout.values), warps * kWarpLanes, finish);
}

void RowAttention::emit() {
  auto [peak, total] = attend();
  const Type f32 = kernel.f32();
  kernel.store(peak, kernel.address(peaks, f32, warp));
  kernel.store(total, kernel.address(totals, f32, warp));
  block.barrier();
  join();
  block.barrier(); // before the room is another row's
}

void moec::lowerAttentionByBlock(KernelBuilder &kernel, ThreadBuilder &block, lm::PhaseOp phase,
                                 lm::AttentionOp op, const Tile &tile) {
  RowAttention(kernel, block, static_cast<int64_t>(phase.getWarps()), op, tile).emit();
}
