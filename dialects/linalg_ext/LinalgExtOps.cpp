// Verifies the ops of the linalg_ext dialect, and states their effects.

#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

#include "dialects/linalg_ext/LinalgExtEnums.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/linalg_ext/LinalgExtOps.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::linalg_ext;

#define MOEC_DESTINATION_EFFECTS(Op)                                                               \
  void Op::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {                   \
    addDestinationStyleEffects(*this, readsDestinations(), effects);                               \
  }
MOEC_DESTINATION_EFFECTS(TopKOp)
MOEC_DESTINATION_EFFECTS(NonzeroOp)
MOEC_DESTINATION_EFFECTS(ScatterOp)
MOEC_DESTINATION_EFFECTS(ScanOp)
#undef MOEC_DESTINATION_EFFECTS

static ShapedType shapeOf(Value value) { return cast<ShapedType>(value.getType()); }

/// That two operands have the same element type.
static LogicalResult verifyElements(Operation *op, StringRef what, Value value, StringRef otherWhat,
                                    Value other) {
  Type element = shapeOf(value).getElementType(), otherElement = shapeOf(other).getElementType();
  if (element == otherElement)
    return success();
  return op->emitOpError() << what << " are of " << element << ", but " << otherWhat << " of "
                           << otherElement;
}

static LogicalResult verifyRank(Operation *op, StringRef what, Value value, int64_t wanted) {
  if (shapeOf(value).getRank() == wanted)
    return success();
  return op->emitOpError() << what << " have rank " << shapeOf(value).getRank() << ", wanted "
                           << wanted;
}

LogicalResult TopKOp::verify() {
  const int64_t rank = shapeOf(getInput()).getRank();
  if (rank < 1)
    return emitOpError("has an input of rank 0, which has no rows");
  if (failed(verifyElements(*this, "values", getValues(), "elements of the input", getInput())) ||
      failed(verifyRank(*this, "values", getValues(), rank)) ||
      failed(verifyRank(*this, "indices", getIndices(), rank)))
    return failure();
  for (int64_t i = 0; i < rank; ++i) {
    if (i < rank - 1 && failed(verifyExtents(*this, "rows of the values", extentOf(getValues(), i),
                                             "rows of the input", extentOf(getInput(), i))))
      return failure();
    if (failed(verifyExtents(*this, "sizes of the indices", extentOf(getIndices(), i),
                             "sizes of the values", extentOf(getValues(), i))))
      return failure();
  }
  return success();
}

LogicalResult NonzeroOp::verify() {
  if (failed(verifyRank(*this, "indices", getIndices(), 2)) ||
      failed(verifyRank(*this, "counts", getCount(), 0)))
    return failure();
  return verifyExtents(*this, "rows of the indices", extentOf(getIndices(), 0),
                       "dimensions of the input", shapeOf(getInput()).getRank());
}

LogicalResult ScatterOp::verify() {
  if (failed(verifyRank(*this, "indices", getIndices(), 2)) ||
      failed(verifyElements(*this, "updates", getUpdates(), "elements of the result", getOut())))
    return failure();
  const int64_t depth = extentOf(getIndices(), 1), rank = shapeOf(getOut()).getRank();
  if (ShapedType::isDynamic(depth) || depth > rank)
    return emitOpError() << "has indices of type " << getIndices().getType()
                         << ", wanted as many columns as they name dimensions, of which there are "
                         << rank;
  if (failed(verifyRank(*this, "updates", getUpdates(), rank - depth + 1)) ||
      failed(verifyExtents(*this, "updates", extentOf(getUpdates(), 0), "indices",
                           extentOf(getIndices(), 0))))
    return failure();
  for (int64_t i = depth; i < rank; ++i)
    if (failed(verifyExtents(*this, "sizes of an update", extentOf(getUpdates(), i - depth + 1),
                             "sizes of the result", extentOf(getOut(), i))))
      return failure();
  return success();
}

LogicalResult ScanOp::verify() {
  const int64_t rank = shapeOf(getInput()).getRank();
  if (getCombining() == Combining::None)
    return emitOpError("combines nothing");
  if (static_cast<int64_t>(getDimension()) >= rank)
    return emitOpError() << "goes along dimension " << getDimension() << " of an input of rank "
                         << rank;
  if (failed(verifyElements(*this, "elements of the input", getInput(), "those of the result",
                            getOut())) ||
      failed(verifyRank(*this, "results", getOut(), rank)))
    return failure();
  for (int64_t i = 0; i < rank; ++i)
    if (failed(verifyExtents(*this, "sizes of the result", extentOf(getOut(), i),
                             "sizes of the input", extentOf(getInput(), i))))
      return failure();
  return success();
}
