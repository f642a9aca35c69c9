// Implements what is known of the sizes of buffers.

#include "compiler/transforms/BufferSizes.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "dialects/lm/LmDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moec;

static Value constantIndex(OpBuilder &builder, Location loc, int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

Value moec::sizeOf(OpBuilder &builder, Location loc, Value buffer, int64_t dimension) {
  auto type = cast<MemRefType>(buffer.getType());
  if (!type.isDynamicDim(dimension))
    return constantIndex(builder, loc, type.getDimSize(dimension));
  const unsigned open = type.getDynamicDimIndex(dimension);
  auto otherwise = [&]() -> Value {
    return builder.createOrFold<memref::DimOp>(loc, buffer, dimension);
  };
  Operation *op = buffer.getDefiningOp();
  if (!op)
    return otherwise();
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case([&](memref::AllocOp alloc) { return alloc.getDynamicSizes()[open]; })
      .Case([&](memref::ViewOp view) { return view.getSizes()[open]; })
      .Case([&](lm::GraphInputOp input) { return input.getSizes()[open]; })
      .Case([&](lm::GraphOutputOp output) { return output.getSizes()[open]; })
      .Case([&](memref::ExpandShapeOp expand) {
        return getValueOrCreateConstantIndexOp(builder, loc,
                                               expand.getMixedOutputShape()[dimension]);
      })
      .Case([&](memref::CollapseShapeOp collapse) {
        Value size = constantIndex(builder, loc, 1);
        for (int64_t part : collapse.getReassociationIndices()[dimension])
          size = builder.createOrFold<arith::MulIOp>(loc, size,
                                                     sizeOf(builder, loc, collapse.getSrc(), part));
        return size;
      })
      .Case([&](memref::CastOp cast) {
        return isa<MemRefType>(cast.getSource().getType())
                   ? sizeOf(builder, loc, cast.getSource(), dimension)
                   : otherwise();
      })
      .Case([&](memref::SubViewOp subview) {
        llvm::SmallBitVector dropped = subview.getDroppedDims();
        int64_t kept = 0;
        for (auto [source, size] : llvm::enumerate(subview.getMixedSizes()))
          if (!dropped.test(source) && kept++ == dimension)
            return getValueOrCreateConstantIndexOp(builder, loc, size);
        return otherwise();
      })
      .Default([&](Operation *) { return otherwise(); });
}

/// Room for places in a nonzero that counts into the memory that `load` reads.
static Value roomOf(OpBuilder &builder, memref::LoadOp load) {
  for (Operation *user : load.getMemRef().getUsers())
    if (auto nonzero = dyn_cast<linalg_ext::NonzeroOp>(user))
      if (nonzero.getCount() == load.getMemRef())
        return sizeOf(builder, load.getLoc(), nonzero.getIndices(), 1);
  return {};
}

/// Whether a map's results grow with all that it is of.
static bool grows(AffineExpr expression) {
  if (isa<AffineDimExpr, AffineSymbolExpr>(expression))
    return true;
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue() >= 0;
  auto binary = cast<AffineBinaryOpExpr>(expression);
  return binary.getKind() != AffineExprKind::Mod && grows(binary.getLHS()) &&
         grows(binary.getRHS());
}

Value moec::largestOf(OpBuilder &builder, Value value, function_ref<bool(Value)> isKnown) {
  if (isKnown(value))
    return value;
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  Location loc = op->getLoc();
  auto largest = [&](Value other) { return largestOf(builder, other, isKnown); };
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    Value room = roomOf(builder, load);
    room = room ? largest(room) : Value();
    return room && !value.getType().isIndex()
               ? arith::IndexCastOp::create(builder, loc, value.getType(), room).getResult()
               : room;
  }
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> dimension = dim.getConstantIndex();
    Value size = dimension ? sizeOf(builder, loc, dim.getSource(), *dimension) : Value();
    return size && size != value ? largest(size) : Value();
  }
  // The smaller of two is no larger than the one that is known.
  if (isa<arith::MinSIOp, arith::MinUIOp>(op)) {
    Value a = largest(op->getOperand(0)), b = largest(op->getOperand(1));
    return a && b ? arith::MinUIOp::create(builder, loc, a, b).getResult() : a ? a : b;
  }
  // Sizes are not negative, so less of one is no more.
  if (isa<arith::SubIOp, arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(op))
    return largest(op->getOperand(0));
  if (auto choice = dyn_cast<arith::SelectOp>(op)) {
    Value a = largest(choice.getTrueValue()), b = largest(choice.getFalseValue());
    return a && b ? arith::MaxUIOp::create(builder, loc, a, b).getResult() : Value();
  }
  auto apply = dyn_cast<affine::AffineApplyOp>(op);
  const bool isGrowing = isa<arith::AddIOp, arith::MulIOp, arith::MaxSIOp, arith::MaxUIOp,
                             arith::IndexCastOp, arith::ExtSIOp, arith::ExtUIOp>(op) ||
                         (apply && llvm::all_of(apply.getAffineMap().getResults(), grows));
  if (!isGrowing)
    return {};
  IRMapping mapping;
  for (Value operand : op->getOperands()) {
    Value bound = largest(operand);
    if (!bound)
      return {};
    mapping.map(operand, bound);
  }
  return builder.clone(*op, mapping)->getResult(0);
}
