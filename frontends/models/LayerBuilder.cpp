// Turns the terms of the papers into unfused moe and lm ops.

#include "frontends/models/LayerBuilder.h"

#include "dialects/moe/MoeDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace moec;

/// Rows of one expert that a piece of work takes at most.
static constexpr int64_t kTileRows = 64;

Value moec::emptyRows(OpBuilder &builder, Location location, Value rows, int64_t columns,
                      Type element) {
  return tensor::EmptyOp::create(builder, location, {ShapedType::kDynamic, columns},
                                 element ? element : builder.getF32Type(), rows);
}

LayerBuilder::LayerBuilder(WeightTable &weights, const DecoderConfig &decoder,
                           ArrayRef<int64_t> moeLayers, func::FuncOp function,
                           ArrayRef<int64_t> layers)
    : weights(weights), decoder(decoder), moeLayers(moeLayers), layers(layers),
      builder(OpBuilder::atBlockBegin(function.addEntryBlock())), batch(function.getArgument(0)),
      layer(function.getArgument(1)), residual(function.getArgument(2)),
      cosines(function.getArgument(3)), sines(function.getArgument(4)) {
  tokens = lm::TokenCountOp::create(builder, function.getLoc(), builder.getIndexType(), batch);
}

void LayerBuilder::finish(Value output) {
  func::ReturnOp::create(builder, residual.getParentBlock()->getParentOp()->getLoc(), output);
}

Location LayerBuilder::at(const std::string &name) {
  return NameLoc::get(builder.getStringAttr(kLayerPrefix + name));
}

Value LayerBuilder::destination(Location location, int64_t columns, Type element) {
  return emptyRows(builder, location, tokens, columns, element);
}

Value LayerBuilder::load(const Weight &weight) {
  Location location = NameLoc::get(builder.getStringAttr(weight.source.pattern));
  return lm::LoadWeightOp::create(builder, location, weights.declare(weight, layers), weight.symbol,
                                  layer);
}

Value LayerBuilder::norm(Value x, const std::string &module, int64_t heads) {
  int64_t columns = cast<RankedTensorType>(x.getType()).getDimSize(1);
  Value weight = load({module, {columns / heads}, {kLayerPrefix + module + ".weight"}});
  Location location = weight.getLoc();
  Value out = destination(location, columns);
  return lm::RmsNormOp::create(builder, location, out.getType(),
                               builder.getF32FloatAttr(static_cast<float>(decoder.epsilon)),
                               builder.getI64IntegerAttr(heads), x, weight, out)
      .getResult(0);
}

Value LayerBuilder::linear(Value x, const std::string &module, int64_t columns, bool bias) {
  int64_t inner = cast<RankedTensorType>(x.getType()).getDimSize(1);
  Value weight = load({module, {columns, inner}, {kLayerPrefix + module + ".weight"}});
  Value shift;
  if (bias)
    shift = load({module + ".bias", {columns}, {kLayerPrefix + module + ".bias"}});
  Location location = weight.getLoc();
  Value out = destination(location, columns);
  return lm::LinearOp::create(builder, location, out.getType(), /*accumulate=*/false, x, weight,
                              shift, out)
      .getResult(0);
}

Value LayerBuilder::clamp(Value x, double limit, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, cast<RankedTensorType>(x.getType()).getDimSize(1));
  return lm::ClampOp::create(builder, location, out.getType(),
                             builder.getF32FloatAttr(static_cast<float>(limit)), x, out)
      .getResult(0);
}

Value LayerBuilder::rope(Value x, int64_t heads, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, cast<RankedTensorType>(x.getType()).getDimSize(1));
  return lm::RopeOp::create(builder, location, out.getType(), builder.getI64IntegerAttr(heads),
                            /*interleaved=*/nullptr, x, cosines, sines, out)
      .getResult(0);
}

Value LayerBuilder::attention(Value queries, Value keys, Value values, const std::string &module) {
  Location location = at(module);
  lm::CacheAppendOp::create(builder, location, kCacheSymbol, layer, batch, keys, values);
  double scale = 1.0 / std::sqrt(static_cast<double>(decoder.headSize));
  Value out = destination(location, decoder.queryWidth());
  return lm::AttentionOp::create(builder, location, out.getType(),
                                 FlatSymbolRefAttr::get(builder.getContext(), kCacheSymbol),
                                 builder.getF32FloatAttr(static_cast<float>(scale)), layer, batch,
                                 queries, out)
      .getResult(0);
}

Value LayerBuilder::gatedMlp(Value x, const std::string &module, int64_t width) {
  int64_t hidden = cast<RankedTensorType>(x.getType()).getDimSize(1);
  Value gate = linear(x, module + ".gate_proj", width);
  Value up = linear(x, module + ".up_proj", width);
  Location location = at(module);
  Value out = destination(location, width);
  Value inner = moe::GatedActivationOp::create(builder, location, out.getType(),
                                               moe::Activation::Silu, gate, up, out)
                    .getResult(0);
  return linear(inner, module + ".down_proj", hidden);
}

Value LayerBuilder::scaleRows(Value x, Value gate, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, cast<RankedTensorType>(x.getType()).getDimSize(1));
  return lm::ScaleRowsOp::create(builder, location, out.getType(), x, gate, out).getResult(0);
}

Value LayerBuilder::add(Value left, Value right, const std::string &module) {
  // Onto the stream, whose former value nobody needs.
  return lm::AddOp::create(builder, at(module), left.getType(), left, right, left).getResult(0);
}

// Experts ---------------------------------------------------------------------------------------

namespace {

/// The weights of an expert layer, wherever the checkpoint keeps them.
struct ExpertWeights {
  Weight router, gate, up, down;
};

} // namespace

static ExpertWeights locateExperts(const WeightTable &weights, ArrayRef<int64_t> layers,
                                   int64_t hidden, const ExpertConfig &config,
                                   const ExpertTensors &published) {
  // What transformers 5 has in memory is the same for all families.
  std::string prefix = kLayerPrefix, fusedRouter = prefix + "mlp.gate.weight",
              gateUp = prefix + "mlp.experts.gate_up_proj",
              stackedDown = prefix + "mlp.experts.down_proj";
  int64_t width = config.width;
  ExpertWeights found{
      .router = {"router", {config.experts, hidden}, {prefix + published.router}},
      .gate = {"experts.gate", {config.experts, width, hidden}, {prefix + published.gate}},
      .up = {"experts.up", {config.experts, width, hidden}, {prefix + published.up}},
      .down = {"experts.down", {config.experts, hidden, width}, {prefix + published.down}}};
  if (!weights.has(found.router.source.pattern, layers) && weights.has(fusedRouter, layers))
    found.router.source = {fusedRouter};
  if (weights.has(gateUp, layers)) {
    found.gate.source = {gateUp, /*firstRow=*/0, /*rowsPerExpert=*/2 * width};
    found.up.source = {gateUp, /*firstRow=*/width, /*rowsPerExpert=*/2 * width};
  }
  if (weights.has(stackedDown, layers))
    found.down.source = {stackedDown, /*firstRow=*/0, /*rowsPerExpert=*/hidden};
  return found;
}

Value LayerBuilder::groupedMatmul(Value x, const Weight &weight, Value tiles, Value rows,
                                  Value picks) {
  Value handle = load(weight);
  Value out = emptyRows(builder, handle.getLoc(), picks, weight.shape[1]);
  return moe::GroupedMatmulOp::create(builder, handle.getLoc(), out.getType(), x, handle, tiles,
                                      rows, out)
      .getResult(0);
}

Value LayerBuilder::experts(Value x, const ExpertConfig &config, const ExpertTensors &published) {
  int64_t hidden = decoder.hidden, experts = config.experts, picked = config.picked;
  ExpertWeights weight = locateExperts(weights, layers, hidden, config, published);
  Type id = builder.getI32Type();

  // Route: which experts, and with what weight.
  Value router = load(weight.router);
  Location routing = router.getLoc();
  Value logitsOut = destination(routing, experts);
  Value logits = lm::LinearOp::create(builder, routing, logitsOut.getType(), /*accumulate=*/false,
                                      x, router, /*bias=*/Value(), logitsOut)
                     .getResult(0);
  Value scoresOut = destination(routing, experts);
  Value scores = moe::ScoreOp::create(builder, routing, scoresOut.getType(),
                                      moe::ScoreFunction::Softmax, logits, scoresOut)
                     .getResult(0);
  Value idsOut = destination(routing, picked, id), sharesOut = destination(routing, picked);
  auto route =
      moe::RouteOp::create(builder, routing, TypeRange{idsOut.getType(), sharesOut.getType()},
                           config.renormalize, scores, idsOut, sharesOut);
  Value ids = route.getResult(0), shares = route.getResult(1);

  SmallVector<int64_t> ordinals(decoder.layers, 0); // layers without experts do not come here
  for (auto [ordinal, moeLayer] : llvm::enumerate(moeLayers))
    ordinals[moeLayer] = ordinal;
  Value ordinal =
      lm::LayerKindOp::create(builder, routing, builder.getIndexType(), layer, ordinals);
  lm::RecordRoutingOp::create(builder, routing, ordinal, batch, picked, ids, shares);

  // Dispatch: T*K picks, sorted by expert, in at most E + T*K / tile pieces.
  Location dispatching = at(published.down.substr(0, published.down.find(".{e}")));
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(builder, dispatching, value);
  };
  Value picks = arith::MulIOp::create(builder, dispatching, tokens, constant(picked));
  Value pieces = arith::DivUIOp::create(builder, dispatching, picks, constant(kTileRows));
  Value tileCount = arith::AddIOp::create(builder, dispatching, pieces, constant(1 + experts));
  auto picksOut = [&]() -> Value {
    return tensor::EmptyOp::create(builder, dispatching, {ShapedType::kDynamic}, id, picks);
  };
  Value rowsOut = picksOut(), inverseOut = picksOut();
  Value offsetsOut = tensor::EmptyOp::create(builder, dispatching, {experts + 1}, id);
  Value tilesOut = emptyRows(builder, dispatching, tileCount, 3, id);
  auto dispatch = moe::DispatchOp::create(
      builder, dispatching,
      TypeRange{rowsOut.getType(), inverseOut.getType(), offsetsOut.getType(), tilesOut.getType()},
      kTileRows, ids, rowsOut, inverseOut, offsetsOut, tilesOut);
  Value rows = dispatch.getResult(0), inverse = dispatch.getResult(1),
        tiles = dispatch.getResult(3);

  // The experts, and back to tokens.
  Value gate = groupedMatmul(x, weight.gate, tiles, rows, picks);
  Value up = groupedMatmul(x, weight.up, tiles, rows, picks);
  Value innerOut = emptyRows(builder, dispatching, picks, config.width);
  Value inner = moe::GatedActivationOp::create(builder, dispatching, innerOut.getType(),
                                               moe::Activation::Silu, gate, up, innerOut)
                    .getResult(0);
  Value down = groupedMatmul(inner, weight.down, tiles, /*rows=*/Value(), picks);
  Value out = destination(dispatching, hidden);
  return moe::CombineOp::create(builder, dispatching, out.getType(), /*accumulate=*/false, down,
                                inverse, shares, out)
      .getResult(0);
}
