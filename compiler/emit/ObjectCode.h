// MLIR's LLVM dialect to LLVM IR, to object code and to PTX.
//
// A module of LLVM IR may hold code for several CPUs of one architecture: each function says which
// it is for, and one that does not is for any.

#ifndef MOEC_COMPILER_EMIT_OBJECTCODE_H
#define MOEC_COMPILER_EMIT_OBJECTCODE_H

#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CodeGen.h"

#include <memory>
#include <string>

namespace moec {

/// The machine that code is made for, in LLVM's words.
struct MachineTarget {
  std::string triple;   ///< "x86_64-unknown-linux-gnu"
  std::string cpu;      ///< "znver5", "x86-64-v3"
  std::string features; ///< "+avx512bf16,-amx-tile"; may be empty
};

/// Makes MLIR able to translate what the last stage leaves; before `translateToLlvm`.
void registerLlvmTranslations(mlir::DialectRegistry &registry);

/// Translates a module of the LLVM dialect, all of whose functions are for `target`. What is wrong
/// with it is reported through the module's context too.
Result<std::unique_ptr<llvm::Module>>
translateToLlvm(mlir::ModuleOp module, llvm::LLVMContext &context, const MachineTarget &target);

/// Translates the gpu.module of a module that the emit stage has left, for the one architecture
/// `gpu`.
Result<std::unique_ptr<llvm::Module>>
translateKernels(mlir::ModuleOp module, llvm::LLVMContext &context, const MachineTarget &gpu);

/// Optimises `module`, kernels for `gpu` where that is not null. Sums keep their order: nothing
/// here reassociates.
Status optimizeLlvm(llvm::Module &module, const MachineTarget *gpu = nullptr);

/// Object code: position independent, a section per function. The same module gives the same bytes.
Result<std::string> emitObject(llvm::Module &module,
                               llvm::CodeGenOptLevel effort = llvm::CodeGenOptLevel::Aggressive);

/// The text that ptxas or a driver assembles. The same module gives the same text.
Result<std::string> emitPtx(llvm::Module &module, const MachineTarget &gpu);

/// Text of the module.
std::string printLlvm(const llvm::Module &module);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_OBJECTCODE_H
