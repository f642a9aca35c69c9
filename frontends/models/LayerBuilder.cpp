// Turns the terms of the papers into unfused moe and lm ops.

#include "frontends/models/LayerBuilder.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace moec;

Value moec::emptyRows(OpBuilder &builder, Location location, Value rows, int64_t columns,
                      Type element) {
  return tensor::EmptyOp::create(builder, location, {ShapedType::kDynamic, columns},
                                 element ? element : builder.getF32Type(), rows);
}

/// Columns of rows.
static int64_t widthOf(Value rows) { return cast<RankedTensorType>(rows.getType()).getDimSize(1); }

LayerBuilder::LayerBuilder(WeightTable &weights, CacheTable &caches, const DecoderConfig &decoder,
                           int64_t context, ArrayRef<int64_t> moeLayers, func::FuncOp function,
                           ArrayRef<int64_t> layers)
    : weights(weights), caches(caches), decoder(decoder), context(context), moeLayers(moeLayers),
      layers(layers), builder(OpBuilder::atBlockBegin(function.addEntryBlock())),
      batch(function.getArgument(0)), layer(function.getArgument(1)),
      residual(function.getArgument(2)), cosines(function.getArgument(3)),
      sines(function.getArgument(4)) {
  tokens = lm::TokenCountOp::create(builder, function.getLoc(), builder.getIndexType(), batch);
}

void LayerBuilder::finish(Value output) {
  func::ReturnOp::create(builder, residual.getParentBlock()->getParentOp()->getLoc(), output);
}

std::string LayerBuilder::nameOf(const std::string &name) const {
  return decoder.prefix + "model.layers.{l}." + name;
}

Location LayerBuilder::at(const std::string &name) {
  return NameLoc::get(builder.getStringAttr(nameOf(name)));
}

Value LayerBuilder::destination(Location location, int64_t columns, Type element) {
  return emptyRows(builder, location, tokens, columns, element);
}

Value LayerBuilder::load(const Weight &weight) {
  Location location = NameLoc::get(builder.getStringAttr(weight.source.pattern));
  return lm::LoadWeightOp::create(builder, location, weights.declare(weight, layers), weight.symbol,
                                  layer);
}

Value LayerBuilder::norm(Value x, const std::string &module, int64_t heads,
                         std::optional<double> epsilon) {
  int64_t columns = widthOf(x);
  Value weight = load({module, {columns / heads}, {nameOf(module + ".weight")}});
  Location location = weight.getLoc();
  Value out = destination(location, columns);
  return lm::RmsNormOp::create(
             builder, location, out.getType(),
             builder.getF32FloatAttr(static_cast<float>(epsilon.value_or(decoder.epsilon))),
             builder.getI64IntegerAttr(heads), x, weight, out)
      .getResult(0);
}

Value LayerBuilder::plainNorm(Value x, int64_t heads, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, widthOf(x));
  return lm::RmsNormOp::create(builder, location, out.getType(),
                               builder.getF32FloatAttr(static_cast<float>(decoder.epsilon)),
                               builder.getI64IntegerAttr(heads), x, /*weight=*/Value(), out)
      .getResult(0);
}

Value LayerBuilder::layerNorm(Value x, const std::string &module, double epsilon) {
  const int64_t columns = widthOf(x);
  Value weight = load({module, {columns}, {nameOf(module + ".weight")}}),
        bias = load({module + ".bias", {columns}, {nameOf(module + ".bias")}});
  Value out = destination(weight.getLoc(), columns);
  return lm::LayerNormOp::create(builder, weight.getLoc(), out.getType(),
                                 builder.getF32FloatAttr(static_cast<float>(epsilon)), x, weight,
                                 bias, out)
      .getResult(0);
}

Value LayerBuilder::linear(Value x, const std::string &module, int64_t columns, bool bias) {
  int64_t inner = widthOf(x);
  Value weight = load({module, {columns, inner}, {nameOf(module + ".weight")}});
  Value shift;
  if (bias)
    shift = load({module + ".bias", {columns}, {nameOf(module + ".bias")}});
  Location location = weight.getLoc();
  Value out = destination(location, columns);
  return lm::LinearOp::create(builder, location, out.getType(), /*accumulate=*/false, x, weight,
                              shift, out)
      .getResult(0);
}

Value LayerBuilder::clamp(Value x, double limit, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, widthOf(x));
  return lm::ClampOp::create(builder, location, out.getType(),
                             builder.getF32FloatAttr(static_cast<float>(limit)), x, out)
      .getResult(0);
}

Value LayerBuilder::rope(Value x, int64_t heads, const std::string &module, RopePairs pairs,
                         RopePlace place) {
  Location location = at(module);
  int64_t columns = widthOf(x);
  int64_t rotated = 2 * cast<RankedTensorType>(cosines.getType()).getDimSize(1);
  Value out = destination(location, columns);
  return lm::RopeOp::create(
             builder, location, out.getType(), builder.getI64IntegerAttr(heads),
             builder.getI64IntegerAttr(place == RopePlace::First ? 0 : columns / heads - rotated),
             pairs == RopePairs::Neighbours ? builder.getUnitAttr() : UnitAttr(), x, cosines, sines,
             out)
      .getResult(0);
}

Value LayerBuilder::temperature(Value x, int64_t interval, double scale,
                                const std::string &module) {
  Location location = at(module);
  Value positions = lm::PositionsOp::create(
      builder, location, RankedTensorType::get({ShapedType::kDynamic}, builder.getI32Type()),
      batch);
  Value out = destination(location, widthOf(x));
  return lm::TemperatureOp::create(
             builder, location, out.getType(), builder.getI64IntegerAttr(interval),
             builder.getF32FloatAttr(static_cast<float>(scale)), x, positions, out)
      .getResult(0);
}

Value LayerBuilder::sliceHeads(Value x, int64_t heads, int64_t first, int64_t size,
                               const std::string &module) {
  Value out = destination(at(module), heads * size);
  return lm::SliceHeadsOp::create(builder, at(module), out.getType(), heads, first, x, out)
      .getResult(0);
}

Value LayerBuilder::joinHeads(Value left, Value right, int64_t heads, bool isShared,
                              const std::string &module) {
  const int64_t rest = widthOf(right);
  Value out = destination(at(module), widthOf(left) + (isShared ? heads : 1) * rest);
  return lm::JoinHeadsOp::create(builder, at(module), out.getType(), heads, left, right, out)
      .getResult(0);
}

Value LayerBuilder::headLinear(Value x, const std::string &symbol, std::vector<int64_t> shape,
                               TensorRows rows) {
  const int64_t columns = shape[0] * shape[1];
  Value weight = load({symbol, std::move(shape), named(std::move(rows)), /*areHeads=*/true});
  Value out = destination(weight.getLoc(), columns);
  return lm::HeadLinearOp::create(builder, weight.getLoc(), out.getType(), x, weight, out)
      .getResult(0);
}

Value LayerBuilder::chooseKeys(Value queries, Value keys, Value weights, int64_t count,
                               double scale, const std::string &module) {
  Location location = at(module);
  const int64_t size = widthOf(keys);
  const CacheKind kind{.heads = 1, .size = size, .values = size, .latent = true, .symbol = "index"};
  auto cache = FlatSymbolRefAttr::get(caches.declare(kind, layers, nameOf(module)));
  lm::CacheAppendOp::create(builder, location, cache, layer, batch, keys, /*values=*/Value());
  Value out = destination(location, 1 + count, builder.getI32Type());
  return lm::ChooseKeysOp::create(builder, location, out.getType(), cache,
                                  builder.getF32FloatAttr(static_cast<float>(scale)),
                                  builder.getI64IntegerAttr(context), layer, batch, queries,
                                  weights, out)
      .getResult(0);
}

Value LayerBuilder::attention(Value queries, Value keys, Value values,
                              const AttentionConfig &config, const std::string &module) {
  Location location = at(module);
  const int64_t keyHeads = config.keyHeads ? config.keyHeads : decoder.keyHeads;
  const CacheKind kind{.heads = keyHeads,
                       .size = widthOf(keys) / keyHeads,
                       .values = values ? widthOf(values) / keyHeads : config.latent,
                       .latent = !values,
                       .indexed = bool(config.chosen),
                       .window = config.window,
                       .chunk = config.chunk};
  auto cache = FlatSymbolRefAttr::get(caches.declare(kind, layers, nameOf(module)));
  lm::CacheAppendOp::create(builder, location, cache, layer, batch, keys, values);
  const int64_t heads = widthOf(queries) / kind.size;
  Value sinks;
  if (config.sinks)
    sinks = load({config.sinks, {heads}, {nameOf(config.sinks)}});
  const double scale =
      config.scale ? config.scale : 1.0 / std::sqrt(static_cast<double>(kind.size));
  Value out = destination(location, heads * kind.values);
  return lm::AttentionOp::create(builder, location, out.getType(), cache,
                                 builder.getF32FloatAttr(static_cast<float>(scale)), layer, batch,
                                 queries, sinks, config.chosen, out)
      .getResult(0);
}

Value LayerBuilder::gatedMlp(Value x, const std::string &module, int64_t width) {
  int64_t hidden = widthOf(x);
  Value gate = linear(x, module + ".gate_proj", width);
  Value up = linear(x, module + ".up_proj", width);
  Location location = at(module);
  Value out = destination(location, width);
  auto silu = moe::ActivationAttr::get(builder.getContext(), moe::ActivationKind::Silu);
  Value inner =
      moe::GatedActivationOp::create(builder, location, out.getType(), silu, gate, up, out)
          .getResult(0);
  return linear(inner, module + ".down_proj", hidden);
}

Value LayerBuilder::scaleRows(Value x, Value gate, const std::string &module) {
  Location location = at(module);
  Value out = destination(location, widthOf(x));
  return lm::ScaleRowsOp::create(builder, location, out.getType(), x, gate, out).getResult(0);
}

Value LayerBuilder::add(Value left, Value right, const std::string &module) {
  // Onto the stream, whose former value nobody needs.
  return lm::AddOp::create(builder, at(module), left.getType(), left, right, left).getResult(0);
}
