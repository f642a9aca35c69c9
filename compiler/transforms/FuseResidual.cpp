// Implements lm-fuse-residual.

#include "compiler/transforms/MatchFailures.h"
#include "compiler/transforms/Passes.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moec {
#define GEN_PASS_DEF_FUSERESIDUAL
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct FuseResidualPattern final : OpRewritePattern<lm::AddOp> {
  FuseResidualPattern(MLIRContext *context, Pass::Statistic &numFused)
      : OpRewritePattern(context), numFused(numFused) {}

  LogicalResult matchAndRewrite(lm::AddOp add, PatternRewriter &rewriter) const override {
    for (auto [stream, summand] :
         {std::pair(add.getLeft(), add.getRight()), std::pair(add.getRight(), add.getLeft())}) {
      Operation *producer = summand.getDefiningOp();
      if (!isa_and_nonnull<lm::LinearOp, moe::CombineOp, moe::ExpertFfnOp>(producer) ||
          !producer->hasOneUse())
        continue;
      if (producer->hasAttr("accumulate"))
        return rewriter.notifyMatchFailure(
            producer, "a sum's product accumulates onto another stream already");
      if (producer->getBlock() != add->getBlock())
        return rewriter.notifyMatchFailure(add, "a sum's product is made in another block");
      // Onto the end of the stream's life: moved here, the producer reads it last.
      rewriter.moveOpBefore(producer, add);
      rewriter.modifyOpInPlace(producer, [&] {
        cast<DestinationStyleOpInterface>(producer).getDpsInitsMutable()[0].assign(stream);
        setAccumulate(producer);
      });
      rewriter.replaceOp(add, producer->getResults());
      ++numFused;
      return success();
    }
    return rewriter.notifyMatchFailure(
        add, "neither summand is a product, combination or expert layer that nobody else uses");
  }

private:
  Pass::Statistic &numFused;

  static void setAccumulate(Operation *producer) {
    if (auto linear = dyn_cast<lm::LinearOp>(producer))
      linear.setAccumulate(true);
    else if (auto combine = dyn_cast<moe::CombineOp>(producer))
      combine.setAccumulate(true);
    else
      cast<moe::ExpertFfnOp>(producer).setAccumulate(true);
  }
};

struct FuseResidual final : moec::impl::FuseResidualBase<FuseResidual> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseResidualPattern>(&getContext(), numFused);
    MatchFailures failures;
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns),
                                     GreedyRewriteConfig().setListener(&failures))))
      return signalPassFailure();
    failures.remark(getOperation());
  }
};

} // namespace
