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
    SmallVector<std::pair<Operation *, QuantFormat>> readers;
    getOperation().walk([&](Operation *op) {
      if (std::optional<WeightClass> weights = classOf(op))
        if (auto format = parsed->find(*weights); format != parsed->end())
          readers.emplace_back(op, format->second);
    });
    for (auto [op, format] : readers)
      for (OpOperand *weight : weightsOf(op))
        if (WeightLoads::loadOf(weight->get()) && failed(quantizeWeight(*weight, format, *parsed)))
          return signalPassFailure();
    for (auto [op, format] : readers) // last, since classes show in what makes an input
      if (OpOperand *input = productInput(op); input && quantMultipliesIntegers(format))
        quantizeInput(op, *input, format);
  }

private:
  /// A table of embeddings that is the head as well counts as that, and is held once.
  std::optional<WeightClass> classOf(Operation *op) {
    auto embedding = dyn_cast<lm::EmbeddingOp>(op);
    if (embedding && WeightLoads::loadOf(embedding.getTable()))
      for (OpOperand *use : usesOf(symbolAt(embedding.getTableMutable())))
        if (!isa<lm::EmbeddingOp>(use->getOwner()))
          return weightClassOf(use->getOwner());
    return weightClassOf(op);
  }

  /// The weights that may be quantised; not biases.
  static SmallVector<OpOperand *> weightsOf(Operation *op) {
    if (auto embedding = dyn_cast<lm::EmbeddingOp>(op))
      return {&embedding.getTableMutable()};
    if (auto linear = dyn_cast<lm::LinearOp>(op))
      return {&linear.getWeightMutable()};
    if (auto product = dyn_cast<moe::GroupedMatmulOp>(op))
      return {&product.getWeightMutable()};
    if (auto product = dyn_cast<moe::GroupedGluOp>(op))
      return {&product.getGateMutable(), &product.getUpMutable()};
    auto layer = cast<moe::ExpertFfnOp>(op);
    SmallVector<OpOperand *> weights{&layer.getUpMutable(), &layer.getDownMutable()};
    for (OpOperand &gate : layer.getGateMutable())
      weights.insert(weights.begin(), &gate);
    return weights;
  }

  lm::WeightOp symbolAt(OpOperand &operand) {
    return getOperation().lookupSymbol<lm::WeightOp>(
        WeightLoads::loadOf(operand.get()).getWeight());
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

  /// Gives the weight at an operand the format, which all who read it must be to take.
  LogicalResult quantizeWeight(OpOperand &operand, QuantFormat format,
                               const WeightFormats &formats) {
    lm::WeightOp symbol = symbolAt(operand);
    for (OpOperand *use : usesOf(symbol)) {
      Operation *reader = use->getOwner();
      std::optional<WeightClass> weights = classOf(reader);
      const bool mayTake = weights && llvm::is_contained(weightsOf(reader), use);
      auto chosen = mayTake ? formats.find(*weights) : formats.end();
      if (chosen == formats.end() || chosen->second != format)
        return reader->emitOpError()
               << "reads @" << symbol.getSymName() << " as "
               << (chosen == formats.end() ? "it is stored" : traitsOf(chosen->second).name)
               << ", which is to become " << traitsOf(format).name;
    }
    symbol.setQuantized(static_cast<lm::QuantFormat>(format));
    return success();
  }

  void quantizeInput(Operation *op, OpOperand &input, QuantFormat format) {
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
