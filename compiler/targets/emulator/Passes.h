// Constructors and registration of the passes of Passes.td.

#ifndef MOEC_COMPILER_TARGETS_EMULATOR_PASSES_H
#define MOEC_COMPILER_TARGETS_EMULATOR_PASSES_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace moec {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/targets/emulator/Passes.h.inc"

/// Lowers kernels of `gpu.module`s that still are in upstream's higher dialects (gpu, nvgpu,
/// vector, memref, scf, ...) to `llvm` and `nvvm`, by upstream's own passes; reports what stays
/// behind.
mlir::LogicalResult lowerGpuModules(mlir::ModuleOp module);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_EMULATOR_PASSES_H
