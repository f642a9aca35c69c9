// Scores of a stage are shared among the warps by keys, and by rows where there are more warps;
// probabilities go through shared memory; columns of values are shared again. Rows of shared memory
// are an odd number of times 16 bytes apart, so that the same columns of 8 rows are in all banks.

#include "compiler/targets/cuda/AttentionSteps.h"
#include "compiler/targets/cuda/MatrixInstructions.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <limits>

using namespace mlir;
using namespace moec;

static constexpr int64_t kCopyBytes = 16, kCopied = 8;             // elements
static constexpr int64_t kTile = MmaAttentionTile::kAttentionRows; // also columns at a time
static constexpr int64_t kFragment = 4;                            // sums of a lane in 16 x 8
static constexpr double kLowest = -std::numeric_limits<double>::infinity();
static constexpr double kLog2OfE = 1.4426950408889634;

static int64_t strideOf(int64_t elements) { return (elements / kCopied | 1) * kCopyBytes; }

static int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

AttentionSteps::Memory::Memory(const MmaAttentionShape &shape, const MmaAttentionTile &tile)
    : keyStride(strideOf(shape.keyWidth)),
      valueStride(shape.latent ? keyStride : strideOf(shape.valueWidth)),
      probabilityStride(strideOf(tile.keys)), values(shape.latent ? 0 : tile.keys * keyStride),
      stage(tile.keys * (keyStride + (shape.latent ? 0 : valueStride))),
      stages(tile.rows() * keyStride), probabilities(stages + tile.stages * stage),
      numbers(probabilities + tile.rows() * probabilityStride),
      all(numbers + tile.rows() * (tile.keys / kTile) * 4) {}

SmallVector<Value> AttentionState::all() const {
  SmallVector<Value> values(sums);
  llvm::append_range(values, peaks);
  llvm::append_range(values, ownPeaks);
  llvm::append_range(values, totals);
  return values;
}

AttentionState AttentionState::with(ValueRange values) const {
  AttentionState other;
  auto take = [&](const SmallVector<Value> &from, SmallVector<Value> &to) {
    to = llvm::to_vector(values.take_front(from.size()));
    values = values.drop_front(from.size());
  };
  take(sums, other.sums);
  take(peaks, other.peaks);
  take(ownPeaks, other.ownPeaks);
  take(totals, other.totals);
  return other;
}

AttentionSteps::AttentionSteps(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                               const MmaAttentionTile &tile, const MmaAttentionRows &rows,
                               Value shared)
    : kernel(kernel), shape(shape), tile(tile), rows(rows), memory(shape, tile),
      threads(tile.warps * kWarpLanes), keyGroups(tile.keys / kTile),
      rowGroups(std::min(tile.warps / keyGroups, tile.rowTiles)),
      ownTiles(tile.rowTiles / rowGroups), columnTiles(ceilDiv(shape.values, kTile)),
      ownColumns(ceilDiv(columnTiles, tile.warps)), shared(shared) {
  findPlace(kernel.thread());
}

void AttentionSteps::findPlace(Value ownThread) {
  thread = ownThread;
  warp = kernel.div(thread, kernel.integer(kWarpLanes));
  lane = kernel.rem(thread, kernel.integer(kWarpLanes));
  quad = kernel.div(lane, kernel.integer(4));
  inQuad = kernel.rem(lane, kernel.integer(4));
  keyGroup = kernel.rem(warp, kernel.integer(keyGroups));
  Value rowGroup =
      kernel.rem(kernel.div(warp, kernel.integer(keyGroups)), kernel.integer(rowGroups));
  ownRow = kernel.mul(rowGroup, kernel.integer(ownTiles * kTile));
  isOwner = kernel.compare(arith::CmpIPredicate::eq, inQuad, kernel.integer(0));
  if (keyGroups * rowGroups < tile.warps)
    isOwner = kernel.bitAnd(isOwner, kernel.compare(arith::CmpIPredicate::slt, warp,
                                                    kernel.integer(keyGroups * rowGroups)));
}

AttentionSteps AttentionSteps::here() const {
  AttentionSteps other(*this);
  other.findPlace(emitHere(kernel, thread));
  return other;
}

SmallVector<Value> AttentionSteps::valuesWhen(Value condition, ValueRange otherwise,
                                              function_ref<SmallVector<Value>()> then) {
  if (!condition)
    return then();
  auto branch = scf::IfOp::create(kernel.builder, kernel.loc, TypeRange(otherwise), condition,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(kernel.builder);
  kernel.builder.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> values = then();
  scf::YieldOp::create(kernel.builder, kernel.loc, values);
  kernel.builder.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(kernel.builder, kernel.loc, otherwise);
  return llvm::to_vector(ValueRange(branch.getResults()));
}

// Rows.

/// Behind the last one, that again.
Value AttentionSteps::tokenOf(Value row) {
  return kernel.min(kernel.div(row, kernel.integer(shape.heads)),
                    kernel.sub(rows.tokens, kernel.integer(1)));
}

AttentionRow AttentionSteps::row(int64_t slot) {
  Value row = kernel.add(quad, kernel.integer(slot * 8));
  Value isThere = kernel.compare(arith::CmpIPredicate::slt, row,
                                 kernel.mul(rows.tokens, kernel.integer(shape.heads)));
  return {tokenOf(row), kernel.rem(row, kernel.integer(shape.heads)), isThere};
}

Value AttentionSteps::position(int64_t slot) {
  return positionOfRow(kernel.add(quad, kernel.integer(slot * 8)));
}

Value AttentionSteps::ownRowOf(int64_t ownSlot) {
  return kernel.add(ownRow, kernel.add(quad, kernel.integer(ownSlot * 8)));
}

void AttentionSteps::forColumns(int64_t slot,
                                function_ref<void(int64_t, Value, ArrayRef<Value>)> body) {
  const int64_t rowTile = slot / 2, half = slot % 2;
  for (int64_t part = 0; part < 2 * ownColumns; ++part) {
    Value first = kernel.mul(warp, kernel.integer(ownColumns * kTile));
    Value column = kernel.add(kernel.add(first, kernel.integer(part * 8)),
                              kernel.mul(inQuad, kernel.integer(2)));
    SmallVector<Value> areThere(2);
    if (shape.values % (tile.warps * ownColumns * kTile) != 0)
      for (int64_t i = 0; i < 2; ++i)
        areThere[i] =
            kernel.compare(arith::CmpIPredicate::slt, kernel.add(column, kernel.integer(i)),
                           kernel.integer(shape.values));
    body((rowTile * 2 * ownColumns + part) * kFragment + half * 2, column, areThere);
  }
}

// Shared memory.

void AttentionSteps::copyQueries() {
  const int64_t width = shape.keyWidth, parts = width / kCopied;
  Value count = kernel.mul(rows.tokens, kernel.integer(shape.heads));
  auto queryOf = [&](Value row) {
    return rows.query(tokenOf(row), kernel.rem(row, kernel.integer(shape.heads)));
  };
  if (!rows.areAligned) {
    Value zero = kernel.number(kernel.bf16(), 0);
    kernel.loop(thread, kernel.integer(tile.rows() * width), threads, [&](Value place) {
      Value row = kernel.div(place, kernel.integer(width)),
            column = kernel.rem(place, kernel.integer(width));
      Value isThere = kernel.bitAnd(
          kernel.compare(arith::CmpIPredicate::slt, row, count),
          kernel.compare(arith::CmpIPredicate::slt, column, kernel.integer(shape.size)));
      Value query = valuesWhen(isThere, zero, [&]() -> SmallVector<Value> {
        return {kernel.load(kernel.bf16(), kernel.address(queryOf(row), kernel.bf16(), column))};
      })[0];
      Value to = kernel.add(kernel.mul(row, kernel.integer(memory.keyStride)),
                            kernel.mul(column, kernel.integer(2)));
      kernel.store(query, sharedAt(kernel, shared, to));
    });
    return;
  }
  kernel.loop(thread, kernel.integer(tile.rows() * parts), threads, [&](Value place) {
    Value row = kernel.div(place, kernel.integer(parts)),
          part = kernel.rem(place, kernel.integer(parts));
    Value isThere = kernel.bitAnd(
        kernel.compare(arith::CmpIPredicate::slt, row, count),
        kernel.compare(arith::CmpIPredicate::slt, part, kernel.integer(shape.size / kCopied)));
    Value bytes = kernel.mul(part, kernel.integer(kCopyBytes));
    Value from =
        kernel.addressBytes(queryOf(row), kernel.select(isThere, bytes, kernel.integer(0)));
    Value to = kernel.add(kernel.mul(row, kernel.integer(memory.keyStride)), bytes);
    emitAsyncCopy(kernel, sharedAt(kernel, shared, to), from,
                  kernel.select(isThere, kernel.integer(kernel.i32(), kCopyBytes),
                                kernel.integer(kernel.i32(), 0)));
  });
}

/// Rows of keys, or of values, from position `first` on.
void AttentionSteps::copyRows(Value first, Value to, int64_t width, int64_t stride,
                              const std::function<Value(Value)> &place) {
  const int64_t parts = width / kCopied, all = tile.keys * parts;
  const bool areAdjacent = shape.block % tile.keys == 0;
  Value last = kernel.sub(stop, kernel.integer(1));
  Value base = areAdjacent ? place(first) : Value();
  for (int64_t done = 0; done < all; done += threads) {
    Value index = kernel.add(thread, kernel.integer(done));
    auto copy = [&] {
      Value row = kernel.div(index, kernel.integer(parts)),
            bytes =
                kernel.mul(kernel.rem(index, kernel.integer(parts)), kernel.integer(kCopyBytes));
      Value position = kernel.add(first, row);
      Value inside = kernel.min(kernel.max(position, lowest), last);
      Value isRead = kernel.compare(arith::CmpIPredicate::eq, position, inside);
      Value from = areAdjacent
                       ? kernel.addressBytes(base, kernel.mul(index, kernel.integer(kCopyBytes)))
                       : kernel.addressBytes(place(inside), bytes);
      Value own = kernel.add(kernel.mul(row, kernel.integer(stride)), bytes);
      emitAsyncCopy(kernel, sharedAt(kernel, to, own), from,
                    kernel.select(isRead, kernel.integer(kernel.i32(), kCopyBytes),
                                  kernel.integer(kernel.i32(), 0)));
    };
    if (done + threads <= all)
      copy();
    else
      kernel.when(kernel.compare(arith::CmpIPredicate::slt, index, kernel.integer(all)), copy);
  }
}

Value AttentionSteps::positionOf(Value step) {
  return kernel.add(start, kernel.mul(step, kernel.integer(tile.keys)));
}

void AttentionSteps::copyStage(Value step) {
  Value place =
      kernel.mul(kernel.rem(step, kernel.integer(tile.stages)), kernel.integer(memory.stage));
  Value stage = sharedAt(kernel, sharedAt(kernel, shared, place), memory.stages);
  copyRows(positionOf(step), stage, shape.keyWidth, memory.keyStride, rows.key);
  if (!shape.latent)
    copyRows(positionOf(step), sharedAt(kernel, stage, memory.values), shape.valueWidth,
             memory.valueStride, rows.value);
}

void AttentionSteps::begin(Value first, Value lowestRead, Value end) {
  start = first;
  lowest = lowestRead;
  stop = end;
  steps = kernel.div(kernel.add(kernel.sub(stop, start), kernel.integer(tile.keys - 1)),
                     kernel.integer(tile.keys));
  Value lastPosition = kernel.add(rows.position, kernel.sub(rows.tokens, kernel.integer(1)));
  lastBegin = kernel.max(lowest, emitFirstSeen(kernel, shape, lastPosition));
  firstEnd = kernel.min(stop, kernel.add(rows.position, kernel.integer(1)));
  copyQueries();
  for (int64_t step = 0; step < tile.stages - 1; ++step) {
    Value number = kernel.integer(step);
    kernel.when(kernel.compare(arith::CmpIPredicate::slt, number, steps),
                [&] { copyStage(number); });
    NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc);
  }
}

AttentionState AttentionSteps::empty() {
  Value zero = kernel.number(kernel.f32(), 0), lowestScore = kernel.number(kernel.f32(), kLowest);
  auto all = [](int64_t count, Value value) {
    return SmallVector<Value>(static_cast<size_t>(count), value);
  };
  return {all(tile.rowTiles * ownColumns * 2 * kFragment, zero), all(rowSlots(), lowestScore),
          all(ownSlots(), lowestScore), all(ownSlots(), zero)};
}

// Scores.

Value AttentionSteps::scaled(Value score) {
  return kernel.mul(score, kernel.number(kernel.f32(), shape.scale * kLog2OfE));
}

/// [own row tile][8 keys][4].
SmallVector<Value> AttentionSteps::scores(Value stage) {
  SmallVector<Value> sums(static_cast<size_t>(ownTiles * 2 * kFragment),
                          kernel.number(kernel.f32(), 0));
  Value inTile = kernel.rem(lane, kernel.integer(16)), half = kernel.div(lane, kernel.integer(16)),
        eight = kernel.integer(8);
  auto place = [&](Value base, Value row, Value part, int64_t stride) {
    return sharedAt(kernel, base,
                    kernel.add(kernel.mul(row, kernel.integer(stride)),
                               kernel.mul(part, kernel.integer(kCopyBytes))));
  };
  Value query = place(shared, kernel.add(ownRow, inTile), half, memory.keyStride);
  // The first two matrices are of 8 keys, the halves of 16 elements; then those of the next 8.
  Value keyRow = kernel.add(kernel.mul(keyGroup, kernel.integer(kTile)),
                            kernel.add(kernel.rem(lane, eight), kernel.mul(half, eight)));
  Value key = place(stage, keyRow, kernel.rem(kernel.div(lane, eight), kernel.integer(2)),
                    memory.keyStride);
  for (int64_t k = 0; k < shape.keyWidth; k += kTile) {
    SmallVector<Value> keys = emitLoadMatrices(kernel, sharedAt(kernel, key, k * 2), false);
    for (int64_t own = 0; own < ownTiles; ++own) {
      Value from = sharedAt(kernel, query, own * kTile * memory.keyStride + k * 2);
      SmallVector<Value> left = emitLoadMatrices(kernel, from, false);
      for (int64_t eights = 0; eights < 2; ++eights)
        emitMultiplyMatrices(kernel, left, ArrayRef(keys).slice(static_cast<size_t>(2 * eights), 2),
                             MutableArrayRef(sums).slice(
                                 static_cast<size_t>((own * 2 + eights) * kFragment), kFragment));
    }
  }
  return sums;
}

/// Scores of what its row does not see become the lowest.
SmallVector<Value> AttentionSteps::hideUnseen(Value step, ValueRange scores) {
  Value first = positionOf(step);
  Value isAnyHidden =
      kernel.bitOr(kernel.compare(arith::CmpIPredicate::slt, first, lastBegin),
                   kernel.compare(arith::CmpIPredicate::sgt,
                                  kernel.add(first, kernel.integer(tile.keys)), firstEnd));
  auto narrow = [&](Value value) -> Value {
    return arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), value);
  };
  return valuesWhen(isAnyHidden, scores, [&] {
    SmallVector<Value> seen(scores);
    AttentionSteps own = here();
    Value key = kernel.add(kernel.add(first, kernel.mul(own.keyGroup, kernel.integer(kTile))),
                           kernel.mul(own.inQuad, kernel.integer(2)));
    for (int64_t slot = 0; slot < ownSlots(); ++slot) {
      Value position = own.ownPosition(slot);
      Value end = narrow(kernel.min(kernel.add(position, kernel.integer(1)), stop)),
            begin = narrow(kernel.max(lowest, emitFirstSeen(kernel, shape, position)));
      for (int64_t i = 0; i < 4; ++i) {
        Value &score = seen[(slot / 2 * 2 + i / 2) * kFragment + slot % 2 * 2 + i % 2];
        Value number = narrow(kernel.add(key, kernel.integer(i / 2 * 8 + i % 2)));
        Value isSeen = kernel.bitAnd(kernel.compare(arith::CmpIPredicate::slt, number, end),
                                     kernel.compare(arith::CmpIPredicate::sge, number, begin));
        score = kernel.select(isSeen, score, kernel.number(kernel.f32(), kLowest));
      }
    }
    return seen;
  });
}

/// Puts down a number of an own row and the warp's keys.
void AttentionSteps::storeNumber(int64_t ownSlot, Value value) {
  Value place = kernel.add(kernel.mul(ownRowOf(ownSlot), kernel.integer(keyGroups)), keyGroup);
  kernel.when(isOwner, [&] {
    kernel.store(value, sharedAt(kernel, sharedAt(kernel, shared, memory.numbers),
                                 kernel.mul(place, kernel.integer(4))));
  });
}

/// Those of a row, of all its keys in ascending order.
SmallVector<Value> AttentionSteps::loadNumbers(Value row) {
  Value from = sharedAt(kernel, sharedAt(kernel, shared, memory.numbers),
                        kernel.mul(row, kernel.integer(keyGroups * 4)));
  SmallVector<Value> numbers;
  for (int64_t group = 0; group < keyGroups; ++group)
    numbers.push_back(kernel.load(kernel.f32(), sharedAt(kernel, from, group * 4)));
  return numbers;
}

Value AttentionSteps::newPeak(Value row, Value before) {
  for (Value number : loadNumbers(row))
    before = kernel.max(before, number);
  return before;
}

SmallVector<Value> AttentionSteps::totalsOf(const AttentionState &state) {
  for (int64_t slot = 0; slot < ownSlots(); ++slot) {
    Value total = state.totals[slot];
    for (int64_t distance : {1, 2})
      total = kernel.add(total, emitExchange(kernel, total, distance));
    storeNumber(slot, total);
  }
  kernel.barrier();
  SmallVector<Value> totals;
  for (int64_t slot = 0; slot < rowSlots(); ++slot) {
    SmallVector<Value> numbers = loadNumbers(kernel.add(quad, kernel.integer(slot * 8)));
    Value total = numbers.front();
    for (Value number : ArrayRef(numbers).drop_front())
      total = kernel.add(total, number);
    totals.push_back(total);
  }
  return totals;
}

/// Adds the values of the stage's keys, weighed by the probabilities in shared memory.
void AttentionSteps::addValues(Value stage, MutableArrayRef<Value> sums) {
  Value inTile = kernel.rem(lane, kernel.integer(16)),
        part = kernel.mul(kernel.div(lane, kernel.integer(16)), kernel.integer(kCopyBytes));
  Value probability =
      sharedAt(kernel, sharedAt(kernel, shared, memory.probabilities),
               kernel.add(kernel.mul(inTile, kernel.integer(memory.probabilityStride)), part));
  Value value = sharedAt(kernel, sharedAt(kernel, stage, memory.values),
                         kernel.add(kernel.mul(inTile, kernel.integer(memory.valueStride)), part));
  SmallVector<Value> columns; // where those of each tile begin; behind the last one, that again
  for (int64_t own = 0; own < ownColumns; ++own) {
    Value number = kernel.add(kernel.mul(warp, kernel.integer(ownColumns)), kernel.integer(own));
    if (columnTiles % (tile.warps * ownColumns) != 0)
      number = kernel.min(number, kernel.integer(columnTiles - 1));
    columns.push_back(sharedAt(kernel, value, kernel.mul(number, kernel.integer(kTile * 2))));
  }
  for (int64_t key = 0; key < tile.keys; key += kTile) {
    SmallVector<SmallVector<Value>> weights;
    for (int64_t row = 0; row < tile.rowTiles; ++row)
      weights.push_back(emitLoadMatrices(
          kernel, sharedAt(kernel, probability, row * kTile * memory.probabilityStride + key * 2),
          false));
    for (int64_t own = 0; own < ownColumns; ++own) {
      SmallVector<Value> values =
          emitLoadMatrices(kernel, sharedAt(kernel, columns[own], key * memory.valueStride), true);
      for (int64_t row = 0; row < tile.rowTiles; ++row)
        for (int64_t eights = 0; eights < 2; ++eights)
          emitMultiplyMatrices(
              kernel, weights[row], ArrayRef(values).slice(static_cast<size_t>(2 * eights), 2),
              sums.slice(static_cast<size_t>(((row * ownColumns + own) * 2 + eights) * kFragment),
                         kFragment));
    }
  }
}

/// `peak` where there is one, else 0, from which the lowest is far enough.
static Value orZero(ThreadBuilder &kernel, Value peak) {
  Value isNone = arith::CmpFOp::create(kernel.builder, kernel.loc, arith::CmpFPredicate::OEQ, peak,
                                       kernel.number(kernel.f32(), kLowest));
  return kernel.select(isNone, kernel.number(kernel.f32(), 0), peak);
}

AttentionState AttentionSteps::step(Value step, const AttentionState &before) {
  auto commit = [&] { NVVM::CpAsyncCommitGroupOp::create(kernel.builder, kernel.loc); };
  auto wait = [&](int64_t groups) {
    NVVM::CpAsyncWaitGroupOp::create(kernel.builder, kernel.loc, static_cast<uint32_t>(groups));
    kernel.barrier();
  };
  if (tile.stages == 1) {
    kernel.barrier(); // all are done with the stage before
    copyStage(step);
    commit();
    wait(0);
  } else {
    wait(tile.stages - 2);
    Value next = kernel.add(step, kernel.integer(tile.stages - 1));
    kernel.when(kernel.compare(arith::CmpIPredicate::slt, next, steps), [&] { copyStage(next); });
    commit();
  }
  Value place =
      kernel.mul(kernel.rem(step, kernel.integer(tile.stages)), kernel.integer(memory.stage));
  Value stage = sharedAt(kernel, sharedAt(kernel, shared, place), memory.stages);
  SmallVector<Value> scores = hideUnseen(step, this->scores(stage));
  auto ownScores = [&](int64_t slot) {
    SmallVector<Value> own;
    for (int64_t i = 0; i < 4; ++i)
      own.push_back(scores[(slot / 2 * 2 + i / 2) * kFragment + slot % 2 * 2 + i % 2]);
    return own;
  };
  for (int64_t slot = 0; slot < ownSlots(); ++slot) {
    SmallVector<Value> own = ownScores(slot);
    Value peak = kernel.max(kernel.max(own[0], own[1]), kernel.max(own[2], own[3]));
    for (int64_t distance : {1, 2})
      peak = kernel.max(peak, emitExchange(kernel, peak, distance));
    storeNumber(slot, peak);
  }
  kernel.barrier();

  AttentionState after = before;
  auto shrinking = [&](Value old, Value peak) {
    return emitFastExp2(kernel, scaled(kernel.sub(old, orZero(kernel, peak))));
  };
  for (int64_t slot = 0; slot < ownSlots(); ++slot) {
    Value row = ownRowOf(slot);
    Value peak = newPeak(row, before.ownPeaks[slot]);
    after.ownPeaks[slot] = peak;
    Value offset = scaled(kernel.sub(kernel.number(kernel.f32(), 0), orZero(kernel, peak)));
    SmallVector<Value> weights;
    for (Value score : ownScores(slot))
      weights.push_back(emitFastExp2(
          kernel, kernel.fma(score, kernel.number(kernel.f32(), shape.scale * kLog2OfE), offset)));
    Value sum = kernel.add(kernel.add(weights[0], weights[1]), kernel.add(weights[2], weights[3]));
    after.totals[slot] =
        kernel.fma(before.totals[slot], shrinking(before.ownPeaks[slot], peak), sum);
    Value to = kernel.add(
        kernel.mul(row, kernel.integer(memory.probabilityStride)),
        kernel.mul(kernel.add(kernel.mul(keyGroup, kernel.integer(8)), inQuad), kernel.integer(4)));
    auto put = [&] {
      Value at = sharedAt(kernel, sharedAt(kernel, shared, memory.probabilities), to);
      kernel.store(emitRoundPair(kernel, weights[0], weights[1]), at);
      kernel.store(emitRoundPair(kernel, weights[2], weights[3]), sharedAt(kernel, at, 16));
    };
    if (keyGroups * rowGroups == tile.warps)
      put();
    else
      kernel.when(
          kernel.compare(arith::CmpIPredicate::slt, warp, kernel.integer(keyGroups * rowGroups)),
          put);
  }
  for (int64_t slot = 0; slot < rowSlots(); ++slot) {
    Value peak = newPeak(kernel.add(quad, kernel.integer(slot * 8)), before.peaks[slot]);
    after.peaks[slot] = peak;
    Value scale = shrinking(before.peaks[slot], peak);
    forColumns(slot, [&](int64_t sum, Value, ArrayRef<Value>) {
      for (int64_t i = 0; i < 2; ++i)
        after.sums[sum + i] = kernel.mul(before.sums[sum + i], scale);
    });
  }
  kernel.barrier();
  addValues(stage, after.sums);
  return after;
}
