// Implements moe-raise-experts.

#include "compiler/analysis/FusionReport.h"
#include "compiler/transforms/ExpertLayerMatch.h"
#include "compiler/transforms/Passes.h"
#include "compiler/transforms/RouterMatch.h"
#include "dialects/layers/ExpertLayer.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace moec {
#define GEN_PASS_DEF_RAISEEXPERTS
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// What follows from a choice, op by op, and which of it somebody still wants.
class Followers {
public:
  explicit Followers(linalg_ext::TopKOp choice) : block(choice->getBlock()) { add(choice); }

  bool contains(Operation *op) const { return ops.contains(op); }
  /// Takes in the next op. Returns its result if nothing else that follows is wanted afterwards.
  Value visit(Operation *op);

private:
  void add(Operation *op);

  Block *block;
  llvm::DenseSet<Operation *> ops;
  llvm::DenseMap<Value, unsigned> users; ///< ops that are still to come, of each value
};

/// Builds what a matched layer is.
class LayerBuilder {
public:
  LayerBuilder(OpBuilder &builder, Location loc, SymbolTable &symbols, const MatchedExperts &layer,
               const MatchedRouter &router)
      : builder(builder), loc(loc), symbols(symbols), layer(layer), router(router) {}

  Value build(linalg_ext::TopKOp choice, Value result);

private:
  using Place = std::optional<WeightPlace> ExpertFunction::*;
  Value flat(Value tensor);
  Value weightOf(llvm::function_ref<const WeightPlace *(const ExpertFunction &)> place,
                 int64_t rows, int64_t columns, bool areBiases = false);
  void route(linalg_ext::TopKOp choice, ExpertOperands &operands);
  Value asIds(Value indices);
  moe::ActivationAttr activation();

  OpBuilder &builder;
  Location loc;
  SymbolTable &symbols;
  const MatchedExperts &layer;
  const MatchedRouter &router;
};

struct RaiseExperts final : moec::impl::RaiseExpertsBase<RaiseExperts> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      SmallVector<linalg_ext::TopKOp> choices;
      for (Block &block : function.getBody())
        llvm::append_range(choices, block.getOps<linalg_ext::TopKOp>());
      for (linalg_ext::TopKOp choice : choices)
        raise(choice);
      for (Block &block : function.getBody())
        for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
          if (isOpTriviallyDead(&op))
            op.erase();
    }
  }

private:
  void raise(linalg_ext::TopKOp choice);
  bool tryResult(linalg_ext::TopKOp choice, TensorElements &elements, Value result,
                 MatchFailure &failure);
};

} // namespace

void Followers::add(Operation *op) {
  ops.insert(op);
  for (Value result : op->getResults()) {
    llvm::DenseSet<Operation *> unique;
    for (Operation *user : result.getUsers())
      if (Operation *ancestor = block->findAncestorOpInBlock(*user))
        if (!isa<bufferization::MaterializeInDestinationOp>(ancestor))
          unique.insert(ancestor);
    if (!unique.empty())
      users[result] = unique.size();
  }
}

Value Followers::visit(Operation *op) {
  llvm::DenseSet<Value> used;
  op->walk([&](Operation *each) {
    for (Value operand : each->getOperands())
      if (Operation *maker = operand.getDefiningOp(); maker && ops.contains(maker))
        used.insert(operand);
  });
  if (used.empty())
    return {};
  for (Value value : used)
    if (auto known = users.find(value); known != users.end() && --known->second == 0)
      users.erase(known);
  add(op);
  if (op->getNumResults() != 1)
    return {};
  Value result = op->getResult(0);
  return users.size() == users.contains(result) ? result : Value();
}

/// All dimensions but the last count rows.
static SmallVector<ReassociationIndices> rowGroups(int64_t rank) {
  SmallVector<ReassociationIndices> groups(2);
  for (int64_t each = 0; each < rank; ++each)
    groups[each + 1 == rank].push_back(each);
  return groups;
}

/// Collapsed to rows.
Value LayerBuilder::flat(Value tensor) {
  const int64_t rank = cast<RankedTensorType>(tensor.getType()).getRank();
  if (rank == 2)
    return tensor;
  return tensor::CollapseShapeOp::create(builder, loc, tensor, rowGroups(rank));
}

Value LayerBuilder::weightOf(llvm::function_ref<const WeightPlace *(const ExpertFunction &)> place,
                             int64_t rows, int64_t columns, bool areBiases) {
  const WeightPlace *first = place(layer.functions.front());
  if (!first)
    return {};
  ExpertWeight weight;
  weight.rows = rows;
  weight.columns = columns;
  weight.areBiases = areBiases;
  weight.firstRow = first->firstRow;
  weight.rowStep = first->rowStep;
  weight.isTransposed = first->isTransposed;
  for (const ExpertFunction &function : layer.functions)
    if (weight.tensors.push_back(place(function)->tensor); first->isStacked)
      break;
  return loadExpertWeight(builder, loc, symbols, layer.experts, weight);
}

moe::ActivationAttr LayerBuilder::activation() {
  const ExpertActivation &found = layer.functions.front().activation;
  auto number = [&](double value, double unset) {
    return value == unset ? FloatAttr() : builder.getF32FloatAttr(static_cast<float>(value));
  };
  return moe::ActivationAttr::get(builder.getContext(), found.kind, number(found.limit, 0),
                                  number(found.slope, 1), number(found.shift, 0));
}

/// Indices of 64 bits as ids.
Value LayerBuilder::asIds(Value indices) {
  auto type = cast<RankedTensorType>(indices.getType());
  if (type.getElementType().isInteger(32))
    return indices;
  Value out = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, indices),
                                      builder.getI32Type());
  SmallVector<AffineMap> maps(2, builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, out.getType(), indices, out, maps, loops,
                                   [](OpBuilder &inside, Location where, ValueRange elements) {
                                     Value id = arith::TruncIOp::create(
                                         inside, where, inside.getI32Type(), elements[0]);
                                     linalg::YieldOp::create(inside, where, id);
                                   })
      .getResult(0);
}

void LayerBuilder::route(linalg_ext::TopKOp choice, ExpertOperands &operands) {
  if (router.weights) {
    operands.experts = flat(asIds(choice->getResult(1)));
    operands.weights = flat(router.weights);
    return;
  }
  Value logits = flat(router.logits);
  OpFoldResult rows = tensor::getMixedSize(builder, loc, logits, 0);
  const int64_t picked = cast<RankedTensorType>(choice->getResult(0).getType()).getShape().back();
  auto empty = [&](int64_t columns, Type element) -> Value {
    return tensor::EmptyOp::create(
        builder, loc, ArrayRef<OpFoldResult>{rows, builder.getIndexAttr(columns)}, element);
  };
  Value scores = logits;
  if (router.function != moe::ScoreFunction::None) {
    Value out = empty(layer.experts, builder.getF32Type());
    scores = moe::ScoreOp::create(builder, loc, out.getType(), router.function, logits, out)
                 .getResult(0);
  }
  Value experts = empty(picked, builder.getI32Type()),
        weights = empty(picked, builder.getF32Type());
  auto routed = moe::RouteOp::create(builder, loc, TypeRange{experts.getType(), weights.getType()},
                                     router.weighing, APFloat(static_cast<float>(router.epsilon)),
                                     APFloat(static_cast<float>(router.scale)),
                                     /*groups=*/moe::GroupsAttr(), /*prefer_higher=*/false, scores,
                                     /*correction=*/Value(), experts, weights);
  operands.experts = routed.getResult(0);
  operands.weights = routed.getResult(1);
}

Value LayerBuilder::build(linalg_ext::TopKOp choice, Value result) {
  auto type = cast<RankedTensorType>(result.getType());
  const ExpertFunction &function = layer.functions.front();
  const int64_t hidden = *function.inputColumn->operands[0]->integer(), width = function.width,
                out = type.getShape().back();
  auto optional = [](Place place) {
    return [place](const ExpertFunction &each) {
      return each.*place ? &*(each.*place) : static_cast<const WeightPlace *>(nullptr);
    };
  };
  ExpertOperands operands;
  operands.tokens = flat(layer.tokens);
  route(choice, operands);
  operands.gate = weightOf(optional(&ExpertFunction::gate), width, hidden);
  operands.up = weightOf([](const ExpertFunction &each) { return &each.up; }, width, hidden);
  operands.down = weightOf([](const ExpertFunction &each) { return &each.down; }, out, width);
  operands.gateBias = weightOf(optional(&ExpertFunction::gateBias), width, 1, true);
  operands.upBias = weightOf(optional(&ExpertFunction::upBias), width, 1, true);
  operands.downBias = weightOf(optional(&ExpertFunction::downBias), out, 1, true);
  operands.activation = activation();
  Value sum = buildExpertLayer(builder, loc, operands);
  if (layer.addend) {
    Value addend = flat(layer.addend);
    Value all = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, sum),
                                        type.getElementType());
    sum = linalg::AddOp::create(builder, loc, ValueRange{addend, sum}, all).getResult(0);
  }
  if (type.getRank() > 2) {
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, choice->getResult(1));
    sizes.back() = builder.getIndexAttr(out);
    sum = tensor::ExpandShapeOp::create(builder, loc, type, sum, rowGroups(type.getRank()), sizes);
  }
  return sum.getType() == type ? sum : tensor::CastOp::create(builder, loc, type, sum).getResult();
}

bool RaiseExperts::tryResult(linalg_ext::TopKOp choice, TensorElements &elements, Value result,
                             MatchFailure &failure) {
  auto type = dyn_cast<RankedTensorType>(result.getType());
  if (!type || type.getRank() < 2 || !type.getElementType().isF32() ||
      type.isDynamicDim(type.getRank() - 1) || type.getShape().back() < 2 ||
      type.getRank() != cast<RankedTensorType>(choice.getInput().getType()).getRank())
    return false;
  std::optional<MatchedExperts> layer = matchExperts(elements, choice, result, failure);
  if (!layer)
    return false;
  if (choice.getSmallest()) {
    failure.reason = "the smallest scores are chosen";
    return false;
  }
  SmallVector<Expr> tokens = loopsOver(elements, result);
  tokens.pop_back();
  std::optional<MatchedRouter> router = matchRouter(elements, choice, *layer, tokens, failure);
  if (!router)
    return false;
  OpBuilder builder(result.getContext());
  builder.setInsertionPointAfterValue(result);
  SymbolTable symbols(getOperation());
  Value raised =
      LayerBuilder(builder, result.getLoc(), symbols, *layer, *router).build(choice, result);
  result.replaceAllUsesWith(raised);
  return true;
}

void RaiseExperts::raise(linalg_ext::TopKOp choice) {
  auto input = cast<RankedTensorType>(choice.getInput().getType());
  const int64_t experts = input.getShape().back(),
                picked = cast<RankedTensorType>(choice->getResult(0).getType()).getShape().back();
  if (input.getRank() < 2 || !input.getElementType().isF32() || ShapedType::isDynamic(experts) ||
      ShapedType::isDynamic(picked) || picked > experts || choice->getResult(1).use_empty())
    return;
  // A layer's end is where all that follows from the choice comes together.
  constexpr unsigned kMostEnds = 16;
  Followers followers(choice);
  TensorElements elements(&getContext(), [&](Operation *op) { return followers.contains(op); });
  std::optional<MatchFailure> failure;
  unsigned ends = 0;
  for (Operation *op = choice->getNextNode(); op && ends < kMostEnds; op = op->getNextNode()) {
    Value result = followers.visit(op);
    if (!result)
      continue;
    ++ends;
    MatchFailure found;
    if (tryResult(choice, elements, result, found)) {
      ++numRaised;
      return;
    }
    if (found.isLayer && (!failure || failure->progress < found.progress))
      failure = found;
  }
  if (!failure)
    return;
  ++numKept;
  choice->setAttr(kNotRaisedAttr, StringAttr::get(&getContext(), failure->reason));
  emitRemark(choice.getLoc()) << "expert layer not raised: " << failure->reason;
}
