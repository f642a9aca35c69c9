// Registers the moe dialect; its attributes.

#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/moe/MoeOpsDialect.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::moe;

#define GET_ATTRDEF_CLASSES
#include "dialects/moe/MoeAttributes.cpp.inc"

LogicalResult GroupsAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t kept,
                                 int64_t count, GroupValue) {
  if (kept >= 1 && kept <= count)
    return success();
  return emitError() << "keeps " << kept << " of " << count << " groups";
}

LogicalResult ActivationAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                     ActivationKind kind, FloatAttr limit, FloatAttr slope,
                                     FloatAttr) {
  if (slope && kind != ActivationKind::Silu)
    return emitError() << stringifyActivationKind(kind) << " has no slope";
  if (limit && !(limit.getValueAsDouble() > 0))
    return emitError() << "has a limit of " << limit.getValueAsDouble()
                       << ", which is not positive";
  return success();
}

void MoeDialect::initialize() {
  addInterfaces<InlineEverything>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/moe/MoeAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/moe/MoeOps.cpp.inc"
      >();
}

template <typename... Ops> static void attachBufferization(MLIRContext *context) {
  (Ops::template attachInterface<moec::DestinationBufferization<Ops>>(*context), ...);
}

void moec::moe::registerBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoeDialect *) {
    attachBufferization<
#define GET_OP_LIST
#include "dialects/moe/MoeOps.cpp.inc"
        >(context);
  });
}

void moec::moe::registerTiling(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoeDialect *) {
    attachRowTiling<ScoreOp, RouteOp, GateOp, PickSharedOp, GatedActivationOp, ExpertFfnOp>(
        context);
  });
}
