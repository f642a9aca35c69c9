// The function of a module that computes.

#ifndef MOEC_COMPILER_ANALYSIS_STEPFUNCTION_H
#define MOEC_COMPILER_ANALYSIS_STEPFUNCTION_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace moec {

/// What the function of a language model that computes one step is called, and that of a graph of
/// tensors.
inline constexpr llvm::StringLiteral kStepName = "step", kGraphName = "graph";

/// That function of a module; null if there is none.
inline mlir::func::FuncOp findStep(mlir::ModuleOp module) {
  auto step = module.lookupSymbol<mlir::func::FuncOp>(kStepName);
  return step ? step : module.lookupSymbol<mlir::func::FuncOp>(kGraphName);
}

/// The module's attribute that says what a graph takes and gives, and the names in it: the symbolic
/// sizes; of each input and output its name, its type as safetensors calls it, and its shape, of
/// numbers and names of sizes.
inline constexpr llvm::StringLiteral kGraphAttr = "moec.graph", kDimensionsName = "dimensions",
                                     kInputsName = "inputs", kOutputsName = "outputs";
/// The same of what may be wrong with the inputs, in words; and the output of that number, from 1
/// on, of type i64 and behind all others, which a graph has that checks anything.
inline constexpr llvm::StringLiteral kFailuresName = "failures", kFailureName = ".failure";

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_STEPFUNCTION_H
