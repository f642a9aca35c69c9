// Proves that a tensor is what a layer of experts gives.

#ifndef MOEC_COMPILER_TRANSFORMS_EXPERTLAYERMATCH_H
#define MOEC_COMPILER_TRANSFORMS_EXPERTLAYERMATCH_H

#include "compiler/transforms/ExpertFunction.h"
#include "dialects/linalg_ext/LinalgExtDialect.h"

#include <vector>

namespace moec {

/// A layer: for each token the sum over its picks of weight times function.
struct MatchedExperts {
  std::vector<ExpertFunction> functions; ///< of each expert, or one that stands for all
  int64_t experts = 0;
  Expr weight = nullptr; ///< of pick `slot` of a token
  Expr slot = nullptr;
  mlir::Value tokens; ///< its rows are those of the result
  mlir::Value addend; ///< what the sum is added to, row by row; null: nothing
};

/// What a proof failed at.
struct MatchFailure {
  std::string reason;
  /// Whether what was looked at chooses among experts, so that somebody may want to know.
  bool isLayer = false;
  unsigned progress = 0; ///< how much was proved before
};

/// Whether `result` is a layer of experts that `choice` chooses.
std::optional<MatchedExperts> matchExperts(TensorElements &elements, linalg_ext::TopKOp choice,
                                           mlir::Value result, MatchFailure &failure);

/// The indices of loops over the dimensions of `tensor`, which are no folds'.
llvm::SmallVector<Expr> loopsOver(TensorElements &elements, mlir::Value tensor);

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_EXPERTLAYERMATCH_H
