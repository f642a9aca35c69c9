// What elements are that a scatter has put somewhere: sums over what goes to one place.

#include "compiler/analysis/TensorElements.h"

#include "dialects/linalg_ext/LinalgExtDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

namespace {
/// The slices of a scatter, numbered by loops.
struct Slices {
  SmallVector<Expr> loops;      ///< each a loop, or what it has to be
  SmallVector<Expr> dimensions; ///< indices of the dimensions that were joined
  SmallVector<Expr> sizes;      ///< their sizes
  Expr condition;               ///< under which there is such a slice
};
} // namespace

/// The tensor whose first dimensions count slices, before they were joined, and how many do.
static std::pair<Value, unsigned> countedBy(Value indices) {
  auto collapse = indices.getDefiningOp<tensor::CollapseShapeOp>();
  if (!collapse)
    return {indices, 1};
  return {collapse.getSrc(), collapse.getReassociationIndices().front().size()};
}

/// Of how many places that a nonzero finds it is the number; null where it is none.
static linalg_ext::NonzeroOp countOf(Expr size) {
  auto result = size->is(Kind::Read) ? dyn_cast<OpResult>(size->tensor) : OpResult();
  auto nonzero = result ? dyn_cast<linalg_ext::NonzeroOp>(result.getOwner()) : nullptr;
  return nonzero && result.getResultNumber() == 1 ? nonzero : linalg_ext::NonzeroOp();
}

namespace moec {
/// Evaluates one element of a scatter's result.
class ScatterElements {
public:
  ScatterElements(TensorElements &elements, linalg_ext::ScatterOp op, ArrayRef<Expr> place)
      : elements(elements), table(elements.table()), op(op), place(place) {}

  Expr element();

private:
  Slices slices(ArrayRef<Expr> chosen);
  bool solve();
  bool isUnique(Expr condition) const;

  TensorElements &elements;
  ElementTable &table;
  linalg_ext::ScatterOp op;
  ArrayRef<Expr> place;
  SmallVector<Expr> chosen; ///< for each loop itself, or the index that it has to be
};
} // namespace moec

/// Numbers the slices; loops are taken from `chosen` where that has them.
Slices ScatterElements::slices(ArrayRef<Expr> chosen) {
  Slices result;
  result.condition = table.boolean(true);
  uint64_t outer = 0;
  for (Expr index : place)
    outer |= index->loops;
  unsigned level =
      std::max(TensorElements::kFoldLevels, outer ? 64 - llvm::countl_zero(outer) : 0u);
  auto loop = [&](Expr extent) {
    const size_t next = result.loops.size();
    result.loops.push_back(next < chosen.size() ? chosen[next] : table.loop(level, extent));
    ++level;
    return result.loops.back();
  };
  auto [counted, rank] = countedBy(op.getIndices());
  for (unsigned dimension = 0; dimension < rank; ++dimension) {
    Expr size = elements.sizeOf(counted, dimension);
    result.sizes.push_back(size);
    linalg_ext::NonzeroOp nonzero = countOf(size);
    if (!nonzero) {
      result.dimensions.push_back(loop(size));
      continue;
    }
    SmallVector<Expr> found;
    const auto foundRank =
        static_cast<unsigned>(cast<RankedTensorType>(nonzero.getInput().getType()).getRank());
    for (unsigned each = 0; each < foundRank; ++each)
      found.push_back(loop(elements.sizeOf(nonzero.getInput(), each)));
    result.dimensions.push_back(table.entry(nonzero->getResult(0), found));
    Expr element = elements.at(nonzero.getInput(), found);
    const bool isTruth = getElementTypeOrSelf(nonzero.getInput().getType()).isInteger(1);
    result.condition =
        table.both(result.condition,
                   isTruth ? element : table.negation(table.equal(element, table.number(0))));
  }
  return result;
}

static Expr rowOf(ElementTable &table, const Slices &slices) {
  Expr row = slices.dimensions.front();
  for (auto [index, size] : llvm::zip(ArrayRef<Expr>(slices.dimensions).drop_front(),
                                      ArrayRef<Expr>(slices.sizes).drop_front()))
    row = table.add(table.mul(row, size), index);
  return row;
}

/// Finds the loops that a place determines.
bool ScatterElements::solve() {
  const Slices all = slices({});
  chosen = all.loops;
  Expr row = rowOf(table, all);
  auto indices = cast<RankedTensorType>(op.getIndices().getType());
  for (int64_t each = 0; each < indices.getDimSize(1); ++each) {
    Expr target = elements.at(op.getIndices(), {row, table.number(each)});
    // One from the end, or one that is not understood, is not followed.
    if (!table.isNonNegative(target))
      return false;
    auto loop = llvm::find(all.loops, target);
    const Expr extent = elements.sizeOf(op.getOut(), each);
    if (target->is(Kind::Loop) && loop != all.loops.end() && target->operands[0] == extent &&
        chosen[loop - all.loops.begin()] == target)
      chosen[loop - all.loops.begin()] = place[each];
  }
  return true;
}

/// Whether a row of the indices has no index twice.
static bool isDistinct(OpResult indices) {
  auto choice = dyn_cast<linalg_ext::TopKOp>(indices.getOwner());
  if (!choice || indices.getResultNumber() != 1)
    return false;
  const int64_t picked = cast<RankedTensorType>(indices.getType()).getShape().back(),
                all = cast<RankedTensorType>(choice.getInput().getType()).getShape().back();
  return !ShapedType::isDynamic(picked) && !ShapedType::isDynamic(all) && picked <= all;
}

/// Whether at most one slice that is left fulfils `condition`: each choice of a row is another one.
bool ScatterElements::isUnique(Expr condition) const {
  SmallVector<Expr> left;
  for (Expr loop : chosen)
    if (loop->is(Kind::Loop) && !llvm::is_contained(place, loop))
      left.push_back(loop);
  if (left.empty())
    return true;
  if (left.size() != 1)
    return false;
  SmallVector<Expr> all{condition};
  while (!all.empty()) {
    Expr each = all.pop_back_val();
    if (each->applies("and"))
      llvm::append_range(all, each->operands);
    if (!each->applies("is_zero"))
      continue;
    // The choice in slot `left` is what no other slot depends on.
    Expr difference = each->operands[0];
    if (!difference->is(Kind::Total))
      difference = nullptr;
    ArrayRef<Expr> terms = difference ? difference->operands : each->operands;
    unsigned dependent = 0;
    Expr choice = nullptr;
    for (Expr term : terms)
      if (term->dependsOn(left[0]->level)) {
        ++dependent;
        choice = term;
      }
    auto result =
        dependent == 1 && choice->is(Kind::Read) ? dyn_cast<OpResult>(choice->tensor) : OpResult();
    if (result && isDistinct(result) && choice->operands.back() == left[0] &&
        llvm::none_of(choice->operands.drop_back(),
                      [&](Expr index) { return index->dependsOn(left[0]->level); }))
      return true;
  }
  return false;
}

Expr ScatterElements::element() {
  using linalg_ext::Combining;
  auto updates = cast<RankedTensorType>(op.getUpdates().getType());
  if (!isa<FloatType>(updates.getElementType()) ||
      (op.getCombining() != Combining::Add && op.getCombining() != Combining::None) || !solve())
    return nullptr;
  const Slices left = slices(chosen);
  Expr row = rowOf(table, left), condition = left.condition;
  auto indices = cast<RankedTensorType>(op.getIndices().getType());
  for (int64_t each = 0; each < indices.getDimSize(1); ++each)
    condition =
        table.both(condition, table.equal(elements.at(op.getIndices(), {row, table.number(each)}),
                                          place[each]));
  SmallVector<Expr> from{row};
  llvm::append_range(from, place.drop_front(indices.getDimSize(1)));
  Expr update = elements.at(op.getUpdates(), from), start = elements.at(op.getOut(), place);
  Expr zero = table.number(FloatAttr::get(updates.getElementType(), 0));
  if (op.getCombining() == Combining::None && (!start->isZero() || !isUnique(condition)))
    return table.apply("put", {start, update});
  Expr sum = table.select(condition, update, zero);
  for (Expr loop : llvm::reverse(chosen))
    if (loop->is(Kind::Loop) && !llvm::is_contained(place, loop))
      sum = table.fold("arith.addf", loop->level, loop->operands[0], sum);
  return table.apply("arith.addf", {start, sum});
}

Expr TensorElements::ofScatter(linalg_ext::ScatterOp op, ArrayRef<Expr> place) {
  return ScatterElements(*this, op, place).element();
}
