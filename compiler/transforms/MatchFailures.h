// Why patterns did not apply, as remarks.

#ifndef MOEC_COMPILER_TRANSFORMS_MATCHFAILURES_H
#define MOEC_COMPILER_TRANSFORMS_MATCHFAILURES_H

#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/SmallVector.h"

#include <string>

namespace moec {

/// Listens to a rewrite for what its patterns tell notifyMatchFailure().
class MatchFailures final : public mlir::RewriterBase::Listener {
public:
  void notifyMatchFailure(mlir::Location location,
                          llvm::function_ref<void(mlir::Diagnostic &)> reason) override;

  /// Remarks each reason once, in the order of the ops below `root` that they are about: what was
  /// replaced in the end is no failure.
  void remark(mlir::Operation *root) const;

private:
  struct Reason {
    mlir::Location location;
    std::string text;
  };
  llvm::SmallVector<Reason> reasons; ///< each once
};

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_MATCHFAILURES_H
