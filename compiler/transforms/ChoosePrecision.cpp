// Implements lm-choose-precision.

#include "compiler/analysis/ProductKinds.h"
#include "compiler/transforms/FloatNames.h"
#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_CHOOSEPRECISION
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct ChoosePrecision final : moec::impl::ChoosePrecisionBase<ChoosePrecision> {
  using ChoosePrecisionBase::ChoosePrecisionBase;

  void runOnOperation() override {
    if (failed(verifyFloatNames(getOperation(), {StringRef(activations), StringRef(cache)})))
      return signalPassFailure();
    element = BFloat16Type::get(&getContext());
    roundsQueries = activations == "bf16" && cache == "bf16";
    if (cache == "bf16")
      getOperation().walk([&](lm::CacheOp op) { op.setElement(element); });
    if (activations == "f32")
      return;
    SmallVector<OpOperand *> operands;
    getOperation().walk([&](Operation *op) {
      OpOperand *operand = operandOfProduct(op);
      if (operand && isa<FloatType>(getElementTypeOrSelf(operand->get())))
        operands.push_back(operand);
    });
    for (OpOperand *operand : operands)
      operand->set(round(operand->get()));
  }

private:
  /// The operand of a product that is to be rounded, if `op` is one.
  OpOperand *operandOfProduct(Operation *op) {
    if (auto linear = dyn_cast<lm::LinearOp>(op); linear && isRouter(linear))
      return nullptr;
    if (auto layer = dyn_cast<moe::ExpertFfnOp>(op); layer && isa<FloatType>(layer.getInner()))
      layer.setInner(element);
    if (auto attention = dyn_cast<lm::AttentionOp>(op))
      return roundsQueries ? &attention.getQueriesMutable() : nullptr;
    return productInput(op);
  }

  /// `value` with elements of the chosen type: from its producer where that can round its result.
  Value round(Value value) {
    if (cast<ShapedType>(value.getType()).getElementType() == element)
      return value;
    if (Value done = rounded.lookup(value))
      return done;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    Location loc = value.getLoc();
    auto type = cast<RankedTensorType>(value.getType());
    Operation *producer = value.getDefiningOp();
    bool canRound = isa_and_nonnull<lm::RmsNormOp, lm::LayerNormOp, lm::RopeOp, lm::TemperatureOp,
                                    lm::SliceHeadsOp, lm::JoinHeadsOp, lm::HeadLinearOp,
                                    lm::AttentionOp, moe::GatedActivationOp>(producer);
    Value shaped =
        canRound ? cast<DestinationStyleOpInterface>(producer).getDpsInits().front() : value;
    Value empty =
        tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, shaped), element);
    Value result;
    if (canRound) {
      Operation *clone = builder.clone(*producer);
      cast<DestinationStyleOpInterface>(clone).getDpsInitsMutable()[0].assign(empty);
      clone->getResult(0).setType(type.clone(element));
      result = clone->getResult(0);
    } else {
      result = lm::RoundOp::create(builder, loc, type.clone(element), value, empty).getResult(0);
    }
    return rounded[value] = result;
  }

  FloatType element;
  bool roundsQueries = false; ///< both operands of attention's products are bf16
  llvm::DenseMap<Value, Value> rounded;
};

} // namespace
