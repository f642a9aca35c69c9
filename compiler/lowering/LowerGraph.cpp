// Implements moec-lower-graph.

#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/LinalgExtLoops.h"
#include "compiler/lowering/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/LoopInvariantCodeMotionUtils.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moec {
#define GEN_PASS_DEF_LOWERGRAPH
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// The loop along which the last dimension of an operand is read or written.
static std::optional<unsigned> innerLoop(AffineMap map) {
  if (map.getNumResults() == 0)
    return std::nullopt;
  auto loop = dyn_cast<AffineDimExpr>(map.getResult(map.getNumResults() - 1));
  return loop ? std::optional(loop.getPosition()) : std::nullopt;
}

/// The loop along which elements of the result are adjacent, if it is parallel, and if it is worth
/// being the innermost one: elements of some input are adjacent along it too.
static std::optional<unsigned> adjacentLoop(linalg::GenericOp op) {
  if (op.getNumDpsInits() == 0)
    return std::nullopt;
  std::optional<unsigned> loop = innerLoop(op.getMatchingIndexingMap(op.getDpsInitOperand(0)));
  if (!loop || op.getIteratorTypesArray()[*loop] != utils::IteratorType::parallel)
    return std::nullopt;
  const bool isRead = llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *input) {
    return innerLoop(op.getMatchingIndexingMap(input)) == loop;
  });
  return isRead ? loop : std::nullopt;
}

/// Sums of adjacent elements are added up side by side, each in its own order as before.
static linalg::GenericOp orderLoops(RewriterBase &rewriter, linalg::GenericOp op) {
  std::optional<unsigned> inner = adjacentLoop(op);
  if (!inner || *inner + 1 == op.getNumLoops())
    return op;
  SmallVector<unsigned> order;
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
    if (loop != *inner)
      order.push_back(loop);
  order.push_back(*inner);
  FailureOr<linalg::GenericOp> ordered = linalg::interchangeGenericOp(rewriter, op, order);
  return succeeded(ordered) ? *ordered : op;
}

/// Lets sums be made of several, and their products go into them without being rounded.
static void loosenSums(linalg::GenericOp op) {
  for (BlockArgument sum : op.getRegionOutputArgs())
    for (Operation *user : sum.getUsers()) {
      auto add = dyn_cast<arith::AddFOp>(user);
      if (!add || !llvm::hasSingleElement(sum.getUses()))
        continue;
      using enum arith::FastMathFlags;
      add.setFastmath(reassoc | contract);
      for (Value term : {add.getLhs(), add.getRhs()})
        if (auto product = term.getDefiningOp<arith::MulFOp>())
          product.setFastmath(contract);
    }
}

static bool isSameIndex(Value a, Value b) {
  auto left = a.getDefiningOp<affine::AffineApplyOp>(),
       right = b.getDefiningOp<affine::AffineApplyOp>();
  return a == b || (left && right && left.getAffineMap() == right.getAffineMap() &&
                    left.getOperands() == right.getOperands());
}

/// Keeps the element that every iteration of `loop` reads and writes in a register. The loop that
/// does so in its place.
static scf::ForOp keepElement(RewriterBase &rewriter, scf::ForOp loop) {
  moveLoopInvariantCode(loop);
  memref::StoreOp store;
  for (auto candidate : loop.getBody()->getOps<memref::StoreOp>())
    if (llvm::all_of(candidate.getIndices(),
                     [&](Value index) { return loop.isDefinedOutsideOfLoop(index); }) &&
        loop.isDefinedOutsideOfLoop(candidate.getMemRef()))
      store = candidate;
  if (!store)
    return loop;
  memref::LoadOp load;
  for (auto candidate : loop.getBody()->getOps<memref::LoadOp>())
    if (candidate.getMemRef() == store.getMemRef() &&
        llvm::all_of(llvm::zip(candidate.getIndices(), store.getIndices()),
                     [](auto pair) { return isSameIndex(std::get<0>(pair), std::get<1>(pair)); }))
      load = candidate;
  if (!load)
    return loop;
  rewriter.setInsertionPoint(loop);
  Value first =
      memref::LoadOp::create(rewriter, load.getLoc(), store.getMemRef(), store.getIndices());
  auto next = [&](OpBuilder &, Location, ArrayRef<BlockArgument>) {
    return SmallVector<Value>{store.getValueToStore()};
  };
  FailureOr<LoopLikeOpInterface> made = loop.replaceWithAdditionalYields(
      rewriter, first, /*replaceInitOperandUsesInLoop=*/false, next);
  if (failed(made))
    return loop;
  auto kept = cast<scf::ForOp>(made->getOperation());
  rewriter.replaceAllUsesWith(load, kept.getRegionIterArgs().back());
  rewriter.eraseOp(load);
  rewriter.setInsertionPointAfter(kept);
  memref::StoreOp::create(rewriter, store.getLoc(), kept.getResults().back(), store.getMemRef(),
                          store.getIndices());
  rewriter.eraseOp(store);
  return kept;
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
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
      return lowerToLoops(rewriter, linalgOp);
    llvm::TypeSwitch<Operation *>(op)
        .Case<linalg_ext::TopKOp, linalg_ext::NonzeroOp, linalg_ext::ScatterOp, linalg_ext::ScanOp>(
            [&](auto own) { emitLoops(rewriter, own); });
    rewriter.eraseOp(op);
    return success();
  }

  static LogicalResult lowerToLoops(RewriterBase &rewriter, linalg::LinalgOp op) {
    auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
    if (!generic) {
      FailureOr<linalg::GenericOp> made = linalg::generalizeNamedOp(rewriter, op);
      if (failed(made))
        return failure();
      generic = *made;
    }
    if (generic.getNumReductionLoops() > 0) {
      generic = orderLoops(rewriter, generic);
      loosenSums(generic);
    }
    SmallVector<utils::IteratorType> kinds = generic.getIteratorTypesArray();
    rewriter.setInsertionPoint(generic);
    FailureOr<linalg::LinalgLoops> loops = linalg::linalgOpToLoops(rewriter, generic);
    if (failed(loops))
      return failure();
    rewriter.eraseOp(generic);
    if (loops->size() != kinds.size())
      return success();
    for (auto [kind, loop] : llvm::reverse(llvm::zip(kinds, *loops))) {
      if (kind != utils::IteratorType::reduction)
        break;
      keepElement(rewriter, cast<scf::ForOp>(loop));
    }
    return success();
  }
};

} // namespace
