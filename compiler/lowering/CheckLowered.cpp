// Implements moec-check-lowered.

#include "compiler/lowering/Passes.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

namespace moec {
#define GEN_PASS_DEF_CHECKLOWERED
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {
struct CheckLowered final : moec::impl::CheckLoweredBase<CheckLowered> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([&](Operation *op) {
      if (isa_and_nonnull<lm::LmDialect, moe::MoeDialect>(op->getDialect()))
        return op->emitOpError("is left after the lower stage"), WalkResult::interrupt();
      auto function = dyn_cast<func::FuncOp>(op);
      if (function && llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<lm::BatchType>))
        return op->emitOpError("takes a batch after the lower stage, which knows a pointer only"),
               WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
