// Looks at the types and layouts of rows and weights.

#include "compiler/analysis/TensorCores.h"
#include "compiler/analysis/PackedWeights.h"

using namespace mlir;
using namespace moec;

static lm::PackedAttr packedOf(lm::LoadWeightOp load) {
  return SymbolTable::lookupNearestSymbolFrom<lm::WeightOp>(load, load.getWeightAttr())
      .getPackedAttr();
}

Type moec::packedElementOf(Value weight) {
  return packedOf(weight.getDefiningOp<lm::LoadWeightOp>()).getElement();
}

int64_t moec::rowAlignment(MemRefType rows) {
  constexpr int64_t kMost = 16;
  auto [strides, offset] = rows.getStridesAndOffset();
  if (ShapedType::isDynamic(strides.front()) || ShapedType::isDynamic(offset))
    return 0;
  const int64_t size = rows.getElementTypeBitWidth() / 8;
  int64_t alignment = kMost;
  while (strides.front() * size % alignment != 0 || offset * size % alignment != 0)
    alignment /= 2;
  return alignment;
}

std::optional<MmaKind> moec::productKindOf(Value rows, Value weight) {
  auto load = weight.getDefiningOp<lm::LoadWeightOp>();
  if (!load)
    return std::nullopt;
  const lm::PackedAttr packed = packedOf(load);
  auto type = cast<MemRefType>(rows.getType());
  const int64_t depth = cast<ShapedType>(weight.getType()).getShape().back(),
                alignment = rowAlignment(type);
  if (type.getElementType().isInteger(8)) {
    if (isInBands(packed.getLayout(), packed.getElement()) && alignment >= 8)
      return MmaKind::IntegerCodes;
    return std::nullopt;
  }
  if (!type.getElementType().isBF16() || depth % 8 != 0 || alignment < 16)
    return std::nullopt;
  if (isInBands(packed.getLayout(), packed.getElement()))
    return MmaKind::FloatCodes;
  if (packed.getLayout() == lm::Layout::Rows && packed.getElement().isBF16())
    return MmaKind::Floats;
  return std::nullopt;
}
