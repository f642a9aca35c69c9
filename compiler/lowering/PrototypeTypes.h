// LLVM function types read off the prototypes of C functions.

#ifndef MOEC_COMPILER_LOWERING_PROTOTYPETYPES_H
#define MOEC_COMPILER_LOWERING_PROTOTYPETYPES_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <type_traits>

namespace moec {

template <typename T> mlir::Type prototypeType(mlir::MLIRContext *context) {
  if constexpr (std::is_void_v<T>)
    return mlir::LLVM::LLVMVoidType::get(context);
  else if constexpr (std::is_pointer_v<T>)
    return mlir::LLVM::LLVMPointerType::get(context);
  else {
    static_assert(std::is_integral_v<T>, "compiled code passes integers and pointers only");
    return mlir::IntegerType::get(context, 8 * sizeof(T));
  }
}

/// The type of a function with that prototype; the pointer is not looked at.
template <typename Result, typename... Parameters>
mlir::LLVM::LLVMFunctionType prototypeFunctionType(mlir::MLIRContext *context,
                                                   Result (*)(Parameters...)) {
  return mlir::LLVM::LLVMFunctionType::get(prototypeType<Result>(context),
                                           {prototypeType<Parameters>(context)...});
}

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_PROTOTYPETYPES_H
