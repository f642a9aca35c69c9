// The functions of the runtime that compiled code may call: those of abi.def.

#ifndef MOEC_COMPILER_LOWERING_RUNTIMEFUNCTIONS_H
#define MOEC_COMPILER_LOWERING_RUNTIMEFUNCTIONS_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

namespace moec {

/// Whether abi.def has a function of that name.
bool isRuntimeFunction(llvm::StringRef name);

/// Declares a function of abi.def in `module`, once, with the type of the runtime's prototype.
mlir::FailureOr<mlir::LLVM::LLVMFuncOp> declareRuntimeFunction(mlir::ModuleOp module,
                                                               llvm::StringRef name);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_RUNTIMEFUNCTIONS_H
