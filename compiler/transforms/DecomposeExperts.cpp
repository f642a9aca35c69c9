// Implements moe-decompose-experts.

#include "compiler/analysis/PackedWeights.h"
#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_DECOMPOSEEXPERTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct DecomposeExperts final : moec::impl::DecomposeExpertsBase<DecomposeExperts> {
  using DecomposeExpertsBase::DecomposeExpertsBase;

  void runOnOperation() override {
    SmallVector<moe::ExpertFfnOp> layers;
    getOperation().walk([&](moe::ExpertFfnOp layer) { layers.push_back(layer); });
    for (moe::ExpertFfnOp layer : layers)
      if (failed(decompose(layer)))
        return signalPassFailure();
  }

private:
  /// How many activations share a scale in a product with `weight`; fails where they stay floats.
  static FailureOr<int64_t> blockFor(Value weight) {
    auto load = weight.getDefiningOp<lm::LoadWeightOp>();
    auto symbol =
        load ? SymbolTable::lookupNearestSymbolFrom<lm::WeightOp>(load, load.getWeightAttr())
             : lm::WeightOp();
    if (!symbol || !symbol.getQuantized())
      return failure();
    const QuantFormat format = quantFormat(*symbol.getQuantized());
    if (!quantMultipliesIntegers(format))
      return failure();
    return quantGroup(format, extentOf(weight, 2));
  }

  LogicalResult decompose(moe::ExpertFfnOp layer) {
    if (!layer.hasPureTensorSemantics())
      return layer.emitOpError("is on memrefs, but is taken apart before bufferization");
    Location loc = layer.getLoc();
    OpBuilder builder(layer);
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(builder, loc, value);
    };
    auto empty = [&](ArrayRef<OpFoldResult> shape, Type element) -> Value {
      return tensor::EmptyOp::create(builder, loc, shape, element);
    };
    int64_t picked = extentOf(layer.getExperts(), 1), numExperts = extentOf(layer.getUp(), 0);
    OpFoldResult tokens = tensor::getMixedSize(builder, loc, layer.getTokens(), 0);
    Value numTokens = getValueOrCreateConstantIndexOp(builder, loc, tokens);
    Value numRows = arith::MulIOp::create(builder, loc, numTokens, constant(picked));
    // Pieces of one expert: full ones, and one that is not full for each expert that has rows.
    Value full = arith::DivUIOp::create(builder, loc, numRows, constant(tileRows));
    Value most = arith::MinUIOp::create(builder, loc, numRows, constant(numExperts));
    Value numTiles = arith::AddIOp::create(
        builder, loc, arith::AddIOp::create(builder, loc, full, most), constant(1));

    Type i32 = builder.getI32Type(), f32 = builder.getF32Type();
    auto index = [&](int64_t value) -> OpFoldResult { return builder.getIndexAttr(value); };
    SmallVector<Value> plan{empty({numRows}, i32), empty({numRows}, i32),
                            empty({index(numExperts + 1)}, i32), empty({numTiles, index(3)}, i32)};
    auto dispatch = moe::DispatchOp::create(builder, loc, TypeRange(plan), tileRows,
                                            layer.getExperts(), plan[0], plan[1], plan[2], plan[3]);
    Value rows = dispatch.getResult(0), inverse = dispatch.getResult(1),
          tiles = dispatch.getResult(3);
    const bool quantizes = layer.getInner().isInteger();
    Value inner =
        empty({numRows, index(extentOf(layer.getUp(), 1))}, quantizes ? f32 : layer.getInner());
    // The weights of the picks multiply the tokens, or else what comes of them.
    const bool weighsInput = layer.getWeighInput();
    Value experts = weighsInput ? layer.getExperts() : Value(),
          weights = weighsInput ? layer.getWeights() : Value();
    Operation *first =
        layer.getGate()
            ? moe::GroupedGluOp::create(builder, loc, inner.getType(), layer.getActivation(),
                                        layer.getTokens(), layer.getGate(), layer.getUp(), tiles,
                                        rows, experts, weights, layer.getGateBias(),
                                        layer.getUpBias(), inner)
                  .getOperation()
            : moe::GroupedMatmulOp::create(builder, loc, inner.getType(), layer.getActivation(),
                                           layer.getTokens(), layer.getUp(), tiles, rows, experts,
                                           weights, layer.getUpBias(), inner);
    inner = first->getResult(0);
    if (quantizes) {
      FailureOr<int64_t> block = blockFor(layer.getDown());
      if (failed(block))
        return layer.emitOpError(
            "quantizes its inner result, but its down weight has no format of integers");
      Value blocks = empty({numRows, index(quantizedColumns(extentOf(layer.getUp(), 1), *block))},
                           builder.getI8Type());
      inner = lm::QuantizeOp::create(builder, loc, blocks.getType(), *block, inner, blocks)
                  .getResult(0);
    }
    Value down = empty({numRows, index(extentOf(layer.getOut(), 1))}, f32);
    down = moe::GroupedMatmulOp::create(builder, loc, down.getType(), /*activation=*/nullptr, inner,
                                        layer.getDown(), tiles,
                                        /*rows=*/Value(), /*experts=*/Value(), /*weights=*/Value(),
                                        layer.getDownBias(), down)
               .getResult(0);
    auto combine = moe::CombineOp::create(
        builder, loc, layer.getOut().getType(), layer.getAccumulate(),
        weighsInput ? builder.getI64IntegerAttr(picked) : IntegerAttr(), down, inverse,
        weighsInput ? Value() : layer.getWeights(), layer.getOut());
    layer.replaceAllUsesWith(combine.getResults());
    layer.erase();
    return success();
  }
};

} // namespace
