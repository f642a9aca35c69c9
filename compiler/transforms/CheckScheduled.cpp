// Implements moec-check-scheduled.

#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_CHECKSCHEDULED
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Whether an op may stand between phases: it says which work there is, and does none. Nor does it
/// read what a phase has written: a thread may come there when that memory is used for other
/// things.
static bool mayStandBetweenPhases(Operation *op) {
  if (isa_and_nonnull<arith::ArithDialect>(op->getDialect()))
    return llvm::all_of(op->getResultTypes(), [](Type type) { return type.isIntOrIndex(); });
  if (isa_and_nonnull<lm::LmDialect>(op->getDialect()))
    return !isComputing(op);
  return isa<memref::ViewOp, memref::SubViewOp, memref::CastOp, memref::DimOp, scf::ForOp,
             scf::IfOp, scf::IndexSwitchOp, scf::YieldOp, func::FuncOp, func::ReturnOp, ModuleOp>(
      op);
}

static LogicalResult check(Operation *op) {
  auto hasTensor = [](TypeRange types) { return llvm::any_of(types, llvm::IsaPred<TensorType>); };
  if (hasTensor(op->getOperandTypes()) || hasTensor(op->getResultTypes()))
    return op->emitOpError("still works on tensors after the schedule stage");
  if (isa<memref::AllocOp>(op))
    return op->emitOpError("has no place in the arena");
  if (auto weight = dyn_cast<lm::WeightOp>(op); weight && !weight.getPacked())
    return op->emitOpError("has no packed form");
  if (op->getParentOfType<lm::PhaseOp>()) {
    if (!isComputing(op))
      return op->emitOpError("is in a phase, which may hold only computing ops of lm and moe");
  } else if (isComputing(op)) {
    return op->emitOpError("is in no phase");
  } else if (!mayStandBetweenPhases(op)) {
    return op->emitOpError("stands between phases, where only counts, loops, branches, views and "
                           "barriers may");
  }
  return success();
}

namespace {
struct CheckScheduled final : moec::impl::CheckScheduledBase<CheckScheduled> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([](Operation *op) {
      return failed(check(op)) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
