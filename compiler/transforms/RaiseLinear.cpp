// Implements lm-raise-linear.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

namespace moec {
#define GEN_PASS_DEF_RAISELINEAR
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

/// A product of rows with a tensor of the model.
struct ConstantProduct {
  lm::TensorOp tensor;
  bool isTransposed; ///< the tensor is depth x columns
};

/// Loop `position` of a map's result, if that is one.
std::optional<unsigned> loopOf(AffineMap map, unsigned position) {
  auto loop = dyn_cast<AffineDimExpr>(map.getResult(position));
  return loop ? std::optional(loop.getPosition()) : std::nullopt;
}

std::optional<ConstantProduct> matchProduct(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op) || op.getNumReductionLoops() != 1)
    return std::nullopt;
  Value rows = op.getDpsInputs()[0], out = op.getDpsInits()[0];
  auto load = op.getDpsInputs()[1].getDefiningOp<lm::LoadTensorOp>();
  if (!load || !getElementTypeOrSelf(rows).isF32() || !getElementTypeOrSelf(out).isF32() ||
      !getElementTypeOrSelf(load.getValue()).isF32())
    return std::nullopt;
  AffineMap left = op.getIndexingMapsArray()[0], right = op.getIndexingMapsArray()[1],
            result = op.getIndexingMapsArray()[2];
  const unsigned rank = left.getNumResults();
  if (right.getNumResults() != 2 || result.getNumResults() != rank || rank < 2)
    return std::nullopt;
  // (rows..., k), (k, n) or (n, k), (rows..., n)
  for (unsigned i = 0; i + 1 < rank; ++i)
    if (!loopOf(left, i) || loopOf(left, i) != loopOf(result, i))
      return std::nullopt;
  std::optional<unsigned> depth = loopOf(left, rank - 1), columns = loopOf(result, rank - 1);
  if (!depth || !columns || op.getIteratorTypesArray()[*depth] != utils::IteratorType::reduction)
    return std::nullopt;
  const bool isTransposed = loopOf(right, 0) == depth && loopOf(right, 1) == columns;
  if (!isTransposed && !(loopOf(right, 0) == columns && loopOf(right, 1) == depth))
    return std::nullopt;
  auto tensor = SymbolTable::lookupNearestSymbolFrom<lm::TensorOp>(load, load.getTensorAttr());
  if (cast<RankedTensorType>(tensor.getType()).getNumElements() == 0)
    return std::nullopt;
  return ConstantProduct{tensor, isTransposed};
}

bool isZeros(Value value) {
  auto fill = value.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs().front(), m_AnyZeroFloat());
}

struct RaiseLinear final : moec::impl::RaiseLinearBase<RaiseLinear> {
  void runOnOperation() override {
    SmallVector<std::pair<linalg::LinalgOp, ConstantProduct>> products;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (std::optional<ConstantProduct> product = matchProduct(op))
        products.emplace_back(op, *product);
    });
    for (auto &[op, product] : products)
      raise(op, product);
    numRaised += products.size();
  }

private:
  void raise(linalg::LinalgOp op, const ConstantProduct &product) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    lm::WeightOp weight = weightOf(product);
    Value rows = op.getDpsInputs()[0], init = op.getDpsInits()[0];
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    const int64_t rank = type.getRank();
    SmallVector<ReassociationIndices> flat(2);
    for (int64_t i = 0; i < rank; ++i)
      flat[i + 1 == rank].push_back(i);
    const bool accumulates = !isZeros(init);
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, init);
    if (!accumulates)
      init = tensor::EmptyOp::create(builder, loc, sizes, type.getElementType());
    if (rank > 2) {
      rows = tensor::CollapseShapeOp::create(builder, loc, rows, flat);
      init = tensor::CollapseShapeOp::create(builder, loc, init, flat);
    }
    Value matrix = lm::LoadWeightOp::create(builder, loc, weight.getType(), weight.getSymName(),
                                            /*layer=*/Value());
    Value linear = lm::LinearOp::create(builder, loc, TypeRange{init.getType()}, accumulates, rows,
                                        matrix, /*bias=*/Value(), init)
                       .getResult(0);
    if (rank > 2)
      linear = tensor::ExpandShapeOp::create(builder, loc, type, linear, flat, sizes);
    op->getResult(0).replaceAllUsesWith(linear);
    op.erase();
  }

  /// One for all products with a tensor in the same way.
  lm::WeightOp weightOf(const ConstantProduct &product) {
    lm::WeightOp &known = weights[{product.tensor, product.isTransposed}];
    if (known)
      return known;
    lm::TensorOp tensor = product.tensor;
    OpBuilder builder(tensor);
    ArrayRef<int64_t> stored = cast<RankedTensorType>(tensor.getType()).getShape();
    SmallVector<int64_t> shape(stored);
    if (product.isTransposed)
      std::swap(shape[0], shape[1]);
    auto piece = lm::PieceAttr::get(&getContext(), tensor.getSource(), shape[0],
                                    /*first_row=*/0, /*row_step=*/1, /*rows_per_expert=*/0,
                                    product.isTransposed, /*side_by_side=*/false,
                                    /*first_expert=*/0, /*experts=*/0, builder.getF32Type(),
                                    /*scales=*/nullptr);
    auto type = lm::WeightType::get(&getContext(), shape, builder.getF32Type());
    SymbolTable symbols(getOperation());
    known = lm::WeightOp::create(
        builder, tensor.getLoc(),
        builder.getStringAttr(tensor.getSymName() + (product.isTransposed ? "_columns" : "_rows")),
        TypeAttr::get(type), /*heads=*/nullptr, /*vectors=*/nullptr,
        builder.getDenseI64ArrayAttr({}), builder.getArrayAttr({piece}), /*quantized=*/nullptr,
        /*packed=*/nullptr);
    symbols.insert(known);
    return known;
  }

  llvm::DenseMap<std::pair<Operation *, int>, lm::WeightOp> weights;
};

} // namespace
