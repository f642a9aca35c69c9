// Lowers the plan of the experts' rows to a block of warps: each takes an expert at a time, and
// finds its picks by votes, so that the order is that of the tokens whoever comes first.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cuda/CudaTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

namespace {

class BlockDispatch {
public:
  BlockDispatch(ThreadBuilder &kernel, moe::DispatchOp op, int64_t warps)
      : kernel(kernel), op(op), warps(warps), experts(rowBuffer(kernel, op.getExperts())),
        tiles(rowBuffer(kernel, op.getTiles())), rows(rowBuffer(kernel, op.getRows()).base),
        inverse(rowBuffer(kernel, op.getInverse()).base),
        offsets(rowBuffer(kernel, op.getOffsets()).base),
        numExperts(extentOf(op.getOffsets(), 0) - 1), picked(experts.columns),
        picks(kernel.mul(experts.rows, kernel.integer(picked))), warp(kernel.warp()),
        lane(kernel.lane()), places(kernel.scratch(numExperts * 4)),
        entries(kernel.scratch(numExperts * 4)) {}

  void emit();

private:
  /// body(of each pick of `expert` that the thread has found: token, slot, pick, number among the
  /// expert's picks); the number of all.
  Value forPicksOf(Value expert, function_ref<void(Value token, Value pick, Value number)> body);
  void forExperts(function_ref<void(Value expert)> body) {
    kernel.loop(warp, kernel.integer(numExperts), warps, body);
  }
  Value pieces(Value count) {
    Value height = kernel.integer(static_cast<int64_t>(op.getTileRows()));
    return kernel.div(kernel.add(count, kernel.sub(height, kernel.integer(1))), height);
  }
  /// Sums of the lanes below and of this one.
  Value scan(Value value);
  void placeExperts();
  void listTiles(Value expert, Value count);
  Value shuffle(Value value, Value lane, int64_t clamp, NVVM::ShflKind kind) {
    return NVVM::ShflOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                kernel.integer(kernel.i32(), -1), value, lane,
                                kernel.integer(kernel.i32(), clamp), kind, UnitAttr());
  }
  Value narrow(Value value) {
    return arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), value);
  }
  Value wide(Value value) {
    return arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(), value);
  }

  ThreadBuilder &kernel;
  moe::DispatchOp op;
  const int64_t warps;
  const RowBuffer experts, tiles;
  const Value rows, inverse, offsets;
  const int64_t numExperts, picked;
  const Value picks, warp, lane;
  /// i32 of each expert: how many picks, then the first row; the first entry of the list.
  const Value places, entries;
};

} // namespace

Value BlockDispatch::forPicksOf(Value expert,
                                function_ref<void(Value token, Value pick, Value number)> body) {
  return kernel.loop(
      kernel.integer(0), picks, kWarpLanes, ValueRange{kernel.integer(0)},
      [&](Value first, ValueRange before) -> SmallVector<Value> {
        Value pick = kernel.add(first, lane);
        Value isPick = kernel.compare(arith::CmpIPredicate::slt, pick, picks);
        Value token = kernel.div(kernel.select(isPick, pick, kernel.integer(0)),
                                 kernel.integer(picked)),
              slot = kernel.rem(pick, kernel.integer(picked));
        // An id that is no expert would be an address outside the weights.
        Value id = loadId(kernel, experts.row(kernel, token), slot);
        id = kernel.max(kernel.integer(0), kernel.min(id, kernel.integer(numExperts - 1)));
        Value isOwn = arith::AndIOp::create(kernel.builder, kernel.loc, isPick,
                                            kernel.compare(arith::CmpIPredicate::eq, id, expert));
        Value found = kernel.votes(isOwn);
        if (body) {
          Value below = NVVM::LaneMaskLtOp::create(kernel.builder, kernel.loc, kernel.i32());
          Value number = kernel.add(before[0], kernel.bitCount(kernel.bitAnd(found, below)));
          kernel.when(isOwn, [&] { body(token, pick, number); });
        }
        return {kernel.add(before[0], kernel.bitCount(found))};
      })[0];
}

Value BlockDispatch::scan(Value value) {
  for (int64_t distance = 1; distance < kWarpLanes; distance *= 2) {
    Value from = shuffle(value, kernel.integer(kernel.i32(), distance), 0, NVVM::ShflKind::up);
    Value isIn = kernel.compare(arith::CmpIPredicate::sge, lane, kernel.integer(distance));
    value = kernel.select(isIn, kernel.add(value, from), value);
  }
  return value;
}

/// Counts become places, by the first warp.
void BlockDispatch::placeExperts() {
  Type i32 = kernel.i32();
  Value none = kernel.integer(i32, 0);
  auto ends = kernel.loop(
      kernel.integer(0), kernel.integer(numExperts), kWarpLanes, ValueRange{none, none},
      [&](Value first, ValueRange before) -> SmallVector<Value> {
        Value expert = kernel.add(first, lane);
        Value isExpert =
            kernel.compare(arith::CmpIPredicate::slt, expert, kernel.integer(numExperts));
        Value safe = kernel.select(isExpert, expert, kernel.integer(0));
        Value place = kernel.address(places, i32, safe), entry = kernel.address(entries, i32, safe);
        Value count = kernel.select(isExpert, kernel.load(i32, place), none);
        Value listed = narrow(pieces(wide(count)));
        Value rowsUpTo = kernel.add(before[0], scan(count)),
              listedUpTo = kernel.add(before[1], scan(listed));
        NVVM::SyncWarpOp::create(kernel.builder, kernel.loc, kernel.integer(i32, -1));
        kernel.when(isExpert, [&] {
          Value begin = kernel.sub(rowsUpTo, count);
          kernel.store(begin, place);
          kernel.store(kernel.sub(listedUpTo, listed), entry);
          kernel.store(begin, kernel.address(offsets, i32, expert));
        });
        Value last = kernel.integer(i32, kWarpLanes - 1);
        return {shuffle(rowsUpTo, last, kWarpLanes - 1, NVVM::ShflKind::idx),
                shuffle(listedUpTo, last, kWarpLanes - 1, NVVM::ShflKind::idx)};
      });
  kernel.when(kernel.compare(arith::CmpIPredicate::eq, lane, kernel.integer(0)), [&] {
    kernel.store(ends[0], kernel.address(offsets, i32, kernel.integer(numExperts)));
    Value header = tiles.row(kernel, kernel.integer(0));
    for (auto [column, value] : {std::pair(0, ends[1]), std::pair(1, none), std::pair(2, none)})
      kernel.store(value, kernel.address(header, i32, kernel.integer(column)));
  });
}

/// The entries of an expert, by the lanes of its warp.
void BlockDispatch::listTiles(Value expert, Value count) {
  Value begin = loadId(kernel, places, expert), first = loadId(kernel, entries, expert);
  Value height = kernel.integer(static_cast<int64_t>(op.getTileRows()));
  kernel.loop(lane, pieces(count), kWarpLanes, [&](Value piece) {
    Value done = kernel.mul(piece, height);
    Value entry = tiles.row(kernel, kernel.add(kernel.add(first, piece), kernel.integer(1)));
    storeId(kernel, expert, entry, kernel.integer(0));
    storeId(kernel, kernel.add(begin, done), entry, kernel.integer(1));
    storeId(kernel, kernel.min(height, kernel.sub(count, done)), entry, kernel.integer(2));
  });
}

void BlockDispatch::emit() {
  kernel.barrier(); // the block may have read what it now writes
  forExperts([&](Value expert) {
    Value count = forPicksOf(expert, nullptr);
    kernel.when(kernel.compare(arith::CmpIPredicate::eq, lane, kernel.integer(0)),
                [&] { storeId(kernel, count, places, expert); });
  });
  kernel.barrier();
  kernel.when(kernel.compare(arith::CmpIPredicate::eq, warp, kernel.integer(0)),
              [&] { placeExperts(); });
  kernel.barrier();
  forExperts([&](Value expert) {
    Value begin = loadId(kernel, places, expert);
    Value count = forPicksOf(expert, [&](Value token, Value pick, Value number) {
      Value row = kernel.add(begin, number);
      storeId(kernel, token, rows, row);
      storeId(kernel, row, inverse, pick);
    });
    listTiles(expert, count);
  });
}

void moec::lowerDispatchByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, moe::DispatchOp op) {
  BlockDispatch(kernel, op, static_cast<int64_t>(phase.getWarps())).emit();
}
