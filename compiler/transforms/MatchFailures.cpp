// Collects the reasons of patterns, and says those that still hold.

#include "compiler/transforms/MatchFailures.h"

using namespace mlir;
using namespace moec;

void MatchFailures::notifyMatchFailure(Location location,
                                       llvm::function_ref<void(Diagnostic &)> reason) {
  Diagnostic text(location, DiagnosticSeverity::Remark);
  reason(text);
  if (llvm::none_of(reasons, [&](const Reason &other) {
        return other.location == location && other.text == text.str();
      }))
    reasons.push_back({location, text.str()});
}

void MatchFailures::remark(Operation *root) const {
  SmallVector<const Reason *> unsaid(llvm::make_pointer_range(reasons));
  root->walk([&](Operation *op) {
    llvm::erase_if(unsaid, [&](const Reason *reason) {
      if (reason->location != op->getLoc())
        return false;
      emitRemark(reason->location) << reason->text;
      return true;
    });
  });
}
