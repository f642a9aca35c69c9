// Implements moec-check-llvm.

#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/Passes.h"
#include "compiler/lowering/RuntimeFunctions.h"

namespace moec {
#define GEN_PASS_DEF_CHECKLLVM
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

/// Whether it is a function of libm that nothing is expanded for: graphs have any, of f64 too.
static bool isMathFunction(StringRef name) {
  static constexpr StringRef kNames[] = {
      "acos",  "acosh", "asin",  "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
      "cos",   "cosh",  "erf",   "erfc",  "exp",  "exp2",  "expm1", "fabs", "floor",
      "fma",   "log",   "log10", "log1p", "log2", "pow",   "round", "rint", "roundeven",
      "rsqrt", "sin",   "sinh",  "sqrt",  "tan",  "tanh",  "trunc"};
  return llvm::is_contained(kNames, name) ||
         (name.consume_back("f") && llvm::is_contained(kNames, name));
}

namespace {
struct CheckLlvm final : moec::impl::CheckLlvmBase<CheckLlvm> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([&](Operation *op) {
      return succeeded(check(op)) ? WalkResult::advance() : WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }

private:
  static LogicalResult check(Operation *op) {
    if (isa<ModuleOp, gpu::GPUModuleOp>(op))
      return success();
    const bool onGpu = op->getParentOfType<gpu::GPUModuleOp>() != nullptr;
    if (!isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect()) &&
        !(onGpu && isa_and_nonnull<NVVM::NVVMDialect>(op->getDialect())))
      return op->emitOpError("is left after the emit stage");
    auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
    if (!function || function.getSymName().starts_with("llvm."))
      return success();
    if (onGpu && !function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      return op->emitOpError() << "'" << function.getSymName()
                               << "' is no kernel, and kernels call no functions";
    if (!onGpu && function.isExternal() && !isRuntimeFunction(function.getSymName()) &&
        !(op->getParentOp()->hasAttr(kGraphAttr) && isMathFunction(function.getSymName())))
      return op->emitOpError() << "declares '" << function.getSymName()
                               << "', which is not among the functions that compiled code may call";
    return success();
  }
};
} // namespace
