// Implements moec-check-scheduled.

#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_CHECKSCHEDULED
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {
struct CheckScheduled final : moec::impl::CheckScheduledBase<CheckScheduled> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([&](Operation *op) {
      auto hasTensor = [](TypeRange types) {
        return llvm::any_of(types, llvm::IsaPred<TensorType>);
      };
      if (hasTensor(op->getOperandTypes()) || hasTensor(op->getResultTypes()))
        return op->emitOpError("still works on tensors after the schedule stage"),
               WalkResult::interrupt();
      if (isa<memref::AllocOp>(op))
        return op->emitOpError("has no place in the arena"), WalkResult::interrupt();
      if (isa<DestinationStyleOpInterface, lm::CacheAppendOp, lm::RecordRoutingOp>(op) &&
          !op->getParentOfType<lm::PhaseOp>())
        return op->emitOpError("is in no phase"), WalkResult::interrupt();
      if (auto weight = dyn_cast<lm::WeightOp>(op); weight && !weight.getPacked())
        return op->emitOpError("has no packed form"), WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
