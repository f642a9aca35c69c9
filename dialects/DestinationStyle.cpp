// Implements what destination-style ops have in common.

#include "dialects/DestinationStyle.h"

using namespace mlir;

void moec::addDestinationStyleEffects(DestinationStyleOpInterface op, bool readsDestinations,
                                      EffectInstances &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType()))
      continue;
    bool isDestination = op.isDpsInit(&operand);
    if (!isDestination || readsDestinations)
      effects.emplace_back(MemoryEffects::Read::get(), &operand,
                           SideEffects::DefaultResource::get());
    if (isDestination)
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

LogicalResult moec::verifyExtents(Operation *op, StringRef what, int64_t extent,
                                  StringRef otherWhat, int64_t otherExtent) {
  if (extent == otherExtent || ShapedType::isDynamic(extent) || ShapedType::isDynamic(otherExtent))
    return success();
  return op->emitOpError() << what << " are " << extent << ", but " << otherWhat << " are "
                           << otherExtent;
}

LogicalResult moec::verifyProductInput(Operation *op, StringRef what, int64_t depth,
                                       StringRef inputWhat, Value input) {
  const int64_t columns = extentOf(input, 1);
  if (!getElementTypeOrSelf(input).isInteger(8))
    return verifyExtents(op, what, depth, inputWhat, columns);
  // One block, or several of one size.
  const bool fits = columns > kBlockTailBytes && [&] {
    for (int64_t blocks = 1; blocks * (kBlockTailBytes + 1) <= columns; ++blocks)
      if (const int64_t block = columns / blocks - kBlockTailBytes;
          columns % blocks == 0 && block % kBlockStep == 0 &&
          quantizedColumns(depth, block) == columns)
        return true;
    return false;
  }();
  if (fits)
    return success();
  return op->emitOpError() << what << " are " << depth << ", but " << inputWhat << " are "
                           << columns << ", which is no row of as many quantised elements";
}

bool moec::hasPlainRows(ShapedType type) {
  if (type.getRank() > 1 && type.isDynamicDim(type.getRank() - 1))
    return false;
  auto memref = dyn_cast<MemRefType>(type);
  return !memref || memref.isLastDimUnitStride();
}

int64_t moec::extentOf(Value value, unsigned dimension) {
  return cast<ShapedType>(value.getType()).getDimSize(dimension);
}
