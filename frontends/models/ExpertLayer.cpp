// Builds the experts of a layer: the router's choice, the plan of the rows, and the products.

#include "frontends/models/LayerBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;

/// Rows of one expert that a piece of work takes at most.
static constexpr int64_t kTileRows = 64;

namespace moec {

/// The rows of each expert, and the choice that they follow from.
struct ExpertPlan {
  Value experts, weights;     ///< T x K: the choice
  Value rows, inverse, tiles; ///< what moe.dispatch gives
  Value count;                ///< T*K
};

} // namespace moec

/// The weight of an expert product, `rows` x `columns` for each of `experts`. Where the checkpoint
/// lacks what is published, it is the part of `fused` from `firstRow` on, a tensor of all experts.
static Weight expertWeight(const WeightTable &weights, ArrayRef<int64_t> layers, std::string symbol,
                           std::vector<int64_t> shape, TensorRows published,
                           const std::string &fused, int64_t firstRow, int64_t rowsPerExpert) {
  if (!weights.has(published.pattern, layers) && weights.has(fused, layers))
    published = {.pattern = fused, .firstRow = firstRow, .rowsPerExpert = rowsPerExpert};
  return {std::move(symbol), std::move(shape), std::move(published)};
}

TensorRows LayerBuilder::named(TensorRows rows) const {
  if (!rows.pattern.empty())
    rows.pattern = nameOf(rows.pattern);
  return rows;
}

ExpertPlan LayerBuilder::route(Value x, const ExpertConfig &config,
                               const ExpertTensors &published) {
  const int64_t experts = config.experts, picked = config.picked;
  const RoutingConfig &routing = config.routing;
  Type id = builder.getI32Type();
  // What transformers 5 has in memory is called the same in all families.
  Weight router{"router", {experts, decoder.hidden}, {nameOf(published.router)}};
  if (!weights.has(router.source.pattern, layers) && weights.has(nameOf("mlp.gate.weight"), layers))
    router.source = {nameOf("mlp.gate.weight")};

  Value weight = load(router);
  auto vector = [&](const char *symbol, const std::string &name) -> Value {
    return name.empty() ? Value() : load({symbol, {experts}, {nameOf(name)}});
  };
  Value bias = vector("router.bias", published.routerBias),
        correction = vector("router.correction", published.correction);
  Location location = weight.getLoc();
  Value logitsOut = destination(location, experts);
  Value logits = lm::LinearOp::create(builder, location, logitsOut.getType(), /*accumulate=*/false,
                                      x, weight, bias, logitsOut)
                     .getResult(0);
  Value scoresOut = destination(location, experts);
  Value scores =
      moe::ScoreOp::create(builder, location, scoresOut.getType(), routing.score, logits, scoresOut)
          .getResult(0);
  moe::GroupsAttr groups;
  if (routing.keptGroups < routing.groups)
    groups = moe::GroupsAttr::get(builder.getContext(), routing.keptGroups, routing.groups,
                                  routing.groupValue);
  Value idsOut = destination(location, picked, id), sharesOut = destination(location, picked);
  auto choice =
      moe::RouteOp::create(builder, location, TypeRange{idsOut.getType(), sharesOut.getType()},
                           moe::WeighingAttr::get(builder.getContext(), routing.weighing),
                           builder.getF32FloatAttr(static_cast<float>(routing.epsilon)),
                           builder.getF32FloatAttr(static_cast<float>(routing.scale)), groups,
                           scores, correction, idsOut, sharesOut);

  SmallVector<int64_t> ordinals(decoder.layers, 0); // layers without experts do not come here
  for (auto [ordinal, moeLayer] : llvm::enumerate(moeLayers))
    ordinals[moeLayer] = ordinal;
  Value ordinal =
      lm::LayerKindOp::create(builder, location, builder.getIndexType(), layer, ordinals);
  lm::RecordRoutingOp::create(builder, location, ordinal, batch, picked, choice.getResult(0),
                              choice.getResult(1));
  return {choice.getResult(0), choice.getResult(1), {}, {}, {}, {}};
}

void LayerBuilder::dispatch(ExpertPlan &plan, const ExpertConfig &config, Location location) {
  // T*K picks, sorted by expert, in at most E + T*K / tile pieces.
  Type id = builder.getI32Type();
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(builder, location, value);
  };
  plan.count = arith::MulIOp::create(builder, location, tokens, constant(config.picked));
  Value pieces = arith::DivUIOp::create(builder, location, plan.count, constant(kTileRows));
  Value tileCount = arith::AddIOp::create(builder, location, pieces, constant(1 + config.experts));
  auto picksOut = [&]() -> Value {
    return tensor::EmptyOp::create(builder, location, {ShapedType::kDynamic}, id, plan.count);
  };
  Value rowsOut = picksOut(), inverseOut = picksOut();
  Value offsetsOut = tensor::EmptyOp::create(builder, location, {config.experts + 1}, id);
  Value tilesOut = emptyRows(builder, location, tileCount, 3, id);
  auto dispatch = moe::DispatchOp::create(
      builder, location,
      TypeRange{rowsOut.getType(), inverseOut.getType(), offsetsOut.getType(), tilesOut.getType()},
      kTileRows, plan.experts, rowsOut, inverseOut, offsetsOut, tilesOut);
  plan.rows = dispatch.getResult(0);
  plan.inverse = dispatch.getResult(1);
  plan.tiles = dispatch.getResult(3);
}

Value LayerBuilder::groupedMatmul(Value x, const Weight &weight, const TensorRows &bias,
                                  const ExpertPlan &plan, bool gathers, bool weighs) {
  Value handle = load(weight), shift;
  if (!bias.pattern.empty())
    shift = load({weight.symbol + ".bias",
                  {weight.shape[0], weight.shape[1], 1},
                  named(bias),
                  /*areHeads=*/false,
                  /*areVectors=*/true});
  Value out = emptyRows(builder, handle.getLoc(), plan.count, weight.shape[1]);
  return moe::GroupedMatmulOp::create(builder, handle.getLoc(), out.getType(), x, handle,
                                      plan.tiles, gathers ? plan.rows : Value(),
                                      weighs ? plan.experts : Value(),
                                      weighs ? plan.weights : Value(), shift, out)
      .getResult(0);
}

Value LayerBuilder::experts(Value x, const ExpertConfig &config, const ExpertTensors &published) {
  const int64_t hidden = decoder.hidden, width = config.width, experts = config.experts;
  const bool weighsInput = config.routing.weighInput;
  const std::string gateUp = nameOf("mlp.experts.gate_up_proj");
  Weight gateWeight = expertWeight(weights, layers, "experts.gate", {experts, width, hidden},
                                   named(published.gate), gateUp, 0, 2 * width);
  Weight upWeight = expertWeight(weights, layers, "experts.up", {experts, width, hidden},
                                 named(published.up), gateUp, width, 2 * width);
  Weight downWeight =
      expertWeight(weights, layers, "experts.down", {experts, hidden, width}, named(published.down),
                   nameOf("mlp.experts.down_proj"), 0, hidden);

  ExpertPlan plan = route(x, config, published);
  const std::string &down = published.down.pattern;
  Location location = at(down.substr(0, down.find(".{e}")));
  dispatch(plan, config, location);

  Value gate =
      groupedMatmul(x, gateWeight, published.gateBias, plan, /*gathers=*/true, weighsInput);
  Value up = groupedMatmul(x, upWeight, published.upBias, plan, /*gathers=*/true, weighsInput);
  auto number = [&](double value) {
    return value ? builder.getF32FloatAttr(static_cast<float>(value)) : FloatAttr();
  };
  const ActivationConfig &activation = config.activation;
  Value innerOut = emptyRows(builder, location, plan.count, width);
  Value inner = moe::GatedActivationOp::create(
                    builder, location, innerOut.getType(),
                    moe::ActivationAttr::get(builder.getContext(), activation.kind,
                                             number(activation.limit), number(activation.slope)),
                    gate, up, innerOut)
                    .getResult(0);
  Value results = groupedMatmul(inner, downWeight, published.downBias, plan, /*gathers=*/false,
                                /*weighs=*/false);
  Value out = destination(location, hidden);
  return moe::CombineOp::create(builder, location, out.getType(), /*accumulate=*/false,
                                weighsInput ? builder.getI64IntegerAttr(config.picked)
                                            : IntegerAttr(),
                                results, plan.inverse, weighsInput ? Value() : plan.weights, out)
      .getResult(0);
}
