// Verifies the ops of the moe dialect and states their effects.

#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

#include "dialects/moe/MoeEnums.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/moe/MoeOps.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::moe;

#define MOEC_DESTINATION_EFFECTS(Op)                                                               \
  void Op::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {                   \
    addDestinationStyleEffects(*this, readsDestinations(), effects);                               \
  }
MOEC_DESTINATION_EFFECTS(ScoreOp)
MOEC_DESTINATION_EFFECTS(RouteOp)
MOEC_DESTINATION_EFFECTS(GateOp)
MOEC_DESTINATION_EFFECTS(PickSharedOp)
MOEC_DESTINATION_EFFECTS(DispatchOp)
MOEC_DESTINATION_EFFECTS(GroupedMatmulOp)
MOEC_DESTINATION_EFFECTS(GatedActivationOp)
MOEC_DESTINATION_EFFECTS(GroupedGluOp)
MOEC_DESTINATION_EFFECTS(CombineOp)
MOEC_DESTINATION_EFFECTS(ExpertFfnOp)
#undef MOEC_DESTINATION_EFFECTS

LogicalResult ScoreOp::verify() {
  return verifyExtents(*this, "columns of the scores", extentOf(getScores(), 1),
                       "columns of the logits", extentOf(getLogits(), 1));
}

/// The picks of a router that chooses among `numExperts`.
static LogicalResult verifyPicks(Operation *op, Value experts, Value weights, int64_t numExperts) {
  int64_t picked = extentOf(experts, 1);
  if (ShapedType::isStatic(numExperts) && picked > numExperts)
    return op->emitOpError() << "picks the top " << picked << " of only " << numExperts
                             << " experts";
  return verifyExtents(op, "columns of the weights", extentOf(weights, 1), "columns of the experts",
                       picked);
}

LogicalResult RouteOp::verify() {
  return verifyPicks(*this, getExperts(), getWeights(), extentOf(getScores(), 1));
}

LogicalResult GateOp::verify() {
  if (failed(verifyExtents(*this, "columns of the router", extentOf(getRouter(), 1),
                           "columns of the tokens", extentOf(getTokens(), 1))))
    return failure();
  return verifyPicks(*this, getExperts(), getWeights(), extentOf(getRouter(), 0));
}

LogicalResult PickSharedOp::verify() {
  int64_t picked = extentOf(getExperts(), 1), all = extentOf(getAllExperts(), 1);
  if (failed(verifyExtents(*this, "columns of the weights", extentOf(getWeights(), 1),
                           "columns of the experts", picked)) ||
      failed(verifyExtents(*this, "columns of all weights", extentOf(getAllWeights(), 1),
                           "columns of all experts", all)))
    return failure();
  if (all <= picked)
    return emitOpError() << "makes " << all << " picks of " << picked << ", which adds none";
  if (getGate())
    return verifyExtents(*this, "columns of the gate", extentOf(getGate(), 1), "gates of a row", 1);
  return success();
}

LogicalResult DispatchOp::verify() {
  if (ShapedType::isDynamic(extentOf(getOffsets(), 0)))
    return emitOpError("needs a fixed number of offsets, one more than experts");
  return verifyExtents(*this, "columns of the tiles", extentOf(getTiles(), 1), "fields of a tile",
                       3);
}

LogicalResult GroupedMatmulOp::verify() {
  if (failed(verifyProductInput(*this, "inner columns of the weight", extentOf(getWeight(), 2),
                                "columns of the input", getInput())))
    return failure();
  return verifyExtents(*this, "rows of each weight", extentOf(getWeight(), 1),
                       "columns of the result", extentOf(getOut(), 1));
}

LogicalResult GatedActivationOp::verify() {
  if (failed(verifyExtents(*this, "columns of gate", extentOf(getGate(), 1), "columns of up",
                           extentOf(getUp(), 1))))
    return failure();
  return verifyExtents(*this, "columns of gate", extentOf(getGate(), 1), "columns of the result",
                       extentOf(getOut(), 1));
}

LogicalResult GroupedGluOp::verify() {
  for (Value weight : {getGate(), getUp()})
    if (failed(verifyProductInput(*this, "inner columns of a weight", extentOf(weight, 2),
                                  "columns of the input", getInput())) ||
        failed(verifyExtents(*this, "rows of each weight", extentOf(weight, 1),
                             "columns of the result", extentOf(getOut(), 1))))
      return failure();
  return success();
}

LogicalResult CombineOp::verify() {
  return verifyExtents(*this, "columns of the input", extentOf(getInput(), 1),
                       "columns of the result", extentOf(getOut(), 1));
}

LogicalResult ExpertFfnOp::verify() {
  if (failed(verifyProductInput(*this, "inner columns of gate", extentOf(getGate(), 2),
                                "columns of the tokens", getTokens())) ||
      failed(verifyProductInput(*this, "inner columns of up", extentOf(getUp(), 2),
                                "columns of the tokens", getTokens())) ||
      failed(verifyExtents(*this, "inner columns of down", extentOf(getDown(), 2),
                           "rows of each up", extentOf(getUp(), 1))) ||
      failed(verifyExtents(*this, "rows of each gate", extentOf(getGate(), 1), "rows of each up",
                           extentOf(getUp(), 1))) ||
      failed(verifyExtents(*this, "rows of each down", extentOf(getDown(), 1),
                           "columns of the result", extentOf(getOut(), 1))) ||
      failed(verifyExtents(*this, "picked experts", extentOf(getExperts(), 1), "weights",
                           extentOf(getWeights(), 1))))
    return failure();
  for (Value weight : {getUp(), getDown()})
    if (failed(verifyExtents(*this, "experts of gate", extentOf(getGate(), 0),
                             "experts of another weight", extentOf(weight, 0))))
      return failure();
  return success();
}
