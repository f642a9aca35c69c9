// What a router is whose choice of experts is known: scores, and weights of the picks.

#ifndef MOEC_COMPILER_TRANSFORMS_ROUTERMATCH_H
#define MOEC_COMPILER_TRANSFORMS_ROUTERMATCH_H

#include "compiler/transforms/ExpertLayerMatch.h"
#include "dialects/moe/MoeDialect.h"

namespace moec {

/// A router as moe.score and moe.route have it, or one that only computes the weights itself.
struct MatchedRouter {
  mlir::Value logits;
  moe::ScoreFunction function = moe::ScoreFunction::None;
  moe::Weighing weighing = moe::Weighing::AsIs;
  double epsilon = 0, scale = 1;
  mlir::Value weights; ///< of tokens by picks; set where they are kept as they are
};

/// Reads the weights of `layer`. `tokens` are the loops over tokens.
std::optional<MatchedRouter> matchRouter(TensorElements &elements, linalg_ext::TopKOp choice,
                                         const MatchedExperts &layer, llvm::ArrayRef<Expr> tokens,
                                         MatchFailure &failure);

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_ROUTERMATCH_H
