// Implements moe-fold-shared-experts.

#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightLoads.h"
#include "llvm/ADT/MapVector.h"

namespace moec {
#define GEN_PASS_DEF_FOLDSHAREDEXPERTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// The sum of the experts that a token picks and of one that all tokens share.
struct SharedExpert {
  lm::AddOp sum;
  moe::ExpertFfnOp routed;
  lm::ScaleRowsOp scale; ///< null where it has no gate
  lm::LinearOp gate, up, down;
  moe::GatedActivationOp activation;

  /// All ops, users before what they use.
  SmallVector<Operation *> ops() {
    SmallVector<Operation *> ops{sum};
    if (scale)
      ops.push_back(scale);
    ops.append({down, activation, gate, up, routed});
    return ops;
  }
  /// Each weight of the experts and the shared one that belongs to it.
  SmallVector<std::pair<Value, Value>> weights() {
    return {{routed.getGate(), gate.getWeight()},
            {routed.getUp(), up.getWeight()},
            {routed.getDown(), down.getWeight()}};
  }
};

/// Why a shared expert stays as it is, and in which of its places that was found.
struct Obstacle {
  SharedExpert *place;
  std::string reason;
};

struct FoldSharedExperts final : moec::impl::FoldSharedExpertsBase<FoldSharedExperts> {
  using FoldSharedExpertsBase::FoldSharedExpertsBase;

  void runOnOperation() override {
    WeightLoads loads(getOperation());
    // Several kinds of layers may have the same weights, which are joined for all of them or none.
    llvm::MapVector<Attribute, SmallVector<SharedExpert>> placesByWeights;
    getOperation().walk([&](lm::AddOp sum) {
      std::optional<SharedExpert> shared = match(sum, sum.getLeft(), sum.getRight());
      if (!shared)
        shared = match(sum, sum.getRight(), sum.getLeft());
      if (shared)
        placesByWeights[symbolsOf(*shared)].push_back(*shared);
    });
    for (auto &[symbols, places] : placesByWeights) {
      std::optional<Obstacle> obstacle =
          mapped ? Obstacle{&places.front(),
                            "in the checkpoint's files its weights lie apart from the experts'"}
                 : findObstacle(loads, places);
      if (obstacle)
        obstacle->place->activation.emitRemark()
            << "this shared expert is not folded: " << obstacle->reason;
      else
        fold(loads, places);
    }
  }

private:
  static std::optional<SharedExpert> match(lm::AddOp sum, Value routed, Value shared) {
    SharedExpert found;
    found.sum = sum;
    found.routed = routed.getDefiningOp<moe::ExpertFfnOp>();
    found.scale = shared.getDefiningOp<lm::ScaleRowsOp>();
    found.down = (found.scale ? found.scale.getInput() : shared).getDefiningOp<lm::LinearOp>();
    if (!found.routed || !found.routed.getGate() || !found.down)
      return std::nullopt;
    found.activation = found.down.getInput().getDefiningOp<moe::GatedActivationOp>();
    if (!found.activation)
      return std::nullopt;
    found.gate = found.activation.getGate().getDefiningOp<lm::LinearOp>();
    found.up = found.activation.getUp().getDefiningOp<lm::LinearOp>();
    if (!found.gate || !found.up || found.gate == found.up)
      return std::nullopt;
    return found;
  }

  /// The names of all weights of a place, as an attribute to find its like by.
  static Attribute symbolsOf(SharedExpert &shared) {
    MLIRContext *context = shared.sum.getContext();
    SmallVector<Attribute> symbols;
    for (auto [own, other] : shared.weights())
      for (Value weight : {own, other}) {
        lm::LoadWeightOp load = WeightLoads::loadOf(weight);
        symbols.push_back(load ? Attribute(load.getWeightAttr()) : UnitAttr::get(context));
      }
    return ArrayAttr::get(context, symbols);
  }

  /// What keeps a shared expert, with the same weights in all `places`, from being folded; none
  /// where it can be.
  static std::optional<Obstacle> findObstacle(const WeightLoads &loads,
                                              MutableArrayRef<SharedExpert> places) {
    for (SharedExpert &shared : places) {
      if (std::string reason = findObstacle(shared); !reason.empty())
        return Obstacle{&shared, std::move(reason)};
      for (auto [own, other] : shared.weights())
        if (std::string reason = findObstacle(loads, own, other, places.size()); !reason.empty())
          return Obstacle{&shared, std::move(reason)};
    }
    return std::nullopt;
  }

  /// What of one place, its weights aside, is in the way; empty where nothing is.
  static std::string findObstacle(SharedExpert &shared) {
    moe::ExpertFfnOp routed = shared.routed;
    SmallVector<Operation *> ops = shared.ops();
    for (Operation *op : ArrayRef(ops).drop_front()) {
      auto isAnother = [&](Operation *user) { return !llvm::is_contained(ops, user); };
      if (llvm::any_of(op->getUsers(), isAnother) || op->getBlock() != shared.sum->getBlock())
        return op->getName().getStringRef().str() + " has another user";
      if (op->hasAttr("accumulate"))
        return op->getName().getStringRef().str() + " accumulates";
    }
    if (shared.gate.getInput() != routed.getTokens() || shared.up.getInput() != routed.getTokens())
      return "it multiplies other tokens than the experts do";
    if (shared.activation.getActivation() != routed.getActivation())
      return "its activation is not that of the experts";
    if (shared.gate.getBias() || shared.up.getBias() || shared.down.getBias())
      return "it has a bias";
    if (routed.getGateBias())
      return "the experts have biases";
    int64_t width = extentOf(routed.getUp(), 1), sharedWidth = extentOf(shared.up.getOut(), 1);
    if (sharedWidth % width != 0)
      return "its width of " + std::to_string(sharedWidth) +
             " is no multiple of the experts' width of " + std::to_string(width);
    return "";
  }

  /// Why `other` cannot become experts of `own` in so many places; empty where it can.
  static std::string findObstacle(const WeightLoads &loads, Value own, Value other, size_t places) {
    for (Value weight : {own, other})
      if (!WeightLoads::isUsedOnce(weight) || loads.countLoads(weight) != places)
        return "one of its weights, or of the experts', has another user";
    lm::WeightOp first = loads.symbolOf(own), second = loads.symbolOf(other);
    std::string name = "its weight " + second.getSymName().str();
    if (!loads.areOfSameLayers(own, other))
      return name + " belongs to other layers than that of the experts";
    if (first.getType().getElementType() != second.getType().getElementType())
      return name + " is stored as another type than that of the experts";
    if (second.getPieces().size() != 1)
      return name + " is made of several stored tensors";
    auto piece = cast<lm::PieceAttr>(second.getPieces()[0]);
    if (piece.getTransposed() || piece.getRowStep() != 1)
      return name + " is not stored row by row";
    return "";
  }

  /// Experts of `shared`'s layer that its shared one becomes.
  static int64_t countAdded(SharedExpert &shared) {
    return extentOf(shared.up.getOut(), 1) / extentOf(shared.routed.getUp(), 1);
  }

  /// Folds the shared expert that has the same weights in all `places`.
  void fold(WeightLoads &loads, MutableArrayRef<SharedExpert> places) {
    SmallVector<lm::WeightOp> weights;
    for (auto [own, other] : places.front().weights())
      weights.push_back(join(loads, own, other, countAdded(places.front())));
    for (SharedExpert &shared : places)
      foldPlace(shared, weights);
  }

  /// Folds it in one of them; `joined` are its gate, up and down with those of the experts.
  void foldPlace(SharedExpert &shared, ArrayRef<lm::WeightOp> joined) {
    moe::ExpertFfnOp routed = shared.routed;
    int64_t experts = extentOf(routed.getUp(), 0), picked = extentOf(routed.getExperts(), 1);
    int64_t added = countAdded(shared);
    OpBuilder builder(shared.sum);
    Location loc = shared.activation.getLoc();
    auto empty = [&](Type element) -> Value {
      OpFoldResult rows = tensor::getMixedSize(builder, loc, routed.getTokens(), 0);
      return tensor::EmptyOp::create(builder, loc, {rows, builder.getIndexAttr(picked + added)},
                                     element);
    };
    SmallVector<Value> all{empty(builder.getI32Type()), empty(builder.getF32Type())};
    auto picks = moe::PickSharedOp::create(
        builder, loc, TypeRange(all), experts, routed.getExperts(), routed.getWeights(),
        shared.scale ? shared.scale.getGate() : Value(), all[0], all[1]);
    SmallVector<Value> weights, former;
    for (auto [pair, weight] : llvm::zip_equal(shared.weights(), joined)) {
      former.append({pair.first, pair.second});
      weights.push_back(WeightLoads::loadLike(pair.first, weight, builder));
    }
    auto layer = moe::ExpertFfnOp::create(
        builder, routed.getLoc(), routed.getResultTypes(), routed.getActivation(),
        routed.getWeighInput(), /*accumulate=*/false, routed.getInner(), routed.getTokens(),
        picks.getResult(0), picks.getResult(1), weights[0], weights[1], weights[2],
        /*gate_bias=*/Value(), /*up_bias=*/Value(), /*down_bias=*/Value(), routed.getOut());
    shared.sum.replaceAllUsesWith(layer.getResults());
    for (Operation *op : shared.ops())
      op->erase();
    for (Value weight : former)
      WeightLoads::loadOf(weight).erase();
    ++numFolded;
  }

  /// A weight of the experts of `own` and of `added` more, cut out of `other`.
  static lm::WeightOp join(WeightLoads &loads, Value own, Value other, int64_t added) {
    lm::WeightOp first = loads.symbolOf(own), second = loads.symbolOf(other);
    MLIRContext *context = first.getContext();
    SmallVector<int64_t> shape(first.getType().getShape());
    SmallVector<Attribute> pieces;
    for (auto piece : first.getPieces().getAsRange<lm::PieceAttr>())
      pieces.push_back(
          lm::PieceAttr::get(context, piece.getPattern(), piece.getRows(), piece.getFirstRow(),
                             piece.getRowStep(), piece.getRowsPerExpert(), piece.getTransposed(),
                             piece.getSideBySide(), piece.getFirstExpert(),
                             first.getNumMatrices(piece), piece.getStored(), piece.getScales()));
    // Gate and up have the rows of one expert after the other, down their columns.
    auto piece = cast<lm::PieceAttr>(second.getPieces()[0]);
    bool sideBySide = extentOf(other, 1) != shape[2];
    pieces.push_back(lm::PieceAttr::get(context, piece.getPattern(), shape[1], piece.getFirstRow(),
                                        /*row_step=*/1, sideBySide ? 0 : shape[1],
                                        /*transposed=*/false, sideBySide, shape[0], added,
                                        piece.getStored(), piece.getScales()));
    shape[0] += added;
    return loads.join({own, other}, shape, pieces);
  }
};

} // namespace
