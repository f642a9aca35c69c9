// Reads the types of runtime functions off their prototypes.

#include "compiler/lowering/RuntimeFunctions.h"

#include "compiler/lowering/PrototypeTypes.h"

#include "mlir/Dialect/LLVMIR/FunctionCallUtils.h"

#include <cstdint>

using namespace mlir;
using namespace moec;

/// The type of a function of abi.def; null for any other name.
static LLVM::LLVMFunctionType typeOf(MLIRContext *context, StringRef name) {
#define MOEC_RT(function, result, parameters)                                                      \
  if (name == #function)                                                                           \
    return prototypeFunctionType(context, static_cast<result(*) parameters>(nullptr));
#include "runtime/include/moec/abi.def"
#undef MOEC_RT
  return {};
}

bool moec::isRuntimeFunction(StringRef name) {
#define MOEC_RT(function, result, parameters)                                                      \
  if (name == #function)                                                                           \
    return true;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT
  return false;
}

FailureOr<LLVM::LLVMFuncOp> moec::declareRuntimeFunction(ModuleOp module, StringRef name) {
  LLVM::LLVMFunctionType type = typeOf(module.getContext(), name);
  assert(type && "abi.def has no such function");
  OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
  return LLVM::lookupOrCreateFn(builder, module, name, type.getParams(), type.getReturnType());
}
