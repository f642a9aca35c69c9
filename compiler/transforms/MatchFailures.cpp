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
  llvm::SmallDenseSet<Location> left;
  root->walk([&](Operation *op) { left.insert(op->getLoc()); });
  for (const Reason &reason : reasons)
    if (left.contains(reason.location))
      emitRemark(reason.location) << reason.text;
}
