// Implements lm-carry-in-place.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"

namespace moec {
#define GEN_PASS_DEF_CARRYINPLACE
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Writes what is handed on, where it is a tensor, into the tensors of `places`, of the same number
/// and types.
static void writeInto(MutableArrayRef<OpOperand> handedOn, ValueRange places, Operation *before) {
  OpBuilder builder(before);
  Location loc = before->getLoc();
  // A place may be among what goes to others: then it is read before it is written.
  for (auto [operand, place] : llvm::zip_equal(handedOn, places)) {
    Value value = operand.get();
    if (!isa<RankedTensorType>(value.getType()) || value == place ||
        !llvm::is_contained(places, value))
      continue;
    operand.set(bufferization::AllocTensorOp::create(
        builder, loc, cast<RankedTensorType>(value.getType()), ValueRange(), value,
        /*size_hint=*/Value(), /*memory_space=*/IntegerAttr()));
  }
  for (auto [operand, place] : llvm::zip_equal(handedOn, places)) {
    Value value = operand.get();
    if (!isa<RankedTensorType>(value.getType()) || value == place ||
        value.getType() != place.getType())
      continue;
    operand.set(
        bufferization::MaterializeInDestinationOp::create(builder, loc, value, place).getResult());
  }
}

namespace {
struct CarryInPlace final : moec::impl::CarryInPlaceBase<CarryInPlace> {
  void runOnOperation() override {
    if (getOperation().getName() != kGraphName)
      return;
    getOperation().walk([](scf::ForOp loop) {
      auto yield = cast<scf::YieldOp>(loop.getBody()->getTerminator());
      writeInto(yield->getOpOperands(), loop.getRegionIterArgs(), yield);
    });
    getOperation().walk([](scf::WhileOp loop) {
      scf::ConditionOp condition = loop.getConditionOp();
      if (condition.getArgs().size() == loop.getBeforeArguments().size())
        writeInto(condition->getOpOperands().drop_front(), loop.getBeforeArguments(), condition);
      scf::YieldOp yield = loop.getYieldOp();
      if (yield.getNumOperands() == loop.getAfterArguments().size())
        writeInto(yield->getOpOperands(), loop.getAfterArguments(), yield);
    });
  }
};
} // namespace
