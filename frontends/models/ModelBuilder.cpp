// Builds what is alike in all decoders: symbols, the loop over layers, and the way to the logits.

#include "frontends/models/ModelBuilder.h"

#include "dialects/moe/MoeDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "runtime/core/Json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

using namespace mlir;
using namespace moec;

static RankedTensorType rowsType(MLIRContext *context, int64_t columns) {
  return RankedTensorType::get({ShapedType::kDynamic, columns}, Float32Type::get(context));
}

/// Weights outside the layers; an output of its own where it is not tied to the embedding.
static Weight embeddingWeight(const DecoderConfig &decoder) {
  return {"embed_tokens",
          {decoder.vocabulary, decoder.hidden},
          {decoder.prefix + "model.embed_tokens.weight"}};
}
static Weight outputWeight(const DecoderConfig &decoder) {
  if (decoder.tied)
    return embeddingWeight(decoder);
  return {"lm_head", {decoder.vocabulary, decoder.hidden}, {decoder.prefix + "lm_head.weight"}};
}

ModelBuilder::ModelBuilder(const Checkpoint &checkpoint, QuantizationConfig quantization,
                           MLIRContext &context, ModelIdentity identity)
    : checkpoint(checkpoint), quantization(quantization), identity(std::move(identity)) {
  context.loadDialect<arith::ArithDialect, bufferization::BufferizationDialect, func::FuncDialect,
                      lm::LmDialect, moe::MoeDialect, scf::SCFDialect, tensor::TensorDialect>();
  module = ModuleOp::create(NameLoc::get(StringAttr::get(&context, this->identity.name)),
                            this->identity.name);
}

void ModelBuilder::begin(const DecoderConfig &numbers) {
  decoder = numbers;
  if (identity.context > decoder.positions && failure.ok())
    failure = {
        Code::Usage,
        fmt::format("a context of {} is more than the model is made for; `max_position_embeddings` "
                    "in {} is {}",
                    identity.context, checkpoint.config().file(), decoder.positions)};
  identity.context = contextOf(decoder.positions);

  weights.emplace(checkpoint, quantization, OpBuilder::atBlockEnd(module->getBody()));
  caches.emplace(OpBuilder::atBlockEnd(module->getBody()));
  weights->skip("*rotary_emb.inv_freq"); // tables that old checkpoints carry along
  if (decoder.tied)
    skip({decoder.prefix + "lm_head.weight"},
         "a head of its own, as `tie_word_embeddings` makes the embedding the head");
  weights->declare(embeddingWeight(decoder), {});
}

void ModelBuilder::skip(const std::vector<std::string> &patterns, const std::string &what) {
  size_t skipped = 0;
  std::vector<std::string> found;
  for (const std::string &pattern : patterns)
    if (size_t count = weights->skip(pattern); count > 0) {
      skipped += count;
      found.push_back(pattern);
    }
  if (skipped > 0 && identity.notice)
    identity.notice(fmt::format("leaves out {} of {}: {}",
                                skipped == 1 ? "a tensor" : fmt::format("{} tensors", skipped),
                                what, fmt::join(found, ", ")));
}

void ModelBuilder::setExperts(const ExpertConfig &numbers, std::vector<int64_t> layers) {
  moeLayers = std::move(layers);
  if (moeLayers.empty())
    return;
  experts = numbers;
  weights->setPicked(experts.picked);
}

void ModelBuilder::addLayers(std::string_view kind, std::vector<int64_t> layers,
                             llvm::function_ref<Value(LayerBuilder &, Value)> build) {
  if (layers.empty())
    return;
  MLIRContext *context = module->getContext();
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  Type residual = rowsType(context, decoder.hidden),
       angles = rowsType(context, decoder.ropeSize / 2);
  auto type = builder.getFunctionType(
      {lm::BatchType::get(context), builder.getIndexType(), residual, angles, angles}, residual);
  auto function = func::FuncOp::create(
      builder, NameLoc::get(builder.getStringAttr(decoder.prefix + "model.layers.{l}")),
      fmt::format("layer_{}", kind), type);
  function.setPrivate();
  LayerBuilder layer(*weights, *caches, decoder, identity.context, moeLayers, function, layers);
  layer.finish(build(layer, layer.input()));
  kinds.push_back({function, std::move(layers)});
}

Value ModelBuilder::runLayer(OpBuilder &builder, Value layer, ValueRange arguments) {
  Location location = layer.getLoc();
  auto call = [&](OpBuilder &inside, func::FuncOp function) {
    return func::CallOp::create(inside, location, function, arguments).getResult(0);
  };
  if (kinds.size() == 1)
    return call(builder, kinds.front().function);

  SmallVector<int64_t> table(decoder.layers), cases(kinds.size() - 1);
  for (auto [number, kind] : llvm::enumerate(kinds))
    for (int64_t index : kind.layers)
      table[index] = number;
  std::iota(cases.begin(), cases.end(), 0);
  Value kind = lm::LayerKindOp::create(builder, location, builder.getIndexType(), layer, table);
  auto choice = scf::IndexSwitchOp::create(
      builder, location, kinds.front().function.getResultTypes(), kind, cases, cases.size());
  // The last kind is the default, so that nothing needs to stand for a kind that there is not.
  for (auto [number, entry] : llvm::enumerate(kinds)) {
    Region &region =
        number < cases.size() ? choice.getCaseRegions()[number] : choice.getDefaultRegion();
    OpBuilder inside = OpBuilder::atBlockEnd(&region.emplaceBlock());
    scf::YieldOp::create(inside, location, call(inside, entry.function));
  }
  return choice.getResult(0);
}

static Location named(OpBuilder &builder, const std::string &name) {
  return NameLoc::get(builder.getStringAttr(name));
}

static Type idsType(OpBuilder &builder) {
  return RankedTensorType::get({ShapedType::kDynamic}, builder.getI32Type());
}

Value ModelBuilder::load(OpBuilder &builder, const Weight &weight) {
  return lm::LoadWeightOp::create(builder, named(builder, weight.source.pattern),
                                  weights->declare(weight, {}), weight.symbol, Value());
}

Value ModelBuilder::embed(OpBuilder &builder, Value batch, Value tokens) {
  Location location = tokens.getLoc();
  Value ids = lm::TokenIdsOp::create(builder, location, idsType(builder), batch);
  Value table = load(builder, embeddingWeight(decoder));
  Value out = emptyRows(builder, location, tokens, decoder.hidden);
  return lm::EmbeddingOp::create(builder, location, out.getType(), ids, table, out).getResult(0);
}

lm::RopeTableOp ModelBuilder::tabulateAngles(OpBuilder &builder, Value batch, Value tokens) {
  Location location = named(builder, "model.rotary_emb");
  Value positions = lm::PositionsOp::create(builder, location, idsType(builder), batch);
  std::vector<float> frequencies = decoder.rope.inverseFrequencies(decoder.ropeSize);
  Value cosines = emptyRows(builder, location, tokens, decoder.ropeSize / 2);
  Value sines = emptyRows(builder, location, tokens, decoder.ropeSize / 2);
  return lm::RopeTableOp::create(
      builder, location, TypeRange{cosines.getType(), sines.getType()},
      builder.getDenseF32ArrayAttr(frequencies),
      builder.getF32FloatAttr(static_cast<float>(decoder.rope.attentionFactor())), positions,
      cosines, sines);
}

void ModelBuilder::writeLogits(OpBuilder &builder, Value batch, Value stream) {
  Location norm = named(builder, "model.norm.weight");
  Value outputs = lm::OutputCountOp::create(builder, norm, builder.getIndexType(), batch);
  Value wanted = lm::OutputRowsOp::create(builder, norm, idsType(builder), batch);
  Value out = emptyRows(builder, norm, outputs, decoder.hidden);
  Value h =
      lm::SelectRowsOp::create(builder, norm, out.getType(), stream, wanted, out).getResult(0);
  Value scale = load(builder, {"norm", {decoder.hidden}, {decoder.prefix + "model.norm.weight"}});
  out = emptyRows(builder, norm, outputs, decoder.hidden);
  h = lm::RmsNormOp::create(builder, norm, out.getType(),
                            builder.getF32FloatAttr(static_cast<float>(decoder.epsilon)),
                            builder.getI64IntegerAttr(1), h, scale, out)
          .getResult(0);

  Value head = load(builder, outputWeight(decoder));
  Location output = head.getLoc();
  // Before the product, so that it can write there.
  Value caller = lm::LogitsOp::create(
      builder, output,
      MemRefType::get({ShapedType::kDynamic, decoder.vocabulary}, builder.getF32Type()), batch);
  out = emptyRows(builder, output, outputs, decoder.vocabulary);
  Value logits = lm::LinearOp::create(builder, output, out.getType(), /*accumulate=*/false, h, head,
                                      /*bias=*/Value(), out)
                     .getResult(0);
  bufferization::MaterializeInDestinationOp::create(builder, output, /*result=*/TypeRange(), logits,
                                                    caller, /*restrict=*/true, /*writable=*/true);
}

void ModelBuilder::buildStep() {
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  auto function = func::FuncOp::create(
      builder, named(builder, "model"), "step",
      builder.getFunctionType(lm::BatchType::get(module->getContext()), TypeRange()));
  builder.setInsertionPointToEnd(function.addEntryBlock());
  Value batch = function.getArgument(0);
  Value tokens = lm::TokenCountOp::create(builder, named(builder, "model.embed_tokens.weight"),
                                          builder.getIndexType(), batch);
  Value embedded = embed(builder, batch, tokens);
  lm::RopeTableOp angles = tabulateAngles(builder, batch, tokens);
  Location layers = named(builder, "model.layers");
  Value first = arith::ConstantIndexOp::create(builder, layers, 0);
  Value last = arith::ConstantIndexOp::create(builder, layers, decoder.layers);
  Value step = arith::ConstantIndexOp::create(builder, layers, 1);
  auto loop = scf::ForOp::create(
      builder, layers, first, last, step, embedded,
      [&](OpBuilder &inside, Location location, Value layer, ValueRange carried) {
        Value next =
            runLayer(inside, layer,
                     {batch, layer, carried.front(), angles.getResult(0), angles.getResult(1)});
        scf::YieldOp::create(inside, location, next);
      });
  writeLogits(builder, batch, loop.getResult(0));
  func::ReturnOp::create(builder, function.getLoc());
}

void ModelBuilder::describe() {
  Builder builder(module->getContext());
  auto number = [&](uint64_t value) {
    return builder.getI64IntegerAttr(static_cast<int64_t>(value));
  };
  std::pair<StringRef, Attribute> entries[] = {
      {"name", builder.getStringAttr(identity.name)},
      {"architecture", builder.getStringAttr(identity.architecture)},
      {"vocabulary", number(decoder.vocabulary)},
      {"hidden", number(decoder.hidden)},
      {"layers", number(decoder.layers)},
      {"context", number(identity.context)},
      {"parameters", number(weights->parameters())},
      {"active_parameters", number(weights->activeParameters())},
      {"moe_layers", builder.getDenseI64ArrayAttr(moeLayers)},
      {"experts", number(experts.experts)},
      {"picked", number(experts.picked)},
  };
  SmallVector<NamedAttribute> attributes;
  for (const auto &[key, value] : entries)
    attributes.push_back(builder.getNamedAttr(key, value));
  if (isLatent)
    attributes.push_back(builder.getNamedAttr(
        "mla",
        builder.getStringAttr(latentForm() == LatentForm::Expanded ? "expanded" : "absorbed")));
  (*module)->setAttr("moec.model", builder.getDictionaryAttr(attributes));
}

std::string ModelBuilder::explainLayer(std::string_view tensor) const {
  StringRef rest(tensor);
  int64_t layer = 0;
  if (!rest.consume_front(decoder.prefix + "model.layers.") || rest.consumeInteger(10, layer) ||
      layer < decoder.layers)
    return {};
  std::string text =
      fmt::format("; `num_hidden_layers` is {} in {}", decoder.layers, checkpoint.config().file());
  if (const nlohmann::json *predicting = checkpoint.config().find("num_nextn_predict_layers"))
    text += fmt::format(", and `num_nextn_predict_layers` {}", shownJson(*predicting));
  return text;
}

Result<OwningOpRef<ModuleOp>> ModelBuilder::finish() {
  buildStep();
  describe();
  // Weights first, then caches, then functions.
  SmallVector<Operation *> symbols;
  for (auto weight : module->getOps<lm::WeightOp>())
    symbols.push_back(weight);
  for (auto cache : module->getOps<lm::CacheOp>())
    symbols.push_back(cache);
  for (Operation *symbol : llvm::reverse(symbols))
    symbol->moveBefore(module->getBody(), module->getBody()->begin());
  if (failure.ok())
    failure = weights->finish([this](std::string_view name) { return explainLayer(name); });
  if (failure.ok() && identity.latentForm && !isLatent)
    failure = {Code::Usage, fmt::format("--mla is about attention to latent vectors, and "
                                        "{} has heads with keys of their own; leave it out",
                                        identity.architecture)};
  if (!failure.ok())
    return failure;
  if (failed(verify(*module)))
    return Status{Code::Internal, fmt::format("{}: what was built from it does not verify",
                                              checkpoint.directory())};
  return std::move(module);
}
