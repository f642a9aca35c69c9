// Lanes as threads: shuffles, and order between what they store and read.

#include "compiler/targets/cuda/GroupBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

#include <utility>

using namespace mlir;
using namespace moec;

Value GroupBuilder::lane() {
  Value id = warps > 0 ? NVVM::ThreadIdXOp::create(builder, loc, i32()).getResult()
                       : NVVM::LaneIdOp::create(builder, loc, i32()).getResult();
  return arith::ExtUIOp::create(builder, loc, i64(), id);
}

Value GroupBuilder::isBelow(int64_t count) {
  return compare(arith::CmpIPredicate::slt, lane(), integer(count));
}

/// What `body` makes in the first `count` lanes, 0 in the others.
Value GroupBuilder::whereBelow(int64_t count, Type type, function_ref<Value()> body) {
  if (count == laneCount())
    return body();
  auto branch = scf::IfOp::create(builder, loc, type, isBelow(count), /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(builder, loc, body());
  builder.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(builder, loc, isa<FloatType>(type) ? number(type, 0) : integer(type, 0));
  return branch.getResult(0);
}

Operation *GroupBuilder::newSync() {
  if (warps > 0)
    return NVVM::Barrier0Op::create(builder, loc);
  return NVVM::SyncWarpOp::create(builder, loc, integer(i32(), -1));
}

/// One in a row is enough.
void GroupBuilder::sync() {
  Block *block = builder.getInsertionBlock();
  const bool isSynchronized =
      builder.getInsertionPoint() != block->begin() &&
      isa<NVVM::SyncWarpOp, NVVM::Barrier0Op>(*std::prev(builder.getInsertionPoint()));
  if (!isSynchronized)
    newSync();
}

void GroupBuilder::beginColumns() {
  if (depth++ > 0)
    return;
  isStored = false;
  opening = newSync();
}

void GroupBuilder::endColumns() {
  if (--depth > 0)
    return;
  Operation *first = std::exchange(opening, nullptr);
  if (isStored)
    sync();
  else
    first->erase();
}

void GroupBuilder::store(Value value, Value to) {
  if (isEach) {
    isStored = true;
    return KernelBuilder::store(value, to);
  }
  sync();
  when(isBelow(1), [&] { KernelBuilder::store(value, to); });
  sync();
  isStored = true;
}

Value GroupBuilder::loadLanes(Type element, Value from, int64_t count) {
  return whereBelow(count, element, [&] { return load(element, address(from, element, lane())); });
}

void GroupBuilder::storeLanes(Value values, Value to, int64_t count) {
  assert(!isEach && "what forEach() does has no lanes");
  auto put = [&] { KernelBuilder::store(values, address(to, values.getType(), lane())); };
  if (depth == 0)
    sync();
  if (count == laneCount())
    put();
  else
    when(isBelow(count), put);
  if (depth == 0)
    sync();
  isStored = true;
}

Value GroupBuilder::fillLanes(Value values, int64_t count, double fill) {
  if (count == laneCount())
    return values;
  return select(isBelow(count), values, number(values.getType(), fill));
}

Value GroupBuilder::listedLanes(ArrayRef<float> list, int64_t first, int64_t count) {
  auto type = RankedTensorType::get({static_cast<int64_t>(list.size())}, f32());
  Value table = constantTable(DenseElementsAttr::get(type, list));
  return loadLanes(f32(), address(table, first * bytesOf(f32())), count);
}

Value GroupBuilder::eachLane(int64_t count, function_ref<Value(Value)> body) {
  return whereBelow(count, f32(), [&] { return body(lane()); });
}

Value GroupBuilder::shuffle(Value values, int64_t distance, NVVM::ShflKind kind) {
  return NVVM::ShflOp::create(builder, loc, values.getType(), integer(i32(), -1), values,
                              integer(i32(), distance), integer(i32(), kWarpLanes - 1), kind,
                              UnitAttr());
}

Value GroupBuilder::foldLanes(Value values, function_ref<Value(Value, Value)> join) {
  assert(!isEach && "what forEach() does has no lanes");
  for (int64_t half = kWarpLanes / 2; half > 0; half /= 2)
    values = join(values, shuffle(values, half, NVVM::ShflKind::bfly));
  if (warps <= 1)
    return values;
  // Then those of the warps, in their order.
  Type element = values.getType();
  Value own = scratch(warps * bytesOf(element)), thread = lane();
  auto partOf = [&](Value warp) { return address(own, element, warp); };
  newSync();
  Value isFirst = compare(arith::CmpIPredicate::eq, rem(thread, integer(kWarpLanes)), integer(0));
  when(isFirst, [&] { KernelBuilder::store(values, partOf(div(thread, integer(kWarpLanes)))); });
  newSync();
  Value all = load(element, partOf(integer(0)));
  for (int64_t warp = 1; warp < warps; ++warp)
    all = join(all, load(element, partOf(integer(warp))));
  return all;
}

Value GroupBuilder::sumOfLanes(Value values) {
  return foldLanes(values, [&](Value a, Value b) { return add(a, b); });
}

Value GroupBuilder::maxOfLanes(Value values) {
  Value largest = foldLanes(values, [&](Value a, Value b) { return max(a, b); });
  // Of NaNs, and of zeros of both signs, lanes would keep different ones.
  return shuffle(largest, 0, NVVM::ShflKind::idx);
}

void GroupBuilder::forEach(int64_t count, function_ref<void(Value)> body) {
  beginColumns();
  isEach = true;
  loop(lane(), integer(count), laneCount(), body);
  isEach = false;
  endColumns();
}
