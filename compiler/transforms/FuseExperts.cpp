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

/// The first products of an expert layer, and what follows them.
struct Inner {
  moe::ActivationAttr activation;
  moe::GroupedMatmulOp gate; ///< null where there is none
  moe::GroupedMatmulOp up;

  SmallVector<moe::GroupedMatmulOp, 2> products() const {
    return gate ? SmallVector<moe::GroupedMatmulOp, 2>{gate, up}
                : SmallVector<moe::GroupedMatmulOp, 2>{up};
  }
};

struct FuseExpertsPattern final : OpRewritePattern<moe::CombineOp> {
  FuseExpertsPattern(MLIRContext *context, Pass::Statistic &numFused)
      : OpRewritePattern(context), numFused(numFused) {}

  LogicalResult matchAndRewrite(moe::CombineOp combine, PatternRewriter &rewriter) const override {
    auto down = combine.getInput().getDefiningOp<moe::GroupedMatmulOp>();
    if (!down || !down->hasOneUse() || down.getRows() || down.getActivation())
      return rewriter.notifyMatchFailure(
          combine, "its input is not a down product of its own, over sorted rows");
    FailureOr<Inner> inner = matchInner(down, rewriter);
    if (failed(inner))
      return failure();
    auto [activation, gate, up] = *inner;
    auto dispatch = down.getTiles().getDefiningOp<moe::DispatchOp>();
    if (!dispatch)
      return rewriter.notifyMatchFailure(down, "its tiles are not those of a moe.dispatch");
    Value rows = dispatch.getResult(0), inverse = dispatch.getResult(1),
          tiles = dispatch.getResult(3);
    const SmallVector<moe::GroupedMatmulOp, 2> products = inner->products();
    for (moe::GroupedMatmulOp product : products)
      if (product.getTiles() != tiles || product.getRows() != rows)
        return rewriter.notifyMatchFailure(product,
                                           "its rows are not those of the down product's dispatch");
    // A pick's weight multiplies either what the expert gets or what it gives.
    const bool weighsInput = !combine.getWeights();
    Value weights = weighsInput ? up.getWeights() : combine.getWeights();
    for (moe::GroupedMatmulOp product : products)
      if (product.getWeights() != (weighsInput ? weights : Value()) ||
          (weighsInput && product.getExperts() != dispatch.getExperts()))
        return rewriter.notifyMatchFailure(
            product,
            "picks are not weighed once, before the first products or after the down product");
    if (!weights || down.getWeights())
      return rewriter.notifyMatchFailure(combine, "its picks have no weights");
    if (llvm::any_of(products, [&](moe::GroupedMatmulOp product) {
          return !product.getBias() != !down.getBias();
        }))
      return rewriter.notifyMatchFailure(down, "not all products have a bias, or none");
    if (combine.getInverse() != inverse)
      return rewriter.notifyMatchFailure(combine,
                                         "its picks are not those of the down product's dispatch");
    auto element = cast<FloatType>(cast<ShapedType>(down.getInput().getType()).getElementType());
    rewriter.replaceOpWithNewOp<moe::ExpertFfnOp>(
        combine, combine.getResultTypes(), activation, weighsInput, combine.getAccumulate(),
        element, up.getInput(), dispatch.getExperts(), weights, gate ? gate.getWeight() : Value(),
        up.getWeight(), down.getWeight(), gate ? gate.getBias() : Value(), up.getBias(),
        down.getBias(), combine.getOut());
    ++numFused;
    return success();
  }

private:
  /// What the down product multiplies.
  static FailureOr<Inner> matchInner(moe::GroupedMatmulOp down, PatternRewriter &rewriter) {
    if (auto only = down.getInput().getDefiningOp<moe::GroupedMatmulOp>();
        only && only.getActivation() && only->hasOneUse())
      return Inner{*only.getActivation(), nullptr, only};
    auto activation = down.getInput().getDefiningOp<moe::GatedActivationOp>();
    if (!activation || !activation->hasOneUse())
      return rewriter.notifyMatchFailure(down, "its input is not an activation of its own");
    auto gate = activation.getGate().getDefiningOp<moe::GroupedMatmulOp>();
    auto up = activation.getUp().getDefiningOp<moe::GroupedMatmulOp>();
    if (!gate || !up || !gate->hasOneUse() || !up->hasOneUse() || gate.getActivation() ||
        up.getActivation())
      return rewriter.notifyMatchFailure(activation, "gate and up are not products of its own");
    if (gate.getInput() != up.getInput())
      return rewriter.notifyMatchFailure(activation, "gate and up multiply different tokens");
    return Inner{activation.getActivation(), gate, up};
  }

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
