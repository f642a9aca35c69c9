// What passes and the report ask of products, and of others that read weights.

#ifndef MOEC_COMPILER_ANALYSIS_PRODUCTKINDS_H
#define MOEC_COMPILER_ANALYSIS_PRODUCTKINDS_H

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"

#include <optional>
#include <string>
#include <vector>

namespace moec {

/// Whether a product makes the logits that choose experts, which are computed from f32 throughout.
inline bool isRouter(lm::LinearOp linear) {
  return llvm::any_of(linear->getUsers(), llvm::IsaPred<moe::ScoreOp>);
}

/// Whether a product may become one with others of the same rows, as far as its own kind goes.
inline bool mayJoinOthers(lm::LinearOp linear) {
  return !linear.getAccumulate() && !isRouter(linear);
}

/// What users call weights when they choose a format for them.
enum class WeightClass {
  Experts,
  Attention,
  Dense, ///< of layers without experts, and shared experts that are no experts of their layer
  Head,
  Embedding, ///< a table whose rows are read, not multiplied
};

/// The class of the weights that `op` reads; none for routers and gates, which are small and decide
/// much, and for other ops. Norms and biases always stay as they are.
std::optional<WeightClass> weightClassOf(mlir::Operation *op);

/// The names of weights that are multiplied head by head, in the order of the module. They are of
/// attention, and of no class.
std::vector<std::string> headWeights(mlir::ModuleOp module);

/// The rows that a product multiplies with weights; null for what is no product.
mlir::OpOperand *productInput(mlir::Operation *op);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_PRODUCTKINDS_H
