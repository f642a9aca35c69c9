// Emulated kernels as code of this process.

#ifndef MOEC_TOOLS_MOEEMULATE_JIT_H
#define MOEC_TOOLS_MOEEMULATE_JIT_H

#include "runtime/core/Result.h"
#include "runtime/emulator/KernelAbi.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringRef.h"

#include <memory>

namespace llvm::orc {
class LLJIT;
}

namespace moec {

/// Code of a module that moec-emulate-gpu has lowered; lives as long as this does.
class EmulatedProgram {
public:
  static Result<std::unique_ptr<EmulatedProgram>> compile(mlir::ModuleOp module);
  ~EmulatedProgram();

  /// What was made of the gpu.module of that name.
  Result<const moec_emulated_module *> find(llvm::StringRef name);

private:
  EmulatedProgram();
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

} // namespace moec

#endif // MOEC_TOOLS_MOEEMULATE_JIT_H
