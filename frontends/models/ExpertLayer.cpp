// Builds the experts of a layer: the router's choice, and their weights.

#include "frontends/models/LayerBuilder.h"

#include "dialects/layers/ExpertLayer.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;

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

std::pair<Value, Value> LayerBuilder::route(Value x, const ExpertConfig &config,
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
                           /*prefer_higher=*/nullptr, scores, correction, idsOut, sharesOut);

  SmallVector<int64_t> ordinals(decoder.layers, 0); // layers without experts do not come here
  for (auto [ordinal, moeLayer] : llvm::enumerate(moeLayers))
    ordinals[moeLayer] = ordinal;
  Value ordinal =
      lm::LayerKindOp::create(builder, location, builder.getIndexType(), layer, ordinals);
  lm::RecordRoutingOp::create(builder, location, ordinal, batch, picked, choice.getResult(0),
                              choice.getResult(1));
  return {choice.getResult(0), choice.getResult(1)};
}

Value LayerBuilder::expertBias(const Weight &weight, const TensorRows &bias) {
  if (bias.pattern.empty())
    return {};
  return load({weight.symbol + ".bias",
               {weight.shape[0], weight.shape[1], 1},
               named(bias),
               /*areHeads=*/false,
               /*areVectors=*/true});
}

Value LayerBuilder::experts(Value x, const ExpertConfig &config, const ExpertTensors &published) {
  const int64_t hidden = decoder.hidden, width = config.width, experts = config.experts;
  const std::string gateUp = nameOf("mlp.experts.gate_up_proj");
  Weight gateWeight = expertWeight(weights, layers, "experts.gate", {experts, width, hidden},
                                   named(published.gate), gateUp, 0, 2 * width);
  Weight upWeight = expertWeight(weights, layers, "experts.up", {experts, width, hidden},
                                 named(published.up), gateUp, width, 2 * width);
  Weight downWeight =
      expertWeight(weights, layers, "experts.down", {experts, hidden, width}, named(published.down),
                   nameOf("mlp.experts.down_proj"), 0, hidden);

  ExpertOperands operands{.tokens = x, .weighsInput = config.routing.weighInput};
  std::tie(operands.experts, operands.weights) = route(x, config, published);
  operands.gate = load(gateWeight);
  operands.gateBias = expertBias(gateWeight, published.gateBias);
  operands.up = load(upWeight);
  operands.upBias = expertBias(upWeight, published.upBias);
  operands.down = load(downWeight);
  operands.downBias = expertBias(downWeight, published.downBias);
  auto number = [&](double value) {
    return value ? builder.getF32FloatAttr(static_cast<float>(value)) : FloatAttr();
  };
  const ActivationConfig &activation = config.activation;
  operands.activation =
      moe::ActivationAttr::get(builder.getContext(), activation.kind, number(activation.limit),
                               number(activation.slope), number(activation.shift));
  const std::string &down = published.down.pattern;
  return buildExpertLayer(builder, at(down.substr(0, down.find(".{e}"))), operands);
}
