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

bool moec::hasPlainRows(ShapedType type) {
  if (type.getRank() > 1 && type.isDynamicDim(type.getRank() - 1))
    return false;
  auto memref = dyn_cast<MemRefType>(type);
  return !memref || memref.isLastDimUnitStride();
}

int64_t moec::extentOf(Value value, unsigned dimension) {
  return cast<ShapedType>(value.getType()).getDimSize(dimension);
}
