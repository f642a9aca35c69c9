// Registers the moe dialect.

#include "dialects/moe/MoeDialect.h"
#include "mlir/IR/DialectImplementation.h"

#include "dialects/moe/MoeOpsDialect.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::moe;

void MoeDialect::initialize() {
  addInterfaces<InlineEverything>();
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
