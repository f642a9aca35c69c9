// Implements moec-check-llvm.

#include "compiler/lowering/Passes.h"
#include "compiler/lowering/RuntimeFunctions.h"

namespace moec {
#define GEN_PASS_DEF_CHECKLLVM
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {
struct CheckLlvm final : moec::impl::CheckLlvmBase<CheckLlvm> {
  void runOnOperation() override {
    WalkResult result =
        getOperation().walk([&](Operation *op) {
          if (isa<ModuleOp>(op))
            return WalkResult::advance();
          if (!isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect()))
            return op->emitOpError("is left after the emit stage"), WalkResult::interrupt();
          if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
              function && function.isExternal() && !isRuntimeFunction(function.getSymName()) &&
              !function.getSymName().starts_with("llvm."))
            return op->emitOpError()
                       << "declares '" << function.getSymName()
                       << "', which is not among the functions that compiled code may call",
                   WalkResult::interrupt();
          return WalkResult::advance();
        });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
