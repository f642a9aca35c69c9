// What one expert makes of a token, read off the expression of an element of its result.

#ifndef MOEC_COMPILER_TRANSFORMS_EXPERTFUNCTION_H
#define MOEC_COMPILER_TRANSFORMS_EXPERTFUNCTION_H

#include "compiler/analysis/TensorElements.h"
#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include <optional>
#include <string>

namespace moec {

/// Where an expert has a matrix or a bias.
struct WeightPlace {
  lm::TensorOp tensor;
  bool isStacked = false; ///< one tensor for all experts, with the expert's id first
  bool isTransposed = false;
  int64_t firstRow = 0, rowStep = 1;

  /// Whether both lie alike; the tensors of two experts need not be one unless they are stacked.
  bool isLike(const WeightPlace &other) const;
};

/// `kind` of the gate where there is one, else of the up product.
struct ExpertActivation {
  moe::ActivationKind kind = moe::ActivationKind::Identity;
  double limit = 0; ///< 0: none
  double slope = 1, shift = 0;

  bool operator==(const ExpertActivation &) const = default;
};

/// down(activation(gate x, up x)), with biases.
struct ExpertFunction {
  Expr input = nullptr; ///< x, at `inputColumn`
  Expr inputColumn = nullptr;
  int64_t width = 0; ///< of what the activation gives
  std::optional<WeightPlace> gate;
  WeightPlace up, down;
  std::optional<WeightPlace> gateBias, upBias, downBias;
  ExpertActivation activation;

  /// Whether each weight is one tensor for all experts.
  bool isStacked() const;
  /// What differs, if it is not the same function but for the tensors of its weights; else empty.
  std::string differenceFrom(const ExpertFunction &other) const;
};

/// Reads `result`, the element of row `row` of what expert `id` gives, which is a number or the
/// expression of the id. On failure `reason` says what it is not.
std::optional<ExpertFunction> matchExpertFunction(TensorElements &elements, Expr result, Expr row,
                                                  Expr id, int64_t experts, std::string &reason);

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_EXPERTFUNCTION_H
