// Implements moec-lower-graph.

#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/LinalgExtLoops.h"
#include "compiler/lowering/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moec {
#define GEN_PASS_DEF_LOWERGRAPH
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// The loop along which elements of the result are adjacent, if it is parallel.
static std::optional<unsigned> adjacentLoop(linalg::GenericOp op) {
  if (op.getNumDpsInits() == 0)
    return std::nullopt;
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (map.getNumResults() == 0)
    return std::nullopt;
  auto loop = dyn_cast<AffineDimExpr>(map.getResult(map.getNumResults() - 1));
  if (!loop || op.getIteratorTypesArray()[loop.getPosition()] != utils::IteratorType::parallel)
    return std::nullopt;
  return loop.getPosition();
}

/// Makes that loop the innermost one: sums of adjacent elements are then added up side by side,
/// each in its own order as before.
static linalg::LinalgOp orderLoops(RewriterBase &rewriter, linalg::LinalgOp op) {
  if (op.getNumReductionLoops() == 0)
    return op;
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!generic) {
    FailureOr<linalg::GenericOp> made = linalg::generalizeNamedOp(rewriter, op);
    if (failed(made))
      return op;
    generic = *made;
  }
  std::optional<unsigned> inner = adjacentLoop(generic);
  if (!inner || *inner + 1 == generic.getNumLoops())
    return generic;
  SmallVector<unsigned> order;
  for (unsigned loop = 0; loop < generic.getNumLoops(); ++loop)
    if (loop != *inner)
      order.push_back(loop);
  order.push_back(*inner);
  FailureOr<linalg::GenericOp> ordered = linalg::interchangeGenericOp(rewriter, generic, order);
  return succeeded(ordered) ? *ordered : generic;
}

namespace {

struct LowerGraph final : moec::impl::LowerGraphBase<LowerGraph> {
  void runOnOperation() override {
    if (getOperation().getName() != kGraphName)
      return;
    SmallVector<Operation *> work;
    getOperation().walk([&](Operation *op) {
      if (isa<linalg::LinalgOp>(op) || isa<linalg_ext::LinalgExtDialect>(op->getDialect()))
        work.push_back(op);
    });
    for (Operation *op : work)
      if (failed(lower(op))) {
        op->emitOpError("has no lowering to loops");
        return signalPassFailure();
      }
  }

private:
  static LogicalResult lower(Operation *op) {
    IRRewriter rewriter(op);
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      linalg::LinalgOp ordered = orderLoops(rewriter, linalgOp);
      rewriter.setInsertionPoint(ordered);
      if (failed(linalg::linalgOpToLoops(rewriter, ordered)))
        return failure();
      rewriter.eraseOp(ordered);
      return success();
    }
    llvm::TypeSwitch<Operation *>(op)
        .Case<linalg_ext::TopKOp, linalg_ext::NonzeroOp, linalg_ext::ScatterOp, linalg_ext::ScanOp>(
            [&](auto own) { emitLoops(rewriter, own); });
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace
