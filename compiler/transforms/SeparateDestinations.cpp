// Implements lm-separate-destinations.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace moec {
#define GEN_PASS_DEF_SEPARATEDESTINATIONS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Gives every use but the first an op of its own, in front of it.
static void separate(Operation *op) {
  SmallVector<OpOperand *> uses;
  for (OpOperand &use : op->getUses())
    uses.push_back(&use);
  if (uses.size() < 2)
    return;
  for (OpOperand *use : uses) {
    OpBuilder builder(use->getOwner());
    use->set(builder.clone(*op)->getResult(0));
  }
  op->erase();
}

namespace {
struct SeparateDestinations final : moec::impl::SeparateDestinationsBase<SeparateDestinations> {
  void runOnOperation() override {
    if (getOperation().getName() != kGraphName)
      return;
    // Fills first, so that each has an empty tensor of its own as well.
    SmallVector<Operation *> fills, empties;
    getOperation().walk([&](linalg::FillOp fill) {
      if (fill.getOutputs().front().getDefiningOp<tensor::EmptyOp>())
        fills.push_back(fill);
    });
    getOperation().walk([&](linalg::GenericOp fill) {
      // A fill that was generalised: of one value, into an empty tensor.
      if (fill.getNumDpsInits() == 1 && fill.getNumReductionLoops() == 0 &&
          fill.getDpsInits().front().getDefiningOp<tensor::EmptyOp>() &&
          llvm::none_of(fill.getDpsInputs(),
                        [](Value input) { return isa<TensorType>(input.getType()); }) &&
          llvm::hasSingleElement(fill.getRegion().front()))
        fills.push_back(fill);
    });
    for (Operation *fill : fills)
      separate(fill);
    getOperation().walk([&](tensor::EmptyOp empty) { empties.push_back(empty); });
    for (Operation *empty : empties)
      separate(empty);
  }
};
} // namespace
