// Constructors and registration of the passes of Passes.td.

#ifndef MOEC_COMPILER_TRANSFORMS_PASSES_H
#define MOEC_COMPILER_TRANSFORMS_PASSES_H

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/Pass.h"

namespace moec {

/// The function of a module that computes one step; null if there is none.
inline mlir::func::FuncOp findStep(mlir::ModuleOp module) {
  return module.lookupSymbol<mlir::func::FuncOp>("step");
}

/// Whether an op does the work of a model, as phases do.
inline bool isComputing(mlir::Operation *op) {
  return mlir::isa_and_nonnull<lm::LmDialect, moe::MoeDialect>(op->getDialect()) &&
         mlir::isa<mlir::DestinationStyleOpInterface, RowWiseOpInterface>(op);
}

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/transforms/Passes.h.inc"

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_PASSES_H
