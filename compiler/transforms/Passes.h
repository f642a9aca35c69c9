// Constructors and registration of the passes of Passes.td.

#ifndef MOEC_COMPILER_TRANSFORMS_PASSES_H
#define MOEC_COMPILER_TRANSFORMS_PASSES_H

#include "compiler/analysis/StepFunction.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/Pass.h"

namespace moec {

/// Whether an op does the work of a model, as phases do.
inline bool isComputing(mlir::Operation *op) {
  return mlir::isa_and_nonnull<lm::LmDialect, moe::MoeDialect>(op->getDialect()) &&
         mlir::isa<mlir::DestinationStyleOpInterface, RowWiseOpInterface>(op) &&
         !mlir::isa<lm::RunPartOp>(op); // has others do it
}

/// Whether an op may stand between phases: it says which work there is, and does none. Nor does it
/// read what a phase has written: a thread may come there when that memory is used for other
/// things.
bool mayStandBetweenPhases(mlir::Operation *op);

/// The module's attribute that says what is where in a program for GPUs, and the names in it; see
/// moe-place-experts.
inline constexpr llvm::StringLiteral kPlacementAttr = "moec.placement",
                                     kDeviceMemoryName = "device_memory",
                                     kHostLayersName = "host_layers";
/// The module in a module that has what CPUs do of a program for GPUs; null if there is none.
inline mlir::ModuleOp findHost(mlir::ModuleOp module) {
  return module.lookupSymbol<mlir::ModuleOp>("host");
}

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/transforms/Passes.h.inc"

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_PASSES_H
