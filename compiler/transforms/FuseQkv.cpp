// Implements lm-fuse-qkv.

#include "compiler/analysis/ProductKinds.h"
#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightLoads.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"

namespace moec {
#define GEN_PASS_DEF_FUSEQKV
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// Products of the same rows in one block.
using Group = SmallVector<lm::LinearOp>;

/// The weight, and the bias if there is one.
SmallVector<Value> weightsOf(lm::LinearOp linear) {
  SmallVector<Value> weights{linear.getWeight()};
  if (linear.getBias())
    weights.push_back(linear.getBias());
  return weights;
}

struct FuseQkv final : moec::impl::FuseQkvBase<FuseQkv> {
  using FuseQkvBase::FuseQkvBase;

  void runOnOperation() override {
    WeightLoads loads(getOperation());
    llvm::MapVector<std::pair<Value, Block *>, Group> products;
    getOperation().walk([&](lm::LinearOp linear) {
      if (linear.hasPureTensorSemantics() && mayJoinOthers(linear) &&
          llvm::all_of(weightsOf(linear), WeightLoads::loadOf))
        products[{linear.getInput(), linear->getBlock()}].push_back(linear);
    });
    // Several kinds of layers may have the same weights, which are joined for all of them or none.
    llvm::MapVector<Attribute, SmallVector<Group>> groupsByWeights;
    for (auto &[key, sameRows] : products)
      for (Group &group : split(loads, sameRows))
        groupsByWeights[symbolsOf(group)].push_back(std::move(group));
    for (auto &[symbols, groups] : groupsByWeights) {
      StringRef obstacle = whyUnjoined(loads, groups);
      if (obstacle.empty())
        merge(loads, groups);
      else
        remark(groups.front(), obstacle);
    }
  }

private:
  static void remark(ArrayRef<lm::LinearOp> group, StringRef obstacle) {
    std::string weights =
        llvm::join(llvm::map_range(group,
                                   [](lm::LinearOp linear) {
                                     return WeightLoads::loadOf(linear.getWeight()).getWeight();
                                   }),
                   ", ");
    group.front()->emitRemark() << "products of the same rows, by " << weights
                                << ", stay apart: " << obstacle;
  }

  /// Groups of two or more that may become one product each; remarks why the others stay apart.
  static SmallVector<Group> split(const WeightLoads &loads, ArrayRef<lm::LinearOp> sameRows) {
    SmallVector<Group> groups;
    for (lm::LinearOp linear : sameRows) {
      auto *fitting = llvm::find_if(groups, [&](const Group &group) {
        return whyApart(loads, group.front(), linear).empty();
      });
      if (fitting != groups.end()) {
        fitting->push_back(linear);
        continue;
      }
      if (!groups.empty()) {
        lm::LinearOp other = groups.back().front();
        remark({other, linear}, whyApart(loads, other, linear));
      }
      groups.push_back({linear});
    }
    llvm::erase_if(groups, [](const Group &group) { return group.size() < 2; });
    return groups;
  }

  /// Why two products cannot become one; empty where they can.
  static StringRef whyApart(const WeightLoads &loads, lm::LinearOp a, lm::LinearOp b) {
    if (!a.getBias() != !b.getBias())
      return "one of them has a bias";
    for (auto [mine, other] : llvm::zip_equal(weightsOf(a), weightsOf(b))) {
      if (!WeightLoads::isUsedOnce(mine) || !WeightLoads::isUsedOnce(other))
        return "the weight of one of them has another user";
      if (loads.countLoads(mine) != loads.countLoads(other))
        return "one of their weights is loaded in more places than the other";
      if (!loads.areOfSameLayers(mine, other))
        return "their weights belong to different layers";
      if (getElementTypeOrSelf(mine) != getElementTypeOrSelf(other))
        return "their weights are stored as different types";
    }
    return "";
  }

  /// Why groups that have the same weights have to stay as they are; empty where they have not.
  StringRef whyUnjoined(const WeightLoads &loads, ArrayRef<Group> groups) const {
    if (mapped)
      return "in the checkpoint's files their weights lie apart";
    for (lm::LinearOp linear : groups.front())
      for (Value weight : weightsOf(linear))
        if (loads.countLoads(weight) != groups.size())
          return "not every place that loads their weights multiplies the same rows by all of "
                 "them, in this order";
    return "";
  }

  /// The names of all weights of a group, as an attribute to find its like by.
  static Attribute symbolsOf(const Group &group) {
    SmallVector<Attribute> symbols;
    for (lm::LinearOp linear : group)
      for (Value weight : weightsOf(linear))
        symbols.push_back(WeightLoads::loadOf(weight).getWeightAttr());
    return ArrayAttr::get(symbols.front().getContext(), symbols);
  }

  /// One weight of all rows of `weights`.
  static lm::WeightOp concatenate(WeightLoads &loads, ArrayRef<Value> weights) {
    SmallVector<Attribute> pieces;
    SmallVector<int64_t> shape(loads.symbolOf(weights.front()).getType().getShape());
    shape[0] = 0;
    for (Value weight : weights) {
      lm::WeightOp symbol = loads.symbolOf(weight);
      llvm::append_range(pieces, symbol.getPieces());
      shape[0] += symbol.getType().getShape()[0];
    }
    return loads.join(weights, shape, pieces);
  }

  /// Makes one product of each group; all of them have the same weights.
  void merge(WeightLoads &loads, ArrayRef<Group> groups) {
    SmallVector<Value> weights, biases;
    for (lm::LinearOp linear : groups.front()) {
      weights.push_back(linear.getWeight());
      if (linear.getBias())
        biases.push_back(linear.getBias());
    }
    lm::WeightOp weight = concatenate(loads, weights);
    lm::WeightOp bias = biases.empty() ? lm::WeightOp() : concatenate(loads, biases);
    for (const Group &group : groups)
      mergeGroup(group, weight, bias);
  }

  /// Makes one product of a group, by `weights` and, if not null, `biases`.
  void mergeGroup(const Group &group, lm::WeightOp weights, lm::WeightOp biases) {
    lm::LinearOp first = group.front();
    OpBuilder builder(first);
    Location loc = first.getLoc();
    Value weight = WeightLoads::loadLike(first.getWeight(), weights, builder);
    Value bias = biases ? WeightLoads::loadLike(first.getBias(), biases, builder) : Value();
    OpFoldResult rows = tensor::getMixedSize(builder, loc, first.getInput(), 0);
    Value empty = tensor::EmptyOp::create(
        builder, loc, {rows, builder.getIndexAttr(extentOf(weight, 0))}, builder.getF32Type());
    Value whole = lm::LinearOp::create(builder, loc, empty.getType(), /*accumulate=*/false,
                                       first.getInput(), weight, bias, empty)
                      .getResult(0);
    int64_t column = 0;
    for (lm::LinearOp linear : group) {
      builder.setInsertionPoint(linear);
      int64_t columns = extentOf(linear.getOut(), 1);
      SmallVector<OpFoldResult> offsets{builder.getIndexAttr(0), builder.getIndexAttr(column)};
      SmallVector<OpFoldResult> sizes{rows, builder.getIndexAttr(columns)};
      SmallVector<OpFoldResult> strides(2, builder.getIndexAttr(1));
      Value part = tensor::ExtractSliceOp::create(
          builder, loc, cast<RankedTensorType>(linear.getResult(0).getType()), whole, offsets,
          sizes, strides);
      linear.getResult(0).replaceAllUsesWith(part);
      SmallVector<Value> former = weightsOf(linear);
      linear.erase();
      for (Value load : former)
        WeightLoads::loadOf(load).erase();
      column += columns;
      ++numFused;
    }
  }
};

} // namespace
