// Reads the types of runtime functions off their prototypes.

#include "compiler/lowering/RuntimeFunctions.h"

#include "mlir/Dialect/LLVMIR/FunctionCallUtils.h"

#include <cstdint>

using namespace mlir;
using namespace moec;

template <typename T> static Type llvmType(MLIRContext *context) {
  if constexpr (std::is_void_v<T>)
    return LLVM::LLVMVoidType::get(context);
  else if constexpr (std::is_pointer_v<T>)
    return LLVM::LLVMPointerType::get(context);
  else {
    static_assert(std::is_integral_v<T>, "abi.def has integers, pointers and void");
    return IntegerType::get(context, 8 * sizeof(T));
  }
}

template <typename Result, typename... Parameters>
static LLVM::LLVMFunctionType functionType(MLIRContext *context, Result (*)(Parameters...)) {
  return LLVM::LLVMFunctionType::get(llvmType<Result>(context), {llvmType<Parameters>(context)...});
}

/// The type of a function of abi.def; null for any other name.
static LLVM::LLVMFunctionType typeOf(MLIRContext *context, StringRef name) {
#define MOEC_RT(function, result, parameters)                                                      \
  if (name == #function)                                                                           \
    return functionType(context, static_cast<result(*) parameters>(nullptr));
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
