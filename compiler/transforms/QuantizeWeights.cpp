// Implements lm-quantize-weights.

#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightFormats.h"
#include "compiler/transforms/WeightLoads.h"

namespace moec {
#define GEN_PASS_DEF_QUANTIZEWEIGHTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct QuantizeWeights final : moec::impl::QuantizeWeightsBase<QuantizeWeights> {
  using QuantizeWeightsBase::QuantizeWeightsBase;

  void runOnOperation() override {
    if (formats.empty())
      return;
    Result<WeightFormats> parsed = parseWeightFormats(formats);
    if (!parsed.ok()) {
      getOperation().emitError() << parsed.status().message;
      return signalPassFailure();
    }
    SmallVector<std::pair<Operation *, QuantFormat>> products;
    getOperation().walk([&](Operation *op) {
      if (std::optional<WeightClass> weights = weightClassOf(op))
        if (auto format = parsed->find(*weights); format != parsed->end())
          products.emplace_back(op, format->second);
    });
    for (auto [op, format] : products) {
      for (OpOperand *weight : weightsOf(op))
        if (WeightLoads::loadOf(weight->get()))
          quantizeWeight(*weight, format);
      quantizeInput(op, format);
    }
  }

private:
  /// The weights that are multiplied; not biases.
  static SmallVector<OpOperand *> weightsOf(Operation *op) {
    if (auto linear = dyn_cast<lm::LinearOp>(op))
      return {&linear.getWeightMutable()};
    if (auto product = dyn_cast<moe::GroupedMatmulOp>(op))
      return {&product.getWeightMutable()};
    if (auto product = dyn_cast<moe::GroupedGluOp>(op))
      return {&product.getGateMutable(), &product.getUpMutable()};
    auto layer = cast<moe::ExpertFfnOp>(op);
    return {&layer.getGateMutable(), &layer.getUpMutable(), &layer.getDownMutable()};
  }

  /// Gives the weight at an operand the format. Where others read it as it is stored (a table of
  /// embeddings that is the head as well), the product gets a weight of its own.
  void quantizeWeight(OpOperand &operand, QuantFormat format) {
    lm::LoadWeightOp load = WeightLoads::loadOf(operand.get());
    auto symbol = getOperation().lookupSymbol<lm::WeightOp>(load.getWeight());
    const auto wanted = static_cast<lm::QuantFormat>(format);
    if (symbol.getQuantized() == wanted)
      return;
    if (llvm::all_of(usesOf(symbol), [&](OpOperand *use) { return isProductsWeight(*use); })) {
      symbol.setQuantized(wanted);
      return;
    }
    std::string name = (symbol.getSymName() + "_" + traitsOf(format).name).str();
    auto own = getOperation().lookupSymbol<lm::WeightOp>(name);
    if (!own) {
      OpBuilder builder(symbol);
      own = cast<lm::WeightOp>(builder.clone(*symbol));
      own.setSymName(name);
      own.setQuantized(wanted);
    }
    OpBuilder builder(load);
    operand.set(WeightLoads::loadLike(load, own, builder));
  }

  SmallVector<OpOperand *> usesOf(lm::WeightOp symbol) {
    SmallVector<OpOperand *> uses;
    getOperation().walk([&](lm::LoadWeightOp load) {
      if (load.getWeight() == symbol.getSymName())
        for (OpOperand &use : load->getUses())
          uses.push_back(&use);
    });
    return uses;
  }

  /// Whether the operand is a weight that some product multiplies with.
  static bool isProductsWeight(OpOperand &use) {
    return weightClassOf(use.getOwner()) && llvm::is_contained(weightsOf(use.getOwner()), &use);
  }

  void quantizeInput(Operation *op, QuantFormat format) {
    OpOperand &input = *productInput(op);
    const int64_t columns = extentOf(input.get(), 1), block = quantGroup(format, columns);
    Value &quantized = blocks[{input.get(), block}];
    if (!quantized)
      quantized = quantize(input.get(), block);
    input.set(quantized);
    if (auto layer = dyn_cast<moe::ExpertFfnOp>(op))
      layer.setInner(IntegerType::get(&getContext(), 8));
  }

  static Value quantize(Value value, int64_t block) {
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    OpFoldResult rows = tensor::getMixedSize(builder, value.getLoc(), value, 0);
    Value empty = tensor::EmptyOp::create(
        builder, value.getLoc(),
        {rows, builder.getIndexAttr(quantizedColumns(extentOf(value, 1), block))},
        builder.getI8Type());
    return lm::QuantizeOp::create(builder, value.getLoc(), empty.getType(), block, value, empty)
        .getResult(0);
  }

  llvm::DenseMap<std::pair<Value, int64_t>, Value> blocks;
};

} // namespace
