// Verifies and folds the ops that graphs have.

#include "dialects/lm/LmDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/ShapedOpInterfaces.h"

using namespace mlir;
using namespace moec;
using namespace moec::lm;

bool moec::isStoredNumber(Type type) {
  if (type.isInteger(1))
    return true;
  return type.isSignlessInteger() ? type.getIntOrFloatBitWidth() % 8 == 0
                                  : isa<FloatType>(type) && type.getIntOrFloatBitWidth() % 8 == 0;
}

template <typename Op> static LogicalResult verifySizes(Op op) {
  auto type = cast<ShapedType>(op.getValue().getType());
  const auto given = static_cast<int64_t>(op.getSizes().size());
  if (auto memref = dyn_cast<MemRefType>(type); memref && !memref.getLayout().isIdentity())
    return op.emitOpError() << "is of type " << type << ", wanted one whose rows are adjacent";
  if (given == type.getNumDynamicDims())
    return success();
  return op.emitOpError() << "is given " << given << " sizes, but its type leaves open "
                          << type.getNumDynamicDims();
}

LogicalResult GraphInputOp::verify() { return verifySizes(*this); }
LogicalResult GraphOutputOp::verify() { return verifySizes(*this); }

namespace {
/// How large an input or output is it was told.
template <typename Op> struct FoldSize final : OpInterfaceRewritePattern<ShapedDimOpInterface> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(ShapedDimOpInterface extent,
                                PatternRewriter &rewriter) const override {
    auto buffer = extent.getShapedValue().getDefiningOp<Op>();
    std::optional<int64_t> dimension = getConstantIntValue(extent.getDimension());
    if (!buffer || !dimension)
      return rewriter.notifyMatchFailure(extent, "is not of an input or output of a graph");
    auto type = cast<ShapedType>(buffer.getValue().getType());
    if (*dimension < 0 || *dimension >= type.getRank() || !type.isDynamicDim(*dimension))
      return rewriter.notifyMatchFailure(extent, "is a size that the type has");
    rewriter.replaceOp(extent, buffer.sizeOf(*dimension));
    return success();
  }
};
} // namespace

void GraphInputOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<FoldSize<GraphInputOp>>(context);
}

void GraphOutputOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<FoldSize<GraphOutputOp>>(context);
}

void SetOutputSizeOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  effects.emplace_back(MemoryEffects::Write::get(), RecordResource::get());
}

LogicalResult TensorOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (type.hasStaticShape())
    return success();
  return emitOpError() << "is of type " << type << ", wanted one of fixed sizes";
}

LogicalResult LoadTensorOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto tensor = symbols.lookupNearestSymbolFrom<TensorOp>(*this, getTensorAttr());
  if (!tensor)
    return emitOpError() << "finds no 'lm.tensor' of the name " << getTensorAttr();
  auto held = cast<RankedTensorType>(tensor.getType());
  auto type = cast<ShapedType>(getValue().getType());
  if (held.getShape() == type.getShape() && held.getElementType() == type.getElementType())
    return success();
  return emitOpError() << "is of type " << type << ", but " << getTensorAttr() << " holds " << held;
}
