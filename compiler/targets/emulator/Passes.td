// The last lowering of the emulated device.

#ifndef MOEC_COMPILER_TARGETS_EMULATOR_PASSES_TD
#define MOEC_COMPILER_TARGETS_EMULATOR_PASSES_TD

include "mlir/Pass/PassBase.td"

def EmulateGpu : Pass<"moec-emulate-gpu", "::mlir::ModuleOp"> {
  let summary = "kernels of each gpu.module become functions of the host, which an emulator runs";
  let description = [{
    Expects what MLIR turns into PTX: `llvm.func`s of `llvm` and `nvvm` ops. Of each
    `gpu.module @NAME` a `moec_emulated_module` (see `runtime/emulator/KernelAbi.h`) with the symbol
    `moec_emulated_NAME` is left, whose kernels run one thread each. Special registers are read from
    the thread; accesses to memory are checked, and instructions that threads execute together are
    done, by calls of `runtime/emulator/emulator.def`. An op without an emulation is an error that
    names it; so is inline PTX that `InlinePtx.cpp` does not list.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let options = [Option<"checks", "checks", "bool", /*default=*/"true",
                        "check plain accesses to memory; without, they are made as they are">];
}

#endif // MOEC_COMPILER_TARGETS_EMULATOR_PASSES_TD
