// Implements lm-fuse-qkv.

#include "compiler/transforms/Passes.h"
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
    ModuleOp module = getOperation();
    llvm::StringMap<int> loads;
    module.walk([&](lm::LoadWeightOp load) { ++loads[load.getWeight()]; });
    auto isOwn = [&](Value weight) {
      auto load = weight.getDefiningOp<lm::LoadWeightOp>();
      return load && load->hasOneUse() && loads.lookup(load.getWeight()) == 1;
    };
    llvm::MapVector<std::pair<Value, Block *>, SmallVector<lm::LinearOp>> products;
    module.walk([&](lm::LinearOp linear) {
      if (linear.hasPureTensorSemantics() && !linear.getAccumulate() && !isRouter(linear) &&
          isOwn(linear.getWeight()) && (!linear.getBias() || isOwn(linear.getBias())))
        products[{linear.getInput(), linear->getBlock()}].push_back(linear);
    });
    for (auto &[key, group] : products) {
      while (!group.empty()) {
        auto others = llvm::to_vector(llvm::make_filter_range(
            group, [&](lm::LinearOp linear) { return !isAlike(group.front(), linear); }));
        llvm::erase_if(group,
                       [&](lm::LinearOp linear) { return llvm::is_contained(others, linear); });
        if (group.size() > 1)
          merge(group);
        group = std::move(others);
      }
    }
  }

private:
  lm::LoadWeightOp loadOf(Value weight) { return weight.getDefiningOp<lm::LoadWeightOp>(); }
  lm::WeightOp symbolOf(Value weight) {
    return getOperation().lookupSymbol<lm::WeightOp>(loadOf(weight).getWeight());
  }

  bool isAlike(lm::LinearOp a, lm::LinearOp b) {
    lm::WeightOp first = symbolOf(a.getWeight()), second = symbolOf(b.getWeight());
    return first.getLayers() == second.getLayers() &&
           first.getType().getElementType() == second.getType().getElementType() &&
           loadOf(a.getWeight()).getLayer() == loadOf(b.getWeight()).getLayer() &&
           !a.getBias() == !b.getBias();
  }

  /// One weight of all rows of `weights`, and its load in place of the first one's.
  Value concatenate(ArrayRef<Value> weights, OpBuilder &builder) {
    lm::WeightOp first = symbolOf(weights.front());
    SmallVector<Attribute> pieces;
    SmallVector<int64_t> shape(first.getType().getShape());
    shape[0] = 0;
    std::string name;
    for (Value weight : weights) {
      lm::WeightOp symbol = symbolOf(weight);
      llvm::append_range(pieces, symbol.getPieces());
      shape[0] += symbol.getType().getShape()[0];
      name += (name.empty() ? "" : "_") + symbol.getSymName().str();
    }
    auto type = lm::WeightType::get(builder.getContext(), shape, first.getType().getElementType());
    OpBuilder symbols(first);
    lm::WeightOp::create(symbols, first.getLoc(), symbols.getStringAttr(name), TypeAttr::get(type),
                         first.getLayersAttr(), symbols.getArrayAttr(pieces), /*packed=*/nullptr);
    for (Value weight : weights)
      symbolOf(weight).erase();
    lm::LoadWeightOp load = loadOf(weights.front());
    return lm::LoadWeightOp::create(builder, load.getLoc(), type, name, load.getLayer());
  }

  void merge(ArrayRef<lm::LinearOp> group) {
    lm::LinearOp first = group.front();
    OpBuilder builder(first);
    Location loc = first.getLoc();
    SmallVector<Value> weights, biases;
    for (lm::LinearOp linear : group) {
      weights.push_back(linear.getWeight());
      if (linear.getBias())
        biases.push_back(linear.getBias());
    }
    Value weight = concatenate(weights, builder);
    Value bias = biases.empty() ? Value() : concatenate(biases, builder);
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
      SmallVector<Operation *> loads{loadOf(linear.getWeight())};
      if (linear.getBias())
        loads.push_back(loadOf(linear.getBias()));
      linear.erase();
      for (Operation *load : loads)
        load->erase();
      column += columns;
      ++numFused;
    }
  }
};

} // namespace
