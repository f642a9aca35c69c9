// Implements lm-leave-out-failed.

#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_LEAVEOUTFAILED
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {
struct LeaveOutFailed final : moec::impl::LeaveOutFailedBase<LeaveOutFailed> {
  void runOnOperation() override {
    func::FuncOp graph = getOperation();
    if (graph.getName() != kGraphName)
      return;
    Value failure;
    graph.walk([&](lm::GraphOutputOp output) {
      if (output.getName() == kFailureName)
        failure = output.getValue();
    });
    if (!failure)
      return;
    bool mayHaveFailed = false;
    for (auto phase : graph.getBody().getOps<lm::PhaseOp>()) {
      const bool checks = isUsedIn(failure, phase);
      if (mayHaveFailed)
        leaveOut(phase, failure);
      mayHaveFailed |= checks;
    }
  }

private:
  static bool isUsedIn(Value value, Operation *phase) {
    return llvm::any_of(value.getUsers(),
                        [&](Operation *user) { return phase->isProperAncestor(user); });
  }

  static void leaveOut(lm::PhaseOp phase, Value failure) {
    Block &body = phase.getBody().front();
    OpBuilder builder = OpBuilder::atBlockBegin(&body);
    Location loc = phase.getLoc();
    Value told = memref::LoadOp::create(builder, loc, failure);
    Value none = arith::ConstantIntOp::create(builder, loc, 0, 64);
    Value isWell = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, told, none);
    auto branch = scf::IfOp::create(builder, loc, isWell);
    branch.thenBlock()->getOperations().splice(branch.thenBlock()->begin(), body.getOperations(),
                                               std::next(branch->getIterator()), body.end());
  }
};
} // namespace
