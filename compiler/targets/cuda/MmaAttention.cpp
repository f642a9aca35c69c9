// Pieces of attention, and how they are put together: by the same arithmetic whether a block goes
// round them or each has one.

#include "compiler/targets/cuda/MmaAttention.h"
#include "compiler/targets/cuda/AttentionSteps.h"
#include "compiler/targets/cuda/MatrixInstructions.h"

#include <limits>

using namespace mlir;
using namespace moec;

static constexpr double kLowest = -std::numeric_limits<double>::infinity();
static constexpr double kLog2OfE = 1.4426950408889634;

// Numbers.

MmaAttentionTile moec::mmaAttentionTile(const MmaAttentionShape &shape, int64_t rowTiles,
                                        const CudaTarget &target) {
  constexpr int64_t kMostStages = 4, kReserved = 1 << 10;
  MmaAttentionTile tile{attentionWarps(shape.values), rowTiles, 32, 1};
  auto fits = [&](int64_t keys, int64_t rowTiles, int64_t stages, int64_t room) {
    return mmaAttentionBytes(shape, {tile.warps, rowTiles, keys, stages}) <= room;
  };
  if (!fits(tile.keys, kManyAttentionRows, 1, target.blockSharedBytes))
    tile.keys = 16;
  // Two blocks at work hide each other's barriers; one stage on its way hides memory.
  while (tile.stages < kMostStages &&
         fits(tile.keys, rowTiles, tile.stages + 1, target.blockSharedBytes) &&
         (tile.stages < 2 ||
          fits(tile.keys, rowTiles, tile.stages + 1, target.sharedBytes / 2 - kReserved) ||
          !fits(tile.keys, rowTiles, tile.stages, target.sharedBytes / 2 - kReserved)))
    ++tile.stages;
  return tile;
}

int64_t moec::mmaAttentionBytes(const MmaAttentionShape &shape, const MmaAttentionTile &tile) {
  return AttentionSteps::Memory(shape, tile).all;
}

Value moec::emitPieceLength(KernelBuilder &kernel, const MmaAttentionShape &shape, Value position) {
  const AttentionPieces pieces(shape.piece, shape.window, shape.chunk, /*context=*/1);
  if (pieces.span > 0)
    return kernel.integer(pieces.length);
  Value times = kernel.div(position, kernel.integer(shape.piece * kAttentionPieces));
  Value zeros = LLVM::CountLeadingZerosOp::create(kernel.builder, kernel.loc, kernel.i64(), times,
                                                  /*is_zero_poison=*/false);
  return arith::ShLIOp::create(kernel.builder, kernel.loc, kernel.integer(shape.piece),
                               kernel.sub(kernel.integer(64), zeros));
}

Value moec::emitFirstSeen(KernelBuilder &kernel, const MmaAttentionShape &shape, Value position) {
  if (shape.window > 0)
    return kernel.max(kernel.integer(0), kernel.sub(position, kernel.integer(shape.window - 1)));
  if (shape.chunk > 0)
    return kernel.sub(position, kernel.rem(position, kernel.integer(shape.chunk)));
  return kernel.integer(0);
}

// Putting pieces together.

namespace {
/// What has been put together: the largest score, in powers of two, and the sum of what the others
/// are beside it.
struct Joined {
  Value peak, total;
};

/// How to add a piece.
struct Joint {
  Joined after;
  Value shrinking, weight; ///< of the sums up to then, and of the piece's
};
} // namespace

static Joined joinNone(KernelBuilder &kernel, Value sink) {
  if (!sink)
    return {kernel.number(kernel.f32(), kLowest), kernel.number(kernel.f32(), 0)};
  return {kernel.mul(sink, kernel.number(kernel.f32(), kLog2OfE)), kernel.number(kernel.f32(), 1)};
}

static Joint joinPiece(KernelBuilder &kernel, const Joined &before, const Joined &piece) {
  Value peak = kernel.max(before.peak, piece.peak);
  Value isNone = arith::CmpFOp::create(kernel.builder, kernel.loc, arith::CmpFPredicate::OEQ, peak,
                                       kernel.number(kernel.f32(), kLowest));
  Value base = kernel.select(isNone, kernel.number(kernel.f32(), 0), peak);
  Value shrinking = emitFastExp2(kernel, kernel.sub(before.peak, base)),
        weight = emitFastExp2(kernel, kernel.sub(piece.peak, base));
  Value total = kernel.fma(piece.total, weight, kernel.mul(before.total, shrinking));
  return {{peak, total}, shrinking, weight};
}

static Value joinSum(KernelBuilder &kernel, const Joint &joint, Value before, Value piece) {
  return kernel.fma(piece, joint.weight, kernel.mul(before, joint.shrinking));
}

/// Of 1 / total; a zero has no sign, which what has been underflown would leave it.
static Value finish(KernelBuilder &kernel, Value sum, Value reciprocal) {
  return kernel.add(kernel.mul(sum, reciprocal), kernel.number(kernel.f32(), 0));
}

static Value reciprocalOf(KernelBuilder &kernel, Value total) {
  return kernel.div(kernel.number(kernel.f32(), 1), total);
}

/// As pairs are rounded.
static Value roundOne(KernelBuilder &kernel, Type element, Value value) {
  if (!element.isBF16())
    return kernel.round(element, value);
  Value pair = emitRoundPair(kernel, value, value);
  return kernel.bitcast(element,
                        arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i16(), pair));
}

/// Whether `position` is a multiple of `length`, a power of two.
static Value isBorder(KernelBuilder &kernel, Value position, Value length) {
  Value rest = kernel.bitAnd(position, kernel.sub(length, kernel.integer(1)));
  return kernel.compare(arith::CmpIPredicate::eq, rest, kernel.integer(0));
}

namespace {

/// A block that goes round the pieces of its rows.
class AttendTile {
public:
  AttendTile(ThreadBuilder &kernel, const MmaAttentionShape &shape, const MmaAttentionTile &tile,
             const MmaAttentionRows &rows, const MmaAttentionResults &results, Value shared)
      : kernel(kernel), shape(shape), tile(tile), rows(rows), results(results),
        steps(kernel, shape, tile, rows, shared) {}
  void emit();

private:
  size_t slots() const { return static_cast<size_t>(steps.rowSlots()); }
  SmallVector<Joint> joints(AttentionSteps &steps, const AttentionState &state,
                            ArrayRef<Joined> joined);
  SmallVector<Value> roomOf(AttentionSteps &steps, int64_t slot, Value isUsed);
  SmallVector<Value> join(Value position, ValueRange carried);
  void finishAll(const AttentionState &state, ArrayRef<Joined> joined, Value isJoined);
  void put(Value first, Value second, Value to, Value column, ArrayRef<Value> areThere);

  SmallVector<Value> carry(const AttentionState &state, ArrayRef<Joined> joined, Value isJoined) {
    SmallVector<Value> values = state.all();
    for (const Joined &row : joined)
      llvm::append_values(values, row.peak, row.total);
    values.push_back(isJoined);
    return values;
  }
  AttentionState stateOf(ValueRange carried) {
    return none.with(carried.drop_back(2 * slots() + 1));
  }
  SmallVector<Joined> joinedOf(ValueRange carried) {
    SmallVector<Joined> joined;
    ValueRange numbers = carried.take_back(2 * slots() + 1);
    for (size_t slot = 0; slot < slots(); ++slot)
      joined.push_back({numbers[2 * slot], numbers[2 * slot + 1]});
    return joined;
  }

  ThreadBuilder &kernel;
  const MmaAttentionShape &shape;
  const MmaAttentionTile &tile;
  const MmaAttentionRows &rows;
  const MmaAttentionResults &results;
  AttentionSteps steps;
  AttentionState none;
};

} // namespace

/// How the piece at work is to be added for each row slot.
SmallVector<Joint> AttendTile::joints(AttentionSteps &steps, const AttentionState &state,
                                      ArrayRef<Joined> joined) {
  SmallVector<Value> totals = steps.totalsOf(state);
  SmallVector<Joint> joints;
  for (size_t slot = 0; slot < slots(); ++slot)
    joints.push_back(
        joinPiece(kernel, joined[slot], {steps.scaled(state.peaks[slot]), totals[slot]}));
  return joints;
}

/// What has been put together of a row slot's sums, as forColumns() goes; nothing where not
/// `isUsed`.
SmallVector<Value> AttendTile::roomOf(AttentionSteps &steps, int64_t slot, Value isUsed) {
  const AttentionRow row = steps.row(slot);
  Value zero = kernel.number(kernel.f32(), 0);
  SmallVector<Value> zeros;
  steps.forColumns(
      slot, [&](int64_t, Value, ArrayRef<Value>) { llvm::append_values(zeros, zero, zero); });
  return steps.valuesWhen(kernel.bitAnd(row.isThere, isUsed), zeros, [&] {
    Value room = results.room(row.token, row.head);
    SmallVector<Value> sums;
    steps.forColumns(slot, [&](int64_t, Value column, ArrayRef<Value> areThere) {
      for (int64_t i = 0; i < 2; ++i)
        sums.push_back(steps.valuesWhen(areThere[i], zero, [&]() -> SmallVector<Value> {
          Value at = kernel.address(room, kernel.f32(), kernel.add(column, kernel.integer(i)));
          return {kernel.load(kernel.f32(), at)};
        })[0]);
    });
    return sums;
  });
}

/// Adds the piece at work to what has been put together, of rows that have a piece begin at
/// `position`, and begins anew with these.
SmallVector<Value> AttendTile::join(Value position, ValueRange carried) {
  AttentionSteps steps = this->steps.here();
  AttentionState state = stateOf(carried);
  SmallVector<Joined> joined = joinedOf(carried);
  SmallVector<Joint> ways = joints(steps, state, joined);
  auto begins = [&](Value rowPosition) {
    return isBorder(kernel, position, emitPieceLength(kernel, shape, rowPosition));
  };
  for (size_t slot = 0; slot < slots(); ++slot) {
    const auto number = static_cast<int64_t>(slot);
    Value isNew = begins(steps.position(number));
    SmallVector<Value> room = roomOf(steps, number, carried.back());
    const AttentionRow row = steps.row(number);
    size_t next = 0;
    SmallVector<Value> together;
    steps.forColumns(number, [&](int64_t sum, Value, ArrayRef<Value>) {
      for (int64_t i = 0; i < 2; ++i, ++next) {
        Value added = joinSum(kernel, ways[slot], room[next], state.sums[sum + i]);
        together.push_back(kernel.select(isNew, added, room[next]));
        state.sums[sum + i] = kernel.select(isNew, none.sums[sum + i], state.sums[sum + i]);
      }
    });
    kernel.when(row.isThere, [&] {
      Value to = results.room(row.token, row.head);
      size_t next = 0;
      steps.forColumns(number, [&](int64_t, Value column, ArrayRef<Value> areThere) {
        for (int64_t i = 0; i < 2; ++i, ++next) {
          auto store = [&] {
            kernel.store(together[next],
                         kernel.address(to, kernel.f32(), kernel.add(column, kernel.integer(i))));
          };
          areThere[i] ? kernel.when(areThere[i], store) : store();
        }
      });
    });
    joined[slot] = {kernel.select(isNew, ways[slot].after.peak, joined[slot].peak),
                    kernel.select(isNew, ways[slot].after.total, joined[slot].total)};
    state.peaks[slot] = kernel.select(isNew, none.peaks[slot], state.peaks[slot]);
  }
  for (int64_t own = 0; own < steps.ownSlots(); ++own) {
    Value isNew = begins(steps.ownPosition(own));
    state.ownPeaks[own] = kernel.select(isNew, none.ownPeaks[own], state.ownPeaks[own]);
    state.totals[own] = kernel.select(isNew, none.totals[own], state.totals[own]);
  }
  return carry(state, joined, kernel.integer(kernel.builder.getI1Type(), 1));
}

/// Stores two neighbours.
void AttendTile::put(Value first, Value second, Value to, Value column, ArrayRef<Value> areThere) {
  if (results.arePairs && !areThere[0] && results.element.isBF16()) {
    LLVM::StoreOp::create(kernel.builder, kernel.loc, emitRoundPair(kernel, first, second),
                          kernel.address(to, results.element, column), /*alignment=*/4);
    return;
  }
  for (int64_t i = 0; i < 2; ++i) {
    auto store = [&] {
      kernel.store(roundOne(kernel, results.element, i == 0 ? first : second),
                   kernel.address(to, results.element, kernel.add(column, kernel.integer(i))));
    };
    areThere[i] ? kernel.when(areThere[i], store) : store();
  }
}

void AttendTile::finishAll(const AttentionState &state, ArrayRef<Joined> joined, Value isJoined) {
  AttentionSteps steps = this->steps.here();
  SmallVector<Joint> ways = joints(steps, state, joined);
  for (size_t slot = 0; slot < slots(); ++slot) {
    const auto number = static_cast<int64_t>(slot);
    SmallVector<Value> room = roomOf(steps, number, isJoined);
    const AttentionRow row = steps.row(number);
    Value reciprocal = reciprocalOf(kernel, ways[slot].after.total);
    kernel.when(row.isThere, [&] {
      Value to = results.out(row.token, row.head);
      size_t next = 0;
      steps.forColumns(number, [&](int64_t sum, Value column, ArrayRef<Value> areThere) {
        SmallVector<Value> pair;
        for (int64_t i = 0; i < 2; ++i, ++next)
          pair.push_back(finish(
              kernel, joinSum(kernel, ways[slot], room[next], state.sums[sum + i]), reciprocal));
        put(pair[0], pair[1], to, column, areThere);
      });
    });
  }
}

void AttendTile::emit() {
  Value keys = kernel.integer(tile.keys), one = kernel.integer(1);
  Value lowest = emitFirstSeen(kernel, shape, rows.position);
  Value start = kernel.mul(kernel.div(lowest, keys), keys);
  steps.begin(start, lowest, kernel.add(rows.position, rows.tokens));
  none = steps.empty();
  SmallVector<Joined> joined;
  for (size_t slot = 0; slot < slots(); ++slot) {
    Value sink = results.sink ? results.sink(steps.row(static_cast<int64_t>(slot)).head) : Value();
    joined.push_back(joinNone(kernel, sink));
  }
  // Of the first row, and so the shortest.
  Value length = emitPieceLength(kernel, shape, rows.position);
  SmallVector<Value> carried = carry(none, joined, kernel.integer(kernel.builder.getI1Type(), 0));
  carried = kernel.loop(kernel.integer(0), steps.stepCount(), 1, carried,
                        [&](Value number, ValueRange before) -> SmallVector<Value> {
                          Value position = steps.positionOf(number);
                          Value isEnd =
                              kernel.bitAnd(kernel.compare(arith::CmpIPredicate::sge, number, one),
                                            isBorder(kernel, position, length));
                          SmallVector<Value> at = steps.valuesWhen(
                              isEnd, before, [&] { return join(position, before); });
                          return carry(steps.step(number, stateOf(at)), joinedOf(at), at.back());
                        });
  finishAll(stateOf(carried), joinedOf(carried), carried.back());
  kernel.barrier(); // before shared memory is another tile's
}

void moec::emitAttendTile(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                          const MmaAttentionTile &tile, const MmaAttentionRows &rows,
                          const MmaAttentionResults &results, Value shared) {
  AttendTile(kernel, shape, tile, rows, results, shared).emit();
}

void moec::emitAttendPiece(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                           const MmaAttentionTile &tile, const MmaAttentionRows &rows, Value begin,
                           Value end, function_ref<Value(Value)> part, Value shared) {
  AttentionSteps steps(kernel, shape, tile, rows, shared);
  Value keys = kernel.integer(tile.keys);
  steps.begin(kernel.mul(kernel.div(begin, keys), keys), begin, end);
  const AttentionState none = steps.empty();
  SmallVector<Value> made = kernel.loop(
      kernel.integer(0), steps.stepCount(), 1, none.all(),
      [&](Value number, ValueRange before) { return steps.step(number, none.with(before)).all(); });
  const AttentionState state = none.with(made);
  SmallVector<Value> totals = steps.totalsOf(state);
  for (int64_t slot = 0; slot < steps.rowSlots(); ++slot) {
    const AttentionRow row = steps.row(slot);
    kernel.when(row.isThere, [&] {
      Value to = part(row.head);
      auto store = [&](Value value, Value column) {
        kernel.store(value, kernel.address(to, kernel.f32(), column));
      };
      steps.forColumns(slot, [&](int64_t sum, Value column, ArrayRef<Value> areThere) {
        for (int64_t i = 0; i < 2; ++i) {
          auto put = [&] { store(state.sums[sum + i], kernel.add(column, kernel.integer(i))); };
          areThere[i] ? kernel.when(areThere[i], put) : put();
        }
      });
      Value isFirst =
          kernel.compare(arith::CmpIPredicate::slt, kernel.thread(), kernel.integer(kWarpLanes));
      isFirst =
          kernel.bitAnd(isFirst, kernel.compare(arith::CmpIPredicate::eq,
                                                kernel.rem(kernel.thread(), kernel.integer(4)),
                                                kernel.integer(0)));
      kernel.when(isFirst, [&] {
        store(steps.scaled(state.peaks[slot]), kernel.integer(shape.values));
        store(totals[slot], kernel.integer(shape.values + 1));
      });
    });
  }
  kernel.barrier(); // before shared memory is another piece's
}

void moec::emitJoinPieces(ThreadBuilder &kernel, int64_t values, int64_t threads, Value parts,
                          Value count, Value sink, Type element, Value out) {
  constexpr int64_t kAtOnce = 8; // pieces whose loads are on their way together
  const int64_t stride = values + 2;
  Type f32 = kernel.f32();
  Value last = kernel.sub(count, kernel.integer(1));
  kernel.loop(kernel.thread(), kernel.integer(values), threads, [&](Value column) {
    const Joined none = joinNone(kernel, sink);
    SmallVector<Value> ends = kernel.loop(
        kernel.integer(0), count, kAtOnce, ValueRange{none.peak, none.total, kernel.number(f32, 0)},
        [&](Value first, ValueRange before) -> SmallVector<Value> {
          struct Loaded {
            Value isThere, sum, peak, total;
          };
          SmallVector<Loaded> pieces;
          for (int64_t i = 0; i < kAtOnce; ++i) {
            Value number = kernel.add(first, kernel.integer(i));
            Value from = kernel.address(
                parts, f32, kernel.mul(kernel.min(number, last), kernel.integer(stride)));
            pieces.push_back(
                {kernel.compare(arith::CmpIPredicate::slt, number, count),
                 kernel.load(f32, kernel.address(from, f32, column)),
                 kernel.load(f32, kernel.address(from, f32, kernel.integer(values))),
                 kernel.load(f32, kernel.address(from, f32, kernel.integer(values + 1)))});
          }
          SmallVector<Value> now(before);
          for (const Loaded &piece : pieces) {
            const Joint way = joinPiece(kernel, {now[0], now[1]}, {piece.peak, piece.total});
            const Value then[] = {way.after.peak, way.after.total,
                                  joinSum(kernel, way, now[2], piece.sum)};
            for (auto [value, other] : llvm::zip(now, then))
              value = kernel.select(piece.isThere, other, value);
          }
          return now;
        });
    Value value = finish(kernel, ends[2], reciprocalOf(kernel, ends[1]));
    kernel.store(roundOne(kernel, element, value), kernel.address(out, element, column));
  });
}
