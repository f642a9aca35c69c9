// Registers the linalg_ext dialect.

#include "dialects/linalg_ext/LinalgExtDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/linalg_ext/LinalgExtOpsDialect.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::linalg_ext;

#define GET_ATTRDEF_CLASSES
#include "dialects/linalg_ext/LinalgExtAttributes.cpp.inc"

void LinalgExtDialect::initialize() {
  addInterfaces<InlineEverything>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/linalg_ext/LinalgExtAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/linalg_ext/LinalgExtOps.cpp.inc"
      >();
}

template <typename... Ops> static void attachBufferization(MLIRContext *context) {
  (Ops::template attachInterface<moec::DestinationBufferization<Ops>>(*context), ...);
}

void moec::linalg_ext::registerBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, LinalgExtDialect *) {
    attachBufferization<
#define GET_OP_LIST
#include "dialects/linalg_ext/LinalgExtOps.cpp.inc"
        >(context);
  });
}
