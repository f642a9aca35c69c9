// Implements moec-check-scheduled.

#include "compiler/transforms/Passes.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace moec {
#define GEN_PASS_DEF_CHECKSCHEDULED
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

bool moec::mayStandBetweenPhases(Operation *op) {
  if (isa_and_nonnull<arith::ArithDialect>(op->getDialect()))
    return op->hasTrait<OpTrait::ConstantLike>() ||
           llvm::all_of(op->getResultTypes(), [](Type type) { return type.isIntOrIndex(); });
  if (isa_and_nonnull<lm::LmDialect>(op->getDialect()))
    return !isComputing(op) && !isa<lm::SetOutputSizeOp>(op);
  return isa<affine::AffineApplyOp, affine::AffineMaxOp, affine::AffineMinOp, memref::ViewOp,
             memref::SubViewOp, memref::CastOp, memref::CollapseShapeOp, memref::ExpandShapeOp,
             memref::DimOp, memref::GetGlobalOp, memref::GlobalOp, scf::ForOp, scf::IfOp,
             scf::IndexSwitchOp, scf::YieldOp, func::FuncOp, func::ReturnOp, ModuleOp>(op);
}

/// Whether an op may be in a phase of a graph, whose work is loops over elements.
static bool isWorkOfGraph(Operation *op) {
  return isa_and_nonnull<affine::AffineDialect, arith::ArithDialect, linalg::LinalgDialect,
                         linalg_ext::LinalgExtDialect, math::MathDialect, memref::MemRefDialect,
                         scf::SCFDialect>(op->getDialect()) ||
         isa<lm::SetOutputSizeOp>(op);
}

/// Whether an op tells of sizes in the function that is for that.
static bool isOfSizes(Operation *op) {
  return isa<lm::SetOutputSizeOp>(op) &&
         op->getParentOfType<func::FuncOp>().getName() != kGraphName;
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
    if (!isComputing(op) &&
        !(op->getParentOfType<func::FuncOp>().getName() == kGraphName && isWorkOfGraph(op)))
      return op->emitOpError("is in a phase, which may hold only computing ops of lm and moe");
  } else if (isComputing(op)) {
    return op->emitOpError("is in no phase");
  } else if (!mayStandBetweenPhases(op) && !isOfSizes(op)) {
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
