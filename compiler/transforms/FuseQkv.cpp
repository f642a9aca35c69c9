// Implements lm-fuse-qkv.

#include "compiler/transforms/Passes.h"
#include "compiler/transforms/WeightLoads.h"
#include "llvm/ADT/MapVector.h"

namespace moec {
#define GEN_PASS_DEF_FUSEQKV
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct FuseQkv final : moec::impl::FuseQkvBase<FuseQkv> {
  void runOnOperation() override {
    WeightLoads loads(getOperation());
    llvm::MapVector<std::pair<Value, Block *>, SmallVector<lm::LinearOp>> products;
    getOperation().walk([&](lm::LinearOp linear) {
      if (linear.hasPureTensorSemantics() && !linear.getAccumulate() && !isRouter(linear) &&
          loads.isOwn(linear.getWeight()) && (!linear.getBias() || loads.isOwn(linear.getBias())))
        products[{linear.getInput(), linear->getBlock()}].push_back(linear);
    });
    for (auto &[key, group] : products) {
      while (!group.empty()) {
        auto others = llvm::to_vector(llvm::make_filter_range(
            group, [&](lm::LinearOp linear) { return !isAlike(loads, group.front(), linear); }));
        llvm::erase_if(group,
                       [&](lm::LinearOp linear) { return llvm::is_contained(others, linear); });
        if (group.size() > 1)
          merge(loads, group);
        group = std::move(others);
      }
    }
  }

private:
  static bool isAlike(const WeightLoads &loads, lm::LinearOp a, lm::LinearOp b) {
    return loads.areOfSameLayers(a.getWeight(), b.getWeight()) &&
           getElementTypeOrSelf(a.getWeight()) == getElementTypeOrSelf(b.getWeight()) &&
           !a.getBias() == !b.getBias();
  }

  /// One weight of all rows of `weights`.
  static Value concatenate(WeightLoads &loads, ArrayRef<Value> weights, OpBuilder &builder) {
    SmallVector<Attribute> pieces;
    SmallVector<int64_t> shape(loads.symbolOf(weights.front()).getType().getShape());
    shape[0] = 0;
    for (Value weight : weights) {
      lm::WeightOp symbol = loads.symbolOf(weight);
      llvm::append_range(pieces, symbol.getPieces());
      shape[0] += symbol.getType().getShape()[0];
    }
    return loads.join(weights, shape, pieces, builder);
  }

  void merge(WeightLoads &loads, ArrayRef<lm::LinearOp> group) {
    lm::LinearOp first = group.front();
    OpBuilder builder(first);
    Location loc = first.getLoc();
    SmallVector<Value> weights, biases;
    for (lm::LinearOp linear : group) {
      weights.push_back(linear.getWeight());
      if (linear.getBias())
        biases.push_back(linear.getBias());
    }
    Value weight = concatenate(loads, weights, builder);
    Value bias = biases.empty() ? Value() : concatenate(loads, biases, builder);
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
      SmallVector<Operation *> former{WeightLoads::loadOf(linear.getWeight())};
      if (linear.getBias())
        former.push_back(WeightLoads::loadOf(linear.getBias()));
      linear.erase();
      for (Operation *load : former)
        load->erase();
      column += columns;
      ++numFused;
    }
  }
};

} // namespace
