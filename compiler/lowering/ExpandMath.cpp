// Implements moec-expand-math.

#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/Passes.h"
#include "compiler/lowering/SmallFloats.h"
#include "compiler/targets/ElementaryFunctions.h"
#include "compiler/targets/cpu/CpuKernelBuilder.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moec {
#define GEN_PASS_DEF_EXPANDMATH
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct ExpandExp final : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::ExpOp op, PatternRewriter &rewriter) const override {
    if (!op.getType().isF32())
      return rewriter.notifyMatchFailure(op, "is not of f32");
    // What is emitted is arithmetic of scalars, the same for every level.
    CpuKernelBuilder kernel(rewriter, op.getLoc(), cpuTargets().front());
    rewriter.replaceOp(op, emitExp(kernel, op.getOperand()));
    return success();
  }
};

struct ExpandMath final : moec::impl::ExpandMathBase<ExpandMath> {
  void runOnOperation() override {
    if (getOperation().getName() != kGraphName)
      return;
    RewritePatternSet patterns(&getContext());
    patterns.add<ExpandExp>(&getContext());
    populatePolynomialApproximateTanhPattern(patterns);
    populatePolynomialApproximateErfPattern(patterns);
    populateSmallFloatPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
