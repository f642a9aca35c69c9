// Implements moe-fuse-experts.

#include "compiler/transforms/MatchFailures.h"
#include "compiler/transforms/Passes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moec {
#define GEN_PASS_DEF_FUSEEXPERTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct FuseExpertsPattern final : OpRewritePattern<moe::CombineOp> {
  FuseExpertsPattern(MLIRContext *context, Pass::Statistic &numFused)
      : OpRewritePattern(context), numFused(numFused) {}

  LogicalResult matchAndRewrite(moe::CombineOp combine, PatternRewriter &rewriter) const override {
    auto down = combine.getInput().getDefiningOp<moe::GroupedMatmulOp>();
    if (!down || !down->hasOneUse() || down.getRows())
      return rewriter.notifyMatchFailure(
          combine, "its input is not a down product of its own, over sorted rows");
    auto activation = down.getInput().getDefiningOp<moe::GatedActivationOp>();
    if (!activation || !activation->hasOneUse())
      return rewriter.notifyMatchFailure(down, "its input is not a gated activation of its own");
    auto gate = activation.getGate().getDefiningOp<moe::GroupedMatmulOp>();
    auto up = activation.getUp().getDefiningOp<moe::GroupedMatmulOp>();
    if (!gate || !up || !gate->hasOneUse() || !up->hasOneUse())
      return rewriter.notifyMatchFailure(activation, "gate and up are not products of its own");
    if (gate.getInput() != up.getInput())
      return rewriter.notifyMatchFailure(activation, "gate and up multiply different tokens");
    auto dispatch = down.getTiles().getDefiningOp<moe::DispatchOp>();
    if (!dispatch)
      return rewriter.notifyMatchFailure(down, "its tiles are not those of a moe.dispatch");
    Value rows = dispatch.getResult(0), inverse = dispatch.getResult(1),
          tiles = dispatch.getResult(3);
    for (moe::GroupedMatmulOp product : {gate, up})
      if (product.getTiles() != tiles || product.getRows() != rows)
        return rewriter.notifyMatchFailure(product,
                                           "its rows are not those of the down product's dispatch");
    // A pick's weight multiplies either what the expert gets or what it gives.
    const bool weighsInput = !combine.getWeights();
    Value weights = weighsInput ? gate.getWeights() : combine.getWeights();
    for (moe::GroupedMatmulOp product : {gate, up})
      if (product.getWeights() != (weighsInput ? weights : Value()) ||
          (weighsInput && product.getExperts() != dispatch.getExperts()))
        return rewriter.notifyMatchFailure(
            product, "picks are not weighed once, before both products or after the down product");
    if (!weights || down.getWeights())
      return rewriter.notifyMatchFailure(combine, "its picks have no weights");
    if (!gate.getBias() != !down.getBias() || !up.getBias() != !down.getBias())
      return rewriter.notifyMatchFailure(down, "not all products have a bias, or none");
    if (combine.getInverse() != inverse)
      return rewriter.notifyMatchFailure(combine,
                                         "its picks are not those of the down product's dispatch");
    auto inner = cast<FloatType>(cast<ShapedType>(down.getInput().getType()).getElementType());
    rewriter.replaceOpWithNewOp<moe::ExpertFfnOp>(
        combine, combine.getResultTypes(), activation.getActivation(), weighsInput,
        combine.getAccumulate(), inner, gate.getInput(), dispatch.getExperts(), weights,
        gate.getWeight(), up.getWeight(), down.getWeight(), gate.getBias(), up.getBias(),
        down.getBias(), combine.getOut());
    ++numFused;
    return success();
  }

private:
  Pass::Statistic &numFused;
};

struct FuseExperts final : moec::impl::FuseExpertsBase<FuseExperts> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseExpertsPattern>(&getContext(), numFused);
    MatchFailures failures;
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns),
                                     GreedyRewriteConfig().setListener(&failures))))
      return signalPassFailure();
    failures.remark(getOperation());
  }
};

} // namespace
