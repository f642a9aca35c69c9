// Registers the lm dialect; its types and attributes.

#include "dialects/lm/LmDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

#include "dialects/lm/LmOpsDialect.cpp.inc"

using namespace mlir;
using namespace moec;
using namespace moec::lm;

static ParseResult parseWeightShape(AsmParser &parser, SmallVector<int64_t> &shape,
                                    Type &elementType) {
  return failure(parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
                 parser.parseType(elementType));
}

static void printWeightShape(AsmPrinter &printer, ArrayRef<int64_t> shape, Type elementType) {
  printer.printDimensionList(shape);
  printer << 'x' << elementType;
}

#define GET_ATTRDEF_CLASSES
#include "dialects/lm/LmAttributes.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/lm/LmOpsTypes.cpp.inc"

void LmDialect::initialize() {
  addInterfaces<InlineEverything>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/lm/LmAttributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/lm/LmOpsTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/lm/LmOps.cpp.inc"
      >();
}

Operation *LmDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type,
                                          Location location) {
  return arith::ConstantOp::materialize(builder, value, type, location);
}

void moec::lm::registerTiling(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, LmDialect *) {
    attachRowTiling<EmbeddingOp, RmsNormOp, LayerNormOp, LinearOp, ClampOp, RopeTableOp, RopeOp,
                    TemperatureOp, SliceHeadsOp, JoinHeadsOp, HeadLinearOp, ScaleRowsOp, AddOp,
                    RoundOp, QuantizeOp, SelectRowsOp>(context);
  });
}
