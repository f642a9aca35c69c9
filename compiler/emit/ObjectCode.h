// MLIR's LLVM dialect to LLVM IR and to object code.

#ifndef MOEC_COMPILER_EMIT_OBJECTCODE_H
#define MOEC_COMPILER_EMIT_OBJECTCODE_H

#include "runtime/core/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"

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

/// Translates a module of the LLVM dialect. What is wrong with it is reported through the
/// module's context too.
Result<std::unique_ptr<llvm::Module>>
translateToLlvm(mlir::ModuleOp module, llvm::LLVMContext &context, const MachineTarget &target);

/// Optimises `module` for `target`. Sums keep their order: nothing here reassociates.
Status optimizeLlvm(llvm::Module &module, const MachineTarget &target);

/// Object code: position independent, a section per function. The same module and target give
/// the same bytes.
Result<std::string> emitObject(llvm::Module &module, const MachineTarget &target);

/// Text of the module.
std::string printLlvm(const llvm::Module &module);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_OBJECTCODE_H
