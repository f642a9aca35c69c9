// Implements the loops of linalg_ext, which one thread runs.

#include "compiler/lowering/LinalgExtLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moec;
using namespace moec::linalg_ext;

namespace {

/// Short spellings.
struct Loops {
  OpBuilder &builder;
  Location loc;

  Value index(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }
  Value size(Value memref, int64_t dimension) {
    return builder.createOrFold<memref::DimOp>(loc, memref, dimension);
  }
  Value load(Value memref, ValueRange at) {
    return memref::LoadOp::create(builder, loc, memref, at);
  }
  void store(Value value, Value memref, ValueRange at) {
    memref::StoreOp::create(builder, loc, value, memref, at);
  }
  Value compare(arith::CmpIPredicate how, Value a, Value b) {
    return arith::CmpIOp::create(builder, loc, how, a, b);
  }
  Value compare(arith::CmpFPredicate how, Value a, Value b) {
    return arith::CmpFOp::create(builder, loc, how, a, b);
  }
  Value both(Value a, Value b) { return arith::AndIOp::create(builder, loc, a, b); }
  Value add(Value a, Value b) { return arith::AddIOp::create(builder, loc, a, b); }
  Value sub(Value a, Value b) { return arith::SubIOp::create(builder, loc, a, b); }
  /// An index as an element of a buffer of places.
  void storePlace(Value place, Value memref, ValueRange at) {
    store(arith::IndexCastOp::create(builder, loc, getElementTypeOrSelf(memref), place), memref,
          at);
  }

  using Body = function_ref<SmallVector<Value>(Value index, ValueRange carried)>;
  SmallVector<Value> loop(Value end, ValueRange carried, Body body) {
    auto made = scf::ForOp::create(builder, loc, index(0), end, index(1), carried,
                                   [&](OpBuilder &inner, Location, Value i, ValueRange inside) {
                                     OpBuilder::InsertionGuard guard(builder);
                                     builder.setInsertionPoint(inner.getInsertionBlock(),
                                                               inner.getInsertionPoint());
                                     SmallVector<Value> results = body(i, inside);
                                     scf::YieldOp::create(builder, loc, results);
                                   });
    return llvm::to_vector_of<Value>(made.getResults());
  }

  /// body(place) for every place in the dimensions [first, end) of `memref`, in row-major order.
  SmallVector<Value> nest(Value memref, int64_t first, int64_t end, SmallVector<Value> &place,
                          ValueRange carried,
                          function_ref<SmallVector<Value>(ValueRange carried)> body) {
    if (first == end)
      return body(carried);
    return loop(size(memref, first), carried, [&](Value i, ValueRange inside) {
      place.push_back(i);
      SmallVector<Value> results = nest(memref, first + 1, end, place, inside, body);
      place.pop_back();
      return results;
    });
  }

  void when(Value condition, function_ref<void()> body) {
    auto branch = scf::IfOp::create(builder, loc, condition);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    body();
  }
};

} // namespace

/// Whether x comes before y, which stands before it in its row.
static Value comesBefore(Loops &loops, TopKOp op, Value x, Value y) {
  const bool smallest = op.getSmallest();
  if (isa<FloatType>(x.getType())) {
    Value other = smallest ? x : y;
    Value isNumber = loops.compare(arith::CmpFPredicate::ORD, other, other);
    return loops.both(
        isNumber,
        loops.compare(smallest ? arith::CmpFPredicate::ULT : arith::CmpFPredicate::UGT, x, y));
  }
  using enum arith::CmpIPredicate;
  const bool isUnsigned = op.getIsUnsigned() || x.getType().isInteger(1);
  return loops.compare(smallest ? (isUnsigned ? ult : slt) : (isUnsigned ? ugt : sgt), x, y);
}

// Elements are put in their places among those that are the best so far.
void moec::emitLoops(OpBuilder &builder, TopKOp op) {
  Loops loops{builder, op.getLoc()};
  Location loc = op.getLoc();
  Value input = op.getInput(), values = op.getValues(), indices = op.getIndices();
  const int64_t last = cast<MemRefType>(input.getType()).getRank() - 1;
  Value columns = loops.size(input, last), room = loops.size(values, last);
  Value zero = loops.index(0), one = loops.index(1);
  SmallVector<Value> place;
  loops.nest(input, 0, last, place, {}, [&](ValueRange) -> SmallVector<Value> {
    auto at = [&](Value column) {
      SmallVector<Value> whole(place);
      whole.push_back(column);
      return whole;
    };
    loops.loop(columns, {zero}, [&](Value column, ValueRange carried) -> SmallVector<Value> {
      Value count = carried[0], x = loops.load(input, at(column));
      auto sink = scf::WhileOp::create(builder, loc, TypeRange{builder.getIndexType()}, count);
      {
        OpBuilder::InsertionGuard guard(builder);
        Value behind =
            builder.createBlock(&sink.getBefore(), {}, builder.getIndexType(), loc)->getArgument(0);
        auto isNotFirst = scf::IfOp::create(builder, loc, TypeRange{builder.getI1Type()},
                                            loops.compare(arith::CmpIPredicate::ugt, behind, zero),
                                            /*withElseRegion=*/true);
        builder.setInsertionPointToStart(isNotFirst.thenBlock());
        Value y = loops.load(values, at(loops.sub(behind, one)));
        scf::YieldOp::create(builder, loc, comesBefore(loops, op, x, y));
        builder.setInsertionPointToStart(isNotFirst.elseBlock());
        scf::YieldOp::create(builder, loc,
                             arith::ConstantIntOp::create(builder, loc, 0, 1).getResult());
        builder.setInsertionPointAfter(isNotFirst);
        scf::ConditionOp::create(builder, loc, isNotFirst.getResult(0), behind);
        Value moved =
            builder.createBlock(&sink.getAfter(), {}, builder.getIndexType(), loc)->getArgument(0);
        Value before = loops.sub(moved, one);
        loops.when(loops.compare(arith::CmpIPredicate::ult, moved, room), [&] {
          loops.store(loops.load(values, at(before)), values, at(moved));
          loops.store(loops.load(indices, at(before)), indices, at(moved));
        });
        scf::YieldOp::create(builder, loc, before);
      }
      Value free = sink.getResult(0);
      loops.when(loops.compare(arith::CmpIPredicate::ult, free, room), [&] {
        loops.store(x, values, at(free));
        loops.storePlace(column, indices, at(free));
      });
      return {arith::MinUIOp::create(builder, loc, loops.add(count, one), room)};
    });
    return {};
  });
}

void moec::emitLoops(OpBuilder &builder, NonzeroOp op) {
  Loops loops{builder, op.getLoc()};
  Location loc = op.getLoc();
  Value input = op.getInput(), indices = op.getIndices();
  auto type = cast<MemRefType>(input.getType());
  Value room = loops.size(indices, 1), one = loops.index(1);
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type.getElementType()));
  SmallVector<Value> place;
  SmallVector<Value> count = loops.nest(
      input, 0, type.getRank(), place, loops.index(0),
      [&](ValueRange carried) -> SmallVector<Value> {
        Value found = carried[0], x = loops.load(input, place);
        Value isOne = isa<FloatType>(type.getElementType())
                          ? loops.compare(arith::CmpFPredicate::UNE, x, zero)
                          : loops.compare(arith::CmpIPredicate::ne, x, zero);
        isOne = loops.both(isOne, loops.compare(arith::CmpIPredicate::ult, found, room));
        loops.when(isOne, [&] {
          for (auto [dimension, entry] : llvm::enumerate(place))
            loops.storePlace(entry, indices, {loops.index(dimension), found});
        });
        return {arith::SelectOp::create(builder, loc, isOne, loops.add(found, one), found)};
      });
  loops.storePlace(count[0], op.getCount(), {});
}

/// Two elements of a type that is added up in itself.
static Value combine(Loops &loops, Combining how, bool isUnsigned, Value a, Value b) {
  const bool isFloat = isa<FloatType>(a.getType());
  isUnsigned |= a.getType().isInteger(1);
  auto make = [&]<typename Float, typename Integer>() -> Value {
    if (isFloat)
      return Float::create(loops.builder, loops.loc, a, b);
    return Integer::create(loops.builder, loops.loc, a, b);
  };
  switch (how) {
  case Combining::None:
    return b;
  case Combining::Add:
    return make.operator()<arith::AddFOp, arith::AddIOp>();
  case Combining::Mul:
    return make.operator()<arith::MulFOp, arith::MulIOp>();
  case Combining::Min:
    return isUnsigned ? make.operator()<arith::MinimumFOp, arith::MinUIOp>()
                      : make.operator()<arith::MinimumFOp, arith::MinSIOp>();
  case Combining::Max:
    return isUnsigned ? make.operator()<arith::MaximumFOp, arith::MaxUIOp>()
                      : make.operator()<arith::MaximumFOp, arith::MaxSIOp>();
  }
  return b;
}

void moec::emitLoops(OpBuilder &builder, ScatterOp op) {
  Loops loops{builder, op.getLoc()};
  Location loc = op.getLoc();
  Value indices = op.getIndices(), updates = op.getUpdates(), out = op.getOut();
  const int64_t depth = extentOf(indices, 1), rank = cast<MemRefType>(updates.getType()).getRank();
  Value zero = loops.index(0);
  loops.loop(loops.size(indices, 0), {}, [&](Value n, ValueRange) -> SmallVector<Value> {
    SmallVector<Value> target;
    Value isInside = arith::ConstantIntOp::create(builder, loc, 1, 1);
    for (int64_t dimension = 0; dimension < depth; ++dimension) {
      Value named = arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                               loops.load(indices, {n, loops.index(dimension)}));
      Value extent = loops.size(out, dimension);
      Value isNegative = loops.compare(arith::CmpIPredicate::slt, named, zero);
      Value at = arith::SelectOp::create(builder, loc, isNegative, loops.add(named, extent), named);
      isInside = loops.both(isInside, loops.compare(arith::CmpIPredicate::ult, at, extent));
      target.push_back(at);
    }
    loops.when(isInside, [&] {
      SmallVector<Value> place;
      loops.nest(updates, 1, rank, place, {}, [&](ValueRange) -> SmallVector<Value> {
        SmallVector<Value> from{n}, to(target);
        from.append(place);
        to.append(place);
        Value update = loops.load(updates, from);
        if (op.getCombining() != Combining::None)
          update =
              combine(loops, op.getCombining(), op.getIsUnsigned(), loops.load(out, to), update);
        loops.store(update, out, to);
        return {};
      });
    });
    return {};
  });
}

/// What combined with x gives x.
static Value neutral(Loops &loops, Combining how, bool isUnsigned, Type type) {
  const bool isMin = how == Combining::Min;
  if (auto real = dyn_cast<FloatType>(type)) {
    const llvm::fltSemantics &semantics = real.getFloatSemantics();
    APFloat value = how == Combining::Add   ? APFloat::getZero(semantics)
                    : how == Combining::Mul ? APFloat::getOne(semantics)
                                            : APFloat::getInf(semantics, /*Negative=*/!isMin);
    return arith::ConstantFloatOp::create(loops.builder, loops.loc, real, value);
  }
  const unsigned bits = type.getIntOrFloatBitWidth();
  isUnsigned |= bits == 1;
  APInt value = how == Combining::Add   ? APInt::getZero(bits)
                : how == Combining::Mul ? APInt(bits, 1)
                : isUnsigned
                    ? (isMin ? APInt::getMaxValue(bits) : APInt::getMinValue(bits))
                    : (isMin ? APInt::getSignedMaxValue(bits) : APInt::getSignedMinValue(bits));
  return arith::ConstantOp::create(loops.builder, loops.loc, IntegerAttr::get(type, value));
}

void moec::emitLoops(OpBuilder &builder, ScanOp op) {
  Loops loops{builder, op.getLoc()};
  Location loc = op.getLoc();
  Value input = op.getInput(), out = op.getOut();
  const auto along = static_cast<int64_t>(op.getDimension());
  auto type = cast<MemRefType>(input.getType());
  Type element = type.getElementType(), wide = element;
  const bool isNarrow = isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32;
  if (isNarrow)
    wide = builder.getF32Type();
  Value first = neutral(loops, op.getCombining(), op.getIsUnsigned(), wide);
  Value extent = loops.size(input, along);
  SmallVector<Value> place;
  auto row = [&](ValueRange) -> SmallVector<Value> {
    // Dimensions before `along` are in front, those behind it follow.
    loops.loop(extent, first, [&](Value step, ValueRange carried) -> SmallVector<Value> {
      Value i = op.getReverse() ? loops.sub(loops.sub(extent, loops.index(1)), step) : step;
      SmallVector<Value> at(place);
      at.insert(at.begin() + along, i);
      Value x = loops.load(input, at);
      if (isNarrow)
        x = arith::ExtFOp::create(builder, loc, wide, x);
      Value sum = combine(loops, op.getCombining(), op.getIsUnsigned(), carried[0], x);
      Value result = op.getExclusive() ? carried[0] : sum;
      if (isNarrow)
        result = arith::TruncFOp::create(builder, loc, element, result);
      loops.store(result, out, at);
      return {sum};
    });
    return {};
  };
  loops.nest(input, 0, along, place, {}, [&](ValueRange) {
    return loops.nest(input, along + 1, type.getRank(), place, {}, row);
  });
}
