// Verifies the ops of the moe dialect and states their effects.

#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;

/// "%gate, %up, %down : types", or "%up, %down : types" where there is no gate. Biases are there or
/// not, all of them.
static ParseResult parseProducts(OpAsmParser &parser,
                                 std::optional<OpAsmParser::UnresolvedOperand> &gate,
                                 std::optional<OpAsmParser::UnresolvedOperand> &up,
                                 std::optional<OpAsmParser::UnresolvedOperand> &down,
                                 Type &gateType, Type &upType, Type &downType) {
  SmallVector<OpAsmParser::UnresolvedOperand, 3> operands;
  SmallVector<Type, 3> types;
  llvm::SMLoc where = parser.getCurrentLocation();
  if (parser.parseOperandList(operands) || parser.parseColonTypeList(types))
    return failure();
  if (operands.size() < 2 || operands.size() > 3 || types.size() != operands.size())
    return parser.emitError(where) << "has " << operands.size() << " products and " << types.size()
                                   << " types, wanted up and down, or a gate before them";
  down = operands.pop_back_val();
  up = operands.pop_back_val();
  downType = types.pop_back_val();
  upType = types.pop_back_val();
  if (!operands.empty()) {
    gate = operands.front();
    gateType = types.front();
  }
  return success();
}

/// The same for operands that are always there.
static ParseResult parseProducts(OpAsmParser &parser,
                                 std::optional<OpAsmParser::UnresolvedOperand> &gate,
                                 OpAsmParser::UnresolvedOperand &up,
                                 OpAsmParser::UnresolvedOperand &down, Type &gateType, Type &upType,
                                 Type &downType) {
  std::optional<OpAsmParser::UnresolvedOperand> ownUp, ownDown;
  if (failed(parseProducts(parser, gate, ownUp, ownDown, gateType, upType, downType)))
    return failure();
  up = *ownUp;
  down = *ownDown;
  return success();
}

static void printProducts(OpAsmPrinter &printer, Operation *, Value gate, Value up, Value down,
                          Type, Type, Type) {
  SmallVector<Value, 3> operands;
  for (Value operand : {gate, up, down})
    if (operand)
      operands.push_back(operand);
  printer << operands << " : " << ValueRange(operands).getTypes();
}

#include "dialects/moe/MoeEnums.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/moe/MoeOps.cpp.inc"

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

/// The choice that `op`, a route or a gate, makes among `numExperts`.
template <typename Op> static LogicalResult verifyRouting(Op op, int64_t numExperts) {
  if (op.getEpsilon().isNonZero() && op.getWeighing() != Weighing::Renormalize)
    return op.emitOpError("has an epsilon, but does not renormalize");
  if (op.getCorrection() &&
      failed(verifyExtents(op, "entries of the correction", extentOf(op.getCorrection(), 0),
                           "experts", numExperts)))
    return failure();
  if (GroupsAttr groups = op.getGroupsAttr(); groups && ShapedType::isStatic(numExperts)) {
    const int64_t size = numExperts / groups.getCount(), picked = extentOf(op.getExperts(), 1);
    if (numExperts % groups.getCount() != 0)
      return op.emitOpError() << "has " << numExperts << " experts, which do not make "
                              << groups.getCount() << " equal groups";
    if (groups.getValue() == GroupValue::BestTwo && size < 2)
      return op.emitOpError("sums the best two of groups of one expert");
    if (groups.getKept() * size < picked)
      return op.emitOpError() << "picks the top " << picked << " of the " << groups.getKept() * size
                              << " experts of " << groups.getKept() << " groups";
  }
  return verifyPicks(op, op.getExperts(), op.getWeights(), numExperts);
}

LogicalResult RouteOp::verify() { return verifyRouting(*this, extentOf(getScores(), 1)); }

LogicalResult GateOp::verify() {
  if (failed(verifyExtents(*this, "columns of the router", extentOf(getRouter(), 1),
                           "columns of the tokens", extentOf(getTokens(), 1))))
    return failure();
  const int64_t numExperts = extentOf(getRouter(), 0);
  if (getBias() && failed(verifyExtents(*this, "entries of the bias", extentOf(getBias(), 0),
                                        "rows of the router", numExperts)))
    return failure();
  return verifyRouting(*this, numExperts);
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

/// That a product can look up the weight of each of its rows' picks.
template <typename Op> static LogicalResult verifyWeighing(Op op) {
  if (!op.getExperts() != !op.getWeights())
    return op.emitOpError("has picks of either no experts or no weights");
  if (!op.getWeights())
    return success();
  if (!op.getRows())
    return op.emitOpError("weighs rows by their tokens' picks, but does not say whose they are");
  return verifyExtents(op, "picked experts", extentOf(op.getExperts(), 1), "weights",
                       extentOf(op.getWeights(), 1));
}

/// That a layer's products have a bias each, or none has.
static LogicalResult verifySameBiases(Operation *op, ArrayRef<Value> biases) {
  if (llvm::all_equal(llvm::map_range(biases, [](Value bias) { return !bias; })))
    return success();
  return op->emitOpError("has a bias for some of its products, but not for all");
}

/// That `bias` has an entry for each row of each expert of `weight`.
static LogicalResult verifyExpertBias(Operation *op, Value bias, Value weight) {
  if (!bias)
    return success();
  for (unsigned dimension : {0, 1})
    if (failed(verifyExtents(op, dimension == 0 ? "experts of a bias" : "rows of a bias",
                             extentOf(bias, dimension), "those of its weight",
                             extentOf(weight, dimension))))
      return failure();
  return verifyExtents(op, "columns of a bias", extentOf(bias, 2), "those of a vector", 1);
}

/// That an activation is one of a product without a gate.
static LogicalResult verifyUngated(Operation *op, ActivationAttr activation) {
  if (!activation || (!activation.getLimit() && !activation.getShift()))
    return success();
  return op->emitOpError() << "has an activation with a "
                           << (activation.getLimit() ? "limit" : "shift") << ", but no gate";
}

LogicalResult GroupedMatmulOp::verify() {
  if (failed(verifyProductInput(*this, "inner columns of the weight", extentOf(getWeight(), 2),
                                "columns of the input", getInput())) ||
      failed(verifyWeighing(*this)) || failed(verifyExpertBias(*this, getBias(), getWeight())) ||
      failed(verifyUngated(*this, getActivationAttr())))
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
  if (failed(verifySameBiases(*this, {getGateBias(), getUpBias()})) ||
      failed(verifyExpertBias(*this, getGateBias(), getGate())) ||
      failed(verifyExpertBias(*this, getUpBias(), getUp())))
    return failure();
  return verifyWeighing(*this);
}

int64_t CombineOp::getNumPicked() {
  return getWeights() ? extentOf(getWeights(), 1) : static_cast<int64_t>(*getPicked());
}

LogicalResult CombineOp::verify() {
  if (!getWeights() == !getPicked())
    return emitOpError("needs either weights, or the number of picks");
  return verifyExtents(*this, "columns of the input", extentOf(getInput(), 1),
                       "columns of the result", extentOf(getOut(), 1));
}

/// That the gate of a layer, if it has one, suits its other weights.
static LogicalResult verifyGate(ExpertFfnOp op) {
  Value gate = op.getGate();
  if (!gate)
    return verifyUngated(op, op.getActivation());
  if (failed(verifyProductInput(op, "inner columns of gate", extentOf(gate, 2),
                                "columns of the tokens", op.getTokens())) ||
      failed(verifyExtents(op, "rows of each gate", extentOf(gate, 1), "rows of each up",
                           extentOf(op.getUp(), 1))) ||
      failed(verifyExtents(op, "experts of gate", extentOf(gate, 0), "experts of up",
                           extentOf(op.getUp(), 0))))
    return failure();
  return verifyExpertBias(op, op.getGateBias(), gate);
}

LogicalResult ExpertFfnOp::verify() {
  if (failed(verifyGate(*this)) ||
      failed(verifyProductInput(*this, "inner columns of up", extentOf(getUp(), 2),
                                "columns of the tokens", getTokens())) ||
      failed(verifyExtents(*this, "inner columns of down", extentOf(getDown(), 2),
                           "rows of each up", extentOf(getUp(), 1))) ||
      failed(verifyExtents(*this, "rows of each down", extentOf(getDown(), 1),
                           "columns of the result", extentOf(getOut(), 1))) ||
      failed(verifyExtents(*this, "experts of up", extentOf(getUp(), 0), "experts of down",
                           extentOf(getDown(), 0))) ||
      failed(verifyExtents(*this, "picked experts", extentOf(getExperts(), 1), "weights",
                           extentOf(getWeights(), 1))))
    return failure();
  if (!getGate() && getGateBias())
    return emitOpError("has a bias of a gate, but no gate");
  SmallVector<Value> biases{getUpBias(), getDownBias()};
  if (getGate())
    biases.push_back(getGateBias());
  if (failed(verifySameBiases(*this, biases)) ||
      failed(verifyExpertBias(*this, getUpBias(), getUp())))
    return failure();
  return verifyExpertBias(*this, getDownBias(), getDown());
}
