// Implements moec-check-optimized.

#include "compiler/transforms/Passes.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace moec {
#define GEN_PASS_DEF_CHECKOPTIMIZED
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Whether an op is of a dialect that graphs of tensors have besides.
static bool isOfGraph(Operation *op) {
  return isa_and_nonnull<affine::AffineDialect, linalg::LinalgDialect, linalg_ext::LinalgExtDialect,
                         math::MathDialect, memref::MemRefDialect>(op->getDialect());
}

namespace {
struct CheckOptimized final : moec::impl::CheckOptimizedBase<CheckOptimized> {
  void runOnOperation() override {
    func::FuncOp step = findStep(getOperation());
    if (!step) {
      getOperation().emitError("has no function 'step' or 'graph' to compile");
      return signalPassFailure();
    }
    FunctionType type = step.getFunctionType();
    if (type.getNumInputs() != 1 || !isa<lm::BatchType>(type.getInput(0)) ||
        type.getNumResults() != 0) {
      step.emitError() << "is of type " << type << ", but a " << step.getName()
                       << " is of type '(!lm.batch) -> ()'";
      return signalPassFailure();
    }
    if (!step.getBody().hasOneBlock()) {
      step.emitError() << "has " << step.getBody().getBlocks().size() << " blocks, but a "
                       << step.getName() << " has one, with loops and switches inside";
      return signalPassFailure();
    }
    WalkResult result = getOperation().walk([&](Operation *op) {
      if (isa<ModuleOp>(op) || op == step)
        return WalkResult::advance();
      if (isa<func::CallOp>(op))
        return op->emitOpError("is left after the optimize stage, where every layer is inlined"),
               WalkResult::interrupt();
      if (isa<func::FuncOp>(op))
        return op->emitOpError() << "is beside the " << step.getName()
                                 << " after the optimize stage, where every layer is inlined",
               WalkResult::interrupt();
      if (!isa_and_nonnull<lm::LmDialect, moe::MoeDialect, arith::ArithDialect,
                           tensor::TensorDialect, scf::SCFDialect, func::FuncDialect,
                           bufferization::BufferizationDialect>(op->getDialect()) &&
          !(step.getName() == kGraphName && isOfGraph(op)))
        return op->emitOpError("is of a dialect that later stages do not know"),
               WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
