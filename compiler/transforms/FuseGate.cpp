// Implements moe-fuse-gate.

#include "compiler/transforms/MatchFailures.h"
#include "compiler/transforms/Passes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moec {
#define GEN_PASS_DEF_FUSEGATE
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct FuseGatePattern final : OpRewritePattern<moe::RouteOp> {
  FuseGatePattern(MLIRContext *context, Pass::Statistic &numFused)
      : OpRewritePattern(context), numFused(numFused) {}

  LogicalResult matchAndRewrite(moe::RouteOp route, PatternRewriter &rewriter) const override {
    auto score = route.getScores().getDefiningOp<moe::ScoreOp>();
    if (!score || !score->hasOneUse())
      return rewriter.notifyMatchFailure(route,
                                         "the scores are not those of one moe.score of its own");
    auto linear = score.getLogits().getDefiningOp<lm::LinearOp>();
    if (!linear || !linear->hasOneUse())
      return rewriter.notifyMatchFailure(route,
                                         "the logits are not those of one lm.linear of its own");
    if (linear.getAccumulate())
      return rewriter.notifyMatchFailure(linear, "the router accumulates");
    rewriter.replaceOpWithNewOp<moe::GateOp>(
        route, route.getResultTypes(), score.getFunctionAttr(), route.getWeighingAttr(),
        route.getEpsilonAttr(), route.getScaleAttr(), route.getGroupsAttr(),
        route.getPreferHigherAttr(), linear.getInput(), linear.getWeight(), linear.getBias(),
        route.getCorrection(), route.getExperts(), route.getWeights());
    ++numFused;
    return success();
  }

private:
  Pass::Statistic &numFused;
};

struct FuseGate final : moec::impl::FuseGateBase<FuseGate> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseGatePattern>(&getContext(), numFused);
    MatchFailures failures;
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns),
                                     GreedyRewriteConfig().setListener(&failures))))
      return signalPassFailure();
    failures.remark(getOperation());
  }
};

} // namespace
