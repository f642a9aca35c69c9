// Lanes as threads of a warp: shuffles, and order between what they store and read.

#include "compiler/targets/cuda/WarpBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moec;

Value WarpBuilder::lane() {
  Value id = NVVM::LaneIdOp::create(builder, loc, i32());
  return arith::ExtUIOp::create(builder, loc, i64(), id);
}

Value WarpBuilder::isBelow(int64_t count) {
  return compare(arith::CmpIPredicate::slt, lane(), integer(count));
}

/// What `body` makes in the first `count` lanes, 0 in the others.
Value WarpBuilder::whereBelow(int64_t count, Type type, function_ref<Value()> body) {
  if (count == kWarpLanes)
    return body();
  auto branch = scf::IfOp::create(builder, loc, type, isBelow(count), /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(builder, loc, body());
  builder.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(builder, loc, isa<FloatType>(type) ? number(type, 0) : integer(type, 0));
  return branch.getResult(0);
}

/// One in a row is enough.
NVVM::SyncWarpOp WarpBuilder::sync() {
  Block *block = builder.getInsertionBlock();
  if (builder.getInsertionPoint() != block->begin())
    if (auto last = dyn_cast<NVVM::SyncWarpOp>(*std::prev(builder.getInsertionPoint())))
      return last;
  return NVVM::SyncWarpOp::create(builder, loc, integer(i32(), -1));
}

void WarpBuilder::beginColumns() {
  if (depth++ > 0)
    return;
  isStored = false;
  opening = NVVM::SyncWarpOp::create(builder, loc, integer(i32(), -1));
}

void WarpBuilder::endColumns() {
  if (--depth > 0)
    return;
  auto first = opening;
  opening = {};
  if (isStored)
    sync();
  else
    first.erase();
}

void WarpBuilder::store(Value value, Value to) {
  if (isEach) {
    isStored = true;
    return KernelBuilder::store(value, to);
  }
  sync();
  when(isBelow(1), [&] { KernelBuilder::store(value, to); });
  sync();
  isStored = true;
}

Value WarpBuilder::loadLanes(Type element, Value from, int64_t count) {
  return whereBelow(count, element, [&] { return load(element, address(from, element, lane())); });
}

void WarpBuilder::storeLanes(Value values, Value to, int64_t count) {
  assert(!isEach && "what forEach() does has no lanes");
  auto put = [&] { KernelBuilder::store(values, address(to, values.getType(), lane())); };
  if (depth == 0)
    sync();
  if (count == kWarpLanes)
    put();
  else
    when(isBelow(count), put);
  if (depth == 0)
    sync();
  isStored = true;
}

Value WarpBuilder::fillLanes(Value values, int64_t count, double fill) {
  if (count == kWarpLanes)
    return values;
  return select(isBelow(count), values, number(values.getType(), fill));
}

Value WarpBuilder::listedLanes(ArrayRef<float> list, int64_t first, int64_t count) {
  auto type = RankedTensorType::get({static_cast<int64_t>(list.size())}, f32());
  Value table = constantTable(DenseElementsAttr::get(type, list));
  return loadLanes(f32(), address(table, first * bytesOf(f32())), count);
}

Value WarpBuilder::eachLane(int64_t count, function_ref<Value(Value)> body) {
  return whereBelow(count, f32(), [&] { return body(lane()); });
}

Value WarpBuilder::shuffle(Value values, int64_t distance, NVVM::ShflKind kind) {
  return NVVM::ShflOp::create(builder, loc, values.getType(), integer(i32(), -1), values,
                              integer(i32(), distance), integer(i32(), kWarpLanes - 1), kind,
                              UnitAttr());
}

Value WarpBuilder::foldLanes(Value values, function_ref<Value(Value, Value)> join) {
  assert(!isEach && "what forEach() does has no lanes");
  for (int64_t half = kWarpLanes / 2; half > 0; half /= 2)
    values = join(values, shuffle(values, half, NVVM::ShflKind::bfly));
  return values;
}

Value WarpBuilder::sumOfLanes(Value values) {
  return foldLanes(values, [&](Value a, Value b) { return add(a, b); });
}

Value WarpBuilder::maxOfLanes(Value values) {
  Value largest = foldLanes(values, [&](Value a, Value b) { return max(a, b); });
  // Of NaNs, and of zeros of both signs, lanes would keep different ones.
  return shuffle(largest, 0, NVVM::ShflKind::idx);
}

void WarpBuilder::forEach(int64_t count, function_ref<void(Value)> body) {
  beginColumns();
  isEach = true;
  loop(lane(), integer(count), kWarpLanes, body);
  isEach = false;
  endColumns();
}
