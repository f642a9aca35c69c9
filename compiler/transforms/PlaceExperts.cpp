// Implements moe-place-experts.

#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightLoads.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Sequence.h"

namespace moec {
#define GEN_PASS_DEF_PLACEEXPERTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

using Layers = llvm::SmallDenseSet<int64_t, 16>;

/// What crosses to the host, in this order; the result is the buffer behind.
SmallVector<Value> crossing(moe::ExpertFfnOp layer) {
  return {layer.getTokens(), layer.getExperts(), layer.getWeights()};
}

/// The weights that it has, each once.
SmallVector<Value> weightsOf(moe::ExpertFfnOp layer) {
  SmallVector<Value> weights;
  for (Value weight : {layer.getGate(), layer.getUp(), layer.getDown(), layer.getGateBias(),
                       layer.getUpBias(), layer.getDownBias()})
    if (weight && !llvm::is_contained(weights, weight))
      weights.push_back(weight);
  return weights;
}

/// Moves the experts of some layers of a module with a step.
class Placer {
public:
  Placer(ModuleOp module, ArrayRef<int64_t> hostLayers)
      : module(module), context(module.getContext()), step(findStep(module)),
        hostLayers(hostLayers), onHost(hostLayers.begin(), hostLayers.end()) {}

  LogicalResult run() {
    WeightLoads loads(module);
    SmallVector<moe::ExpertFfnOp> sites;
    step.walk([&](moe::ExpertFfnOp site) { sites.push_back(site); });
    llvm::MapVector<StringAttr, lm::WeightOp> split; // what the sites load
    for (moe::ExpertFfnOp site : sites)
      for (Value weight : weightsOf(site)) {
        if (!WeightLoads::loadOf(weight))
          return site.emitOpError("has weights that are not loaded, and so cannot be placed");
        lm::WeightOp symbol = loads.symbolOf(weight);
        split[symbol.getSymNameAttr()] = symbol;
      }
    if (failed(checkLayers(split)) || failed(checkUsers(split)))
      return failure();
    OpBuilder symbols = OpBuilder::atBlockEnd(module.getBody());
    host = ModuleOp::create(symbols, module.getLoc(), StringRef("host"));
    for (moe::ExpertFfnOp site : sites)
      place(site, loads.symbolOf(site.getUp()).getLayers());
    buildHostStep();
    for (auto &[name, weight] : split)
      splitWeight(weight);
    return success();
  }

private:
  /// That the experts of each layer are fused ones.
  LogicalResult checkLayers(const llvm::MapVector<StringAttr, lm::WeightOp> &split) {
    Layers fused, others;
    for (auto weight : module.getOps<lm::WeightOp>())
      if (weight.getNumExperts() > 0)
        (split.contains(weight.getSymNameAttr()) ? fused : others)
            .insert(weight.getLayers().begin(), weight.getLayers().end());
    for (int64_t layer : hostLayers)
      if (!fused.contains(layer))
        return module.emitError() << "layer " << layer
                                  << " is to have its experts on the host, but "
                                  << (others.contains(layer)
                                          ? "they are not fused into moe.expert_ffn"
                                          : "it has none");
    return success();
  }

  /// That nothing but experts reads their weights.
  LogicalResult checkUsers(const llvm::MapVector<StringAttr, lm::WeightOp> &split) {
    WalkResult result = step.walk([&](lm::LoadWeightOp load) {
      if (!split.contains(load.getWeightAttr().getAttr()))
        return WalkResult::advance();
      for (Operation *user : load->getUsers())
        if (!isa<moe::ExpertFfnOp>(user)) {
          user->emitOpError() << "reads the experts' weight " << load.getWeight()
                              << ", of which the host is to have some layers";
          return WalkResult::interrupt();
        }
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }

  /// Has the layers that are the host's do a part of its, in place of `site`.
  void place(moe::ExpertFfnOp site, ArrayRef<int64_t> layers) {
    const auto isOnHost = [&](int64_t layer) { return onHost.contains(layer); };
    if (llvm::none_of(layers, isOnHost))
      return;
    const int64_t part = partFor(site);
    Value layer = WeightLoads::loadOf(site.getUp()).getLayer();
    OpBuilder builder(site);
    if (llvm::all_of(layers, isOnHost)) {
      site.replaceAllUsesWith(ValueRange{runPart(site, part, layer, builder)});
      remove(site);
      return;
    }
    Location loc = site.getLoc();
    SmallVector<int64_t> kinds(layers.back() + 1, 0);
    for (int64_t number : layers)
      kinds[number] = isOnHost(number);
    Value kind = lm::LayerKindOp::create(builder, loc, builder.getIndexType(), layer, kinds);
    Value isPlaced = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, kind,
                                           arith::ConstantIndexOp::create(builder, loc, 1));
    auto branch = scf::IfOp::create(builder, loc, site.getResultTypes(), isPlaced,
                                    /*addThenBlock=*/true, /*addElseBlock=*/true);
    site.replaceAllUsesWith(branch.getResults());
    OpBuilder inThen = branch.getThenBodyBuilder(), inElse = branch.getElseBodyBuilder();
    scf::YieldOp::create(inThen, loc, runPart(site, part, layer, inThen));
    site->moveBefore(scf::YieldOp::create(inElse, loc, site.getResults()));
  }

  Value runPart(moe::ExpertFfnOp site, int64_t part, Value layer, OpBuilder &builder) {
    Location loc = site.getLoc();
    Value batch = step.getArgument(0), out = site.getOut();
    auto type = cast<RankedTensorType>(out.getType());
    Value to = out;
    if (site.getAccumulate())
      to = emptyRows(builder, loc, batch, type);
    Value result = lm::RunPartOp::create(builder, loc, type, builder.getI64IntegerAttr(part), layer,
                                         batch, crossing(site), to)
                       .getResult(0);
    if (site.getAccumulate())
      result = lm::AddOp::create(builder, loc, type, out, result, out).getResult(0);
    return result;
  }

  static Value emptyRows(OpBuilder &builder, Location loc, Value batch, RankedTensorType type) {
    Value rows = lm::TokenCountOp::create(builder, loc, builder.getIndexType(), batch);
    return tensor::EmptyOp::create(builder, loc, type, rows);
  }

  /// Erases a layer and what it alone has loaded.
  static void remove(moe::ExpertFfnOp site) {
    SmallVector<Value> weights = weightsOf(site);
    site.erase();
    for (Value weight : weights)
      if (Operation *load = weight.getDefiningOp(); load && load->use_empty())
        load->erase();
  }

  /// The number of the part that does what `site` does; layers alike share one.
  int64_t partFor(moe::ExpertFfnOp site) {
    NamedAttrList attributes(site->getAttrDictionary());
    attributes.erase("accumulate");
    SmallVector<Attribute> key{attributes.getDictionary(context)};
    for (Value rows : crossing(site))
      key.push_back(TypeAttr::get(rows.getType()));
    for (Value operand : site->getOperands()) // the weights in their roles
      if (lm::LoadWeightOp load = WeightLoads::loadOf(operand))
        key.push_back(load.getWeightAttr());
    auto [found, isNew] =
        parts.insert({ArrayAttr::get(context, key), static_cast<int64_t>(bodies.size())});
    if (isNew)
      bodies.push_back(buildBody(site));
    return found->second;
  }

  /// What the host does of a layer, of values that are not there yet.
  struct Body {
    std::unique_ptr<Block> block; ///< takes batch and layer
  };

  Body buildBody(moe::ExpertFfnOp site) {
    Body body{std::make_unique<Block>()};
    Location loc = site.getLoc();
    OpBuilder builder(context); // the block is nowhere yet
    builder.setInsertionPointToStart(body.block.get());
    Value batch = body.block->addArgument(lm::BatchType::get(context), loc);
    Value layer = body.block->addArgument(builder.getIndexType(), loc);
    IRMapping mapping;
    int64_t number = 0;
    for (Value rows : crossing(site))
      mapping.map(rows, lm::PartRowsOp::create(builder, loc, rows.getType(), number++, batch));
    for (Value weight : weightsOf(site)) {
      lm::LoadWeightOp load = WeightLoads::loadOf(weight);
      mapping.map(weight, lm::LoadWeightOp::create(builder, load.getLoc(), load.getType(),
                                                   load.getWeight(), layer));
    }
    auto type = cast<RankedTensorType>(site.getOut().getType());
    // Before the layer, so that it can write there.
    Value to = lm::PartRowsOp::create(
        builder, loc, MemRefType::get(type.getShape(), type.getElementType()), number, batch);
    mapping.map(site.getOut(), emptyRows(builder, loc, batch, type));
    auto copy = cast<moe::ExpertFfnOp>(builder.clone(*site, mapping));
    copy.setAccumulate(false);
    bufferization::MaterializeInDestinationOp::create(builder, loc, /*result=*/TypeRange(),
                                                      copy.getResult(0), to, /*restrict=*/true,
                                                      /*writable=*/true);
    return body;
  }

  /// The host's step: the part that is asked for.
  void buildHostStep() {
    Location loc = step.getLoc();
    OpBuilder builder = OpBuilder::atBlockEnd(host.getBody());
    auto function = func::FuncOp::create(
        builder, loc, "step", builder.getFunctionType(step.getArgumentTypes(), TypeRange()));
    builder.setInsertionPointToStart(function.addEntryBlock());
    Value batch = function.getArgument(0);
    Type index = builder.getIndexType();
    Value layer = lm::PartLayerOp::create(builder, loc, index, batch);
    auto fill = [&](OpBuilder &inside, Body &body) {
      body.block->getArgument(0).replaceAllUsesWith(batch);
      body.block->getArgument(1).replaceAllUsesWith(layer);
      inside.getInsertionBlock()->getOperations().splice(inside.getInsertionPoint(),
                                                         body.block->getOperations());
    };
    if (bodies.size() == 1) {
      fill(builder, bodies.front());
    } else {
      Value number = lm::PartNumberOp::create(builder, loc, index, batch);
      const size_t last = bodies.size() - 1;
      auto cases = llvm::to_vector(llvm::seq<int64_t>(0, static_cast<int64_t>(last)));
      auto choice = scf::IndexSwitchOp::create(builder, loc, TypeRange(), number, cases,
                                               static_cast<unsigned>(last));
      for (size_t i = 0; i <= last; ++i) {
        Region &region = i < last ? choice.getCaseRegions()[i] : choice.getDefaultRegion();
        OpBuilder inside = OpBuilder::atBlockBegin(&region.emplaceBlock());
        scf::YieldOp::create(inside, loc);
        inside.setInsertionPointToStart(&region.front());
        fill(inside, bodies[i]);
      }
    }
    func::ReturnOp::create(builder, loc);
  }

  /// Gives the host its layers of a weight.
  void splitWeight(lm::WeightOp weight) {
    SmallVector<int64_t> own, hosts;
    for (int64_t layer : weight.getLayers())
      (onHost.contains(layer) ? hosts : own).push_back(layer);
    if (hosts.empty())
      return;
    OpBuilder inHost(step->getContext());
    inHost.setInsertionPoint(findStep(host));
    cast<lm::WeightOp>(inHost.clone(*weight)).setLayers(hosts);
    if (own.empty())
      weight.erase();
    else
      weight.setLayers(own);
  }

  ModuleOp module;
  MLIRContext *context;
  func::FuncOp step;
  ArrayRef<int64_t> hostLayers;
  Layers onHost; ///< the same
  ModuleOp host;
  llvm::DenseMap<Attribute, int64_t> parts; ///< numbers by what makes layers alike
  std::vector<Body> bodies;                 ///< of the parts
};

struct PlaceExperts final : moec::impl::PlaceExpertsBase<PlaceExperts> {
  void runOnOperation() override {
    auto placement = getOperation()->getAttrOfType<DictionaryAttr>(kPlacementAttr);
    if (!placement)
      return;
    auto layers = placement.getAs<DenseI64ArrayAttr>(kHostLayersName);
    if (!layers || !placement.getAs<IntegerAttr>(kDeviceMemoryName) || placement.size() != 2) {
      getOperation().emitError() << kPlacementAttr << " is " << placement << ", wanted "
                                 << kDeviceMemoryName << ", a number of bytes, and "
                                 << kHostLayersName << ", numbers of layers";
      return signalPassFailure();
    }
    if (layers.empty() || !findStep(getOperation()))
      return;
    if (failed(Placer(getOperation(), layers.asArrayRef()).run()))
      signalPassFailure();
  }
};

} // namespace
