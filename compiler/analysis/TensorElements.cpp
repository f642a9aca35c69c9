// Follows elements of tensors through the ops that make them.

#include "compiler/analysis/TensorElements.h"

#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "dialects/lm/LmDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

Expr TensorElements::at(Value tensor, ArrayRef<Expr> place) {
  Expr read = expressions.read(tensor, place);
  if (Expr found = known.lookup(read))
    return found;
  Expr element = evaluate(tensor, place);
  if (!element)
    element = read;
  known[read] = element;
  reads[element].push_back(read);
  return element;
}

Expr TensorElements::scalar(Value value) {
  if (Expr found = scalars.lookup(value))
    return found;
  if (value.getDefiningOp<lm::DimensionOp>())
    expressions.setNonNegative(value);
  Scope scope;
  Expr result = inScope(value, scope, {});
  if (!result)
    result = expressions.read(value, {});
  return scalars[value] = result;
}

Value TensorElements::tensorOf(Expr e, ArrayRef<Expr> place) {
  const SmallVector<Expr, 2> found = reads.lookup(e);
  auto extentOf = [&](Expr loop) {
    return loop->is(Kind::Loop) ? loop->operands[0] : expressions.number(1);
  };
  for (Expr read : found)
    if (read->operands == place && llvm::all_of(llvm::enumerate(place), [&](auto loop) {
          return isSameSize(sizeOf(read->tensor, loop.index()), extentOf(loop.value()));
        }))
      return read->tensor;
  for (Expr read : found) {
    const auto last = static_cast<unsigned>(read->operands.size() - 1);
    if (read->operands.size() < 2 || read->operands.back() != place.back() ||
        !isSameSize(sizeOf(read->tensor, last), extentOf(place.back())))
      continue;
    // Row by row the same, and as many.
    SmallVector<Expr> sizes, wanted;
    Expr count = expressions.number(1), wantedCount = count;
    for (unsigned each = 0; each + 1 < read->operands.size(); ++each) {
      sizes.push_back(sizeOf(read->tensor, each));
      count = expressions.mul(count, sizes.back());
    }
    for (Expr loop : place.drop_back()) {
      wanted.push_back(extentOf(loop));
      wantedCount = expressions.mul(wantedCount, wanted.back());
    }
    if (count == wantedCount &&
        linear(read->operands.drop_back(), sizes) == linear(place.drop_back(), wanted))
      return read->tensor;
  }
  return {};
}

/// Whether its elements are those of operands, or are integers: arithmetic on numbers is not looked
/// into.
bool TensorElements::movesElements(linalg::LinalgOp op) {
  auto [place, isNew] = moving.try_emplace(op, false);
  if (!isNew)
    return place->second;
  Block *body = op.getBlock();
  bool moves = op.getNumReductionLoops() == 0;
  for (Value yielded : body->getTerminator()->getOperands()) {
    Operation *maker = yielded.getDefiningOp();
    moves &= !isa<FloatType>(yielded.getType()) || !maker || maker->getBlock() != body ||
             isa<tensor::ExtractOp, arith::SelectOp>(maker) ||
             isa_and_present<arith::UIToFPOp, arith::SIToFPOp>(maker);
  }
  return moving[op] = moves;
}

Expr TensorElements::open(Expr read) {
  if (!read->is(Kind::Read))
    return nullptr;
  auto result = dyn_cast<OpResult>(read->tensor);
  auto generic = result ? dyn_cast<linalg::LinalgOp>(result.getOwner()) : linalg::LinalgOp();
  return generic ? ofGeneric(generic, result.getResultNumber(), read->operands) : nullptr;
}

Expr TensorElements::evaluate(Value tensor, ArrayRef<Expr> place) {
  auto result = dyn_cast<OpResult>(tensor);
  if (!result)
    return nullptr;
  Operation *op = result.getOwner();
  // An index that depends on a condition: what is there, under that condition.
  for (auto [dimension, index] : llvm::enumerate(place))
    if (index->applies("select")) {
      SmallVector<Expr> yes(place), no(place);
      yes[dimension] = index->operands[1];
      no[dimension] = index->operands[2];
      return expressions.select(index->operands[0], at(tensor, yes), at(tensor, no));
    }
  if (auto generic = dyn_cast<linalg::LinalgOp>(op))
    return opens(op) || movesElements(generic) ? ofGeneric(generic, result.getResultNumber(), place)
                                               : nullptr;
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (auto elements = dyn_cast<DenseElementsAttr>(constant.getValue()))
      return ofConstant(elements, place);
  if (isa<tensor::CollapseShapeOp>(op))
    return ofCollapse(tensor, place);
  if (isa<tensor::ExpandShapeOp>(op))
    return ofExpand(tensor, place);
  if (isa<tensor::ExtractSliceOp>(op))
    return ofSlice(tensor, place);
  if (isa<tensor::ConcatOp>(op))
    return ofConcat(tensor, place);
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return at(cast.getSource(), place);
  if (auto scatter = dyn_cast<linalg_ext::ScatterOp>(op))
    return ofScatter(scatter, place);
  if (isa<linalg_ext::NonzeroOp>(op) && result.getResultNumber() == 1)
    expressions.setNonNegative(tensor);
  if (isa<linalg_ext::NonzeroOp>(op) && result.getResultNumber() == 0)
    if (place[1]->is(Kind::Entry) && place[1]->tensor == tensor)
      if (std::optional<int64_t> row = place[0]->integer())
        return place[1]->operands[*row];
  if (auto choice = dyn_cast<linalg_ext::TopKOp>(op); choice && result.getResultNumber() == 1) {
    Value input = choice.getInput();
    const auto last = static_cast<unsigned>(cast<RankedTensorType>(input.getType()).getRank() - 1);
    // Of a row that is too short the last indices are anything.
    Expr all = sizeOf(input, last);
    if (expressions.isNonNegative(expressions.sub(all, sizeOf(tensor, last))))
      expressions.setBound(tensor, all);
  }
  return nullptr;
}

Expr TensorElements::ofConstant(DenseElementsAttr elements, ArrayRef<Expr> place) {
  if (elements.isSplat())
    return expressions.number(elements.getSplatValue<Attribute>());
  SmallVector<uint64_t> indices;
  for (Expr index : place)
    if (std::optional<int64_t> known = index->integer())
      indices.push_back(*known);
  if (indices.size() == place.size())
    return ElementsAttr::isValidIndex(elements.getType(), indices)
               ? expressions.number(elements.getValues<Attribute>()[indices])
               : nullptr;
  if (place.size() != 1 || !elements.getElementType().isInteger())
    return nullptr;
  // Numbers in a row.
  for (auto [number, value] : llvm::enumerate(elements.getValues<APInt>()))
    if (value.getSExtValue() != static_cast<int64_t>(number))
      return nullptr;
  return place[0];
}

/// The place in a row of elements that have `sizes`.
Expr TensorElements::linear(ArrayRef<Expr> place, ArrayRef<Expr> sizes) {
  Expr index = place.front();
  for (auto [next, size] : llvm::zip(place.drop_front(), sizes.drop_front())) {
    // What was divided before.
    if (index->applies("quotient") && next->applies("remainder") &&
        index->operands == next->operands && index->operands[1] == size)
      index = index->operands[0];
    else
      index = expressions.add(expressions.mul(index, size), next);
  }
  return index;
}

Expr TensorElements::ofExpand(Value tensor, ArrayRef<Expr> place) {
  auto op = tensor.getDefiningOp<tensor::ExpandShapeOp>();
  SmallVector<Expr> from;
  for (const ReassociationIndices &group : op.getReassociationIndices()) {
    SmallVector<Expr> indices, sizes;
    for (int64_t dimension : group) {
      indices.push_back(place[dimension]);
      sizes.push_back(sizeOf(tensor, dimension));
    }
    from.push_back(linear(indices, sizes));
  }
  return at(op.getSrc(), from);
}

Expr TensorElements::ofCollapse(Value tensor, ArrayRef<Expr> place) {
  auto op = tensor.getDefiningOp<tensor::CollapseShapeOp>();
  SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
  SmallVector<Expr> from(op.getSrcType().getRank(), expressions.number(0));
  for (auto [index, all] : llvm::zip(place, groups)) {
    // Of one element, the index is 0.
    SmallVector<int64_t> group;
    for (int64_t dimension : all)
      if (op.getSrcType().getDimSize(dimension) != 1)
        group.push_back(dimension);
    if (group.empty())
      continue;
    Expr rest = index;
    for (int64_t dimension : llvm::reverse(ArrayRef<int64_t>(group).drop_front())) {
      Expr size = sizeOf(op.getSrc(), dimension);
      from[dimension] = expressions.remainder(rest, size);
      rest = expressions.quotient(rest, size);
      if (!rest || !from[dimension])
        return nullptr;
    }
    from[group.front()] = rest;
  }
  return at(op.getSrc(), from);
}

Expr TensorElements::ofSlice(Value tensor, ArrayRef<Expr> place) {
  auto op = tensor.getDefiningOp<tensor::ExtractSliceOp>();
  const llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<Expr> from;
  unsigned next = 0;
  auto valueOf = [&](OpFoldResult number) {
    if (std::optional<int64_t> known = getConstantIntValue(number))
      return expressions.number(*known);
    return scalar(cast<Value>(number));
  };
  for (auto [dimension, offset, stride] :
       llvm::enumerate(op.getMixedOffsets(), op.getMixedStrides())) {
    Expr index = dropped[dimension] ? expressions.number(0) : place[next++];
    from.push_back(expressions.add(valueOf(offset), expressions.mul(valueOf(stride), index)));
  }
  return at(op.getSource(), from);
}

Expr TensorElements::ofConcat(Value tensor, ArrayRef<Expr> place) {
  auto op = tensor.getDefiningOp<tensor::ConcatOp>();
  const auto dimension = static_cast<unsigned>(op.getDim());
  Expr start = expressions.number(0);
  for (Value input : op.getInputs()) {
    Expr end = expressions.add(start, sizeOf(input, dimension));
    Expr isBefore = expressions.less(place[dimension], end);
    if (isBefore == expressions.boolean(true)) {
      SmallVector<Expr> from(place);
      from[dimension] = expressions.sub(place[dimension], start);
      return at(input, from);
    }
    if (isBefore != expressions.boolean(false))
      return nullptr;
    start = end;
  }
  return nullptr;
}

Expr TensorElements::sizeOf(Value tensor, unsigned dimension) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(dimension))
    return expressions.number(type.getDimSize(dimension));
  auto result = dyn_cast<OpResult>(tensor);
  Operation *op = result ? result.getOwner() : nullptr;
  if (auto destination = dyn_cast_or_null<DestinationStyleOpInterface>(op))
    return sizeOf(destination.getTiedOpOperand(result)->get(), dimension);
  if (auto empty = dyn_cast_or_null<tensor::EmptyOp>(op))
    return scalar(empty.getDynamicSize(dimension));
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op))
    if (slice.getSourceType().getRank() == type.getRank())
      return scalar(cast<Value>(slice.getMixedSizes()[dimension]));
  if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op))
    return scalar(cast<Value>(expand.getMixedOutputShape()[dimension]));
  if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op)) {
    Expr size = expressions.number(1);
    for (int64_t each : collapse.getReassociationIndices()[dimension])
      size = expressions.mul(size, sizeOf(collapse.getSrc(), each));
    return size;
  }
  if (auto cast = dyn_cast_or_null<tensor::CastOp>(op))
    return sizeOf(cast.getSource(), dimension);
  if (auto input = dyn_cast_or_null<lm::GraphInputOp>(op))
    return scalar(input.sizeOf(dimension));
  return expressions.size(tensor, dimension);
}

/// The index of each loop at `place` of a result: of loops that reduce, one of a fold, which has a
/// level behind those of the place. Empty where that is not known.
SmallVector<Expr> TensorElements::loopsAt(linalg::LinalgOp op, unsigned result,
                                          ArrayRef<Expr> place) {
  SmallVector<Expr> loops(op.getNumLoops());
  uint64_t outer = 0;
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(result));
  for (auto [expression, index] : llvm::zip(map.getResults(), place)) {
    auto loop = dyn_cast<AffineDimExpr>(expression);
    if (!loop || loops[loop.getPosition()])
      return {};
    loops[loop.getPosition()] = index;
    outer |= index->loops;
  }
  unsigned level = std::max(kFoldLevels, outer ? 64 - llvm::countl_zero(outer) : 0u);
  for (unsigned loop = 0; loop < loops.size(); ++loop) {
    Value operand;
    unsigned dimension = 0;
    if (loops[loop])
      continue;
    if (level >= 60 || failed(op.mapIterationSpaceDimToOperandDim(loop, operand, dimension)))
      return {};
    loops[loop] = expressions.loop(level++, sizeOf(operand, dimension));
  }
  return loops;
}

/// The place of an operand at which the body reads it; none where that is not known. `sizes` are
/// those of the loops, as far as they have been met.
std::optional<SmallVector<Expr>> TensorElements::placeOf(linalg::LinalgOp op, OpOperand &operand,
                                                         ArrayRef<Expr> loops,
                                                         MutableArrayRef<Expr> sizes) {
  SmallVector<Expr> place;
  for (AffineExpr expression : op.getMatchingIndexingMap(&operand).getResults()) {
    if (auto number = dyn_cast<AffineConstantExpr>(expression)) {
      place.push_back(expressions.number(number.getValue()));
      continue;
    }
    auto loop = dyn_cast<AffineDimExpr>(expression);
    if (!loop)
      return std::nullopt;
    // All that a loop goes along is of one size.
    Expr size = sizeOf(operand.get(), place.size()), &known = sizes[loop.getPosition()];
    if (!known)
      known = size;
    else if (known != size)
      sameSizes.unionSets(known, size);
    place.push_back(loops[loop.getPosition()]);
  }
  return place;
}

/// Gives what the op reads to the arguments of its body. Returns whether that is known.
bool TensorElements::enterBody(linalg::LinalgOp op, ArrayRef<Expr> loops, Scope &scope) {
  const bool reduces = op.getNumReductionLoops() != 0;
  SmallVector<Expr> sizes(loops.size());
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    if (!isa<RankedTensorType>(operand.get().getType())) {
      scope[argument] = scalar(operand.get());
      continue;
    }
    std::optional<SmallVector<Expr>> place = placeOf(op, operand, loops, sizes);
    if (!place)
      return false;
    // What a reduction combines with is looked at by itself.
    if (!argument.use_empty() && !(op.isDpsInit(&operand) && reduces))
      scope[argument] = at(operand.get(), *place);
  }
  return true;
}

Expr TensorElements::ofGeneric(linalg::LinalgOp op, unsigned result, ArrayRef<Expr> place) {
  const SmallVector<Expr> loops = loopsAt(op, result, place);
  Scope scope;
  if (loops.size() != static_cast<size_t>(op.getNumLoops()) || !enterBody(op, loops, scope))
    return nullptr;
  Value yielded = op.getBlock()->getTerminator()->getOperand(result);
  if (op.getNumReductionLoops() == 0)
    return inScope(yielded, scope, loops);
  Operation *combiner = yielded.getDefiningOp();
  Value sum = op.getMatchingBlockArgument(op.getDpsInitOperand(result));
  if (!combiner || combiner->getNumOperands() != 2 || !sum.hasOneUse() ||
      !combiner->hasTrait<OpTrait::IsCommutative>() ||
      !llvm::is_contained(combiner->getOperands(), sum))
    return nullptr;
  Expr element = inScope(combiner->getOperand(combiner->getOperand(0) == sum), scope, loops);
  if (!element)
    return nullptr;
  StringRef name = combiner->getName().getStringRef();
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  for (unsigned loop : llvm::reverse(reduced))
    if (loops[loop]->is(Kind::Loop)) // else of one element
      element = expressions.fold(name, loops[loop]->level, loops[loop]->operands[0], element);
  return expressions.apply(name, {at(op.getDpsInitOperand(result)->get(), place), element});
}
