// What logits say of the token that follows, and how far two programs disagree about it.

#ifndef MOEC_RUNTIME_PROGRAM_DIVERGENCE_H
#define MOEC_RUNTIME_PROGRAM_DIVERGENCE_H

#include <cstdint>
#include <span>
#include <vector>

namespace moec {

/// How far each logit lies below the largest, as f16: 0x8000 is set in all but zeros. A distance is
/// rounded by at most a 4096th of itself. That makes the divergence of a program from itself some
/// 1e-7 instead of nothing, and no token's loss is computed from it.
void roundLogits(std::span<const float> logits, uint16_t *halves);
/// Whether `roundLogits` can have written these.
bool areRoundedLogits(std::span<const uint16_t> halves);

/// Minus the natural logarithm of the probability of `token`; not finite where a logit is not.
double lossOf(std::span<const float> logits, int32_t token);

/// The Kullback-Leibler divergence (base || this) in nats; `base` is as `roundLogits` writes it.
double divergenceOf(std::span<const uint16_t> base, std::span<const float> logits);

/// Whether both have the same likeliest token; of equal ones the lowest counts.
bool agreeOnTop(std::span<const uint16_t> base, std::span<const float> logits);

/// The mean of some values, at least two, and its standard error.
struct Mean {
  double value = 0, error = 0;
};
Mean meanOf(std::span<const double> values);

/// What that share of `values` does not exceed, between neighbours in proportion.
double quantileOf(std::vector<double> values, double share);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_DIVERGENCE_H
