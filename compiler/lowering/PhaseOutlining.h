// What the passes share that make functions of a step's phases.

#ifndef MOEC_COMPILER_LOWERING_PHASEOUTLINING_H
#define MOEC_COMPILER_LOWERING_PHASEOUTLINING_H

#include "dialects/lm/LmDialect.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace moec {

/// Makes the constants, and addresses of the module's, inside the phase that it uses of those
/// around, and returns the other values that it uses.
llvm::SetVector<mlir::Value> closePhase(lm::PhaseOp phase);

/// `phase_N_NAME`
std::string phaseFunctionName(lm::PhaseOp phase, size_t index);

/// A pointer out of the moec_step_arguments that `batch` stands for, at byte `offset`.
mlir::Value loadBatchPointer(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value batch,
                             size_t offset);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_PHASEOUTLINING_H
