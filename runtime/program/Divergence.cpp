// Sums over a vocabulary, in double precision and in one order.

#include "runtime/program/Divergence.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace moec {

/// `distance` is not negative. To nearest, ties to even; infinite where it is too large.
static uint16_t toHalf(float distance) {
  constexpr float least = 0x1p-14f; // of the numbers with an exponent
  if (!(distance < 65520))
    return 0x7c00;
  if (distance < least) // the sum's last bit is worth the least half there is
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(distance + 0.5f) -
                                 std::bit_cast<uint32_t>(0.5f));
  uint32_t bits = std::bit_cast<uint32_t>(distance) - (UINT32_C(112) << 23);
  return static_cast<uint16_t>((bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

/// Minus what was rounded. An infinite distance becomes one of 65536, which is as good.
static float relativeLogit(uint16_t half) {
  return std::bit_cast<float>(static_cast<uint32_t>(half & 0x7fff) << 13) * -0x1p112f;
}

void roundLogits(std::span<const float> logits, uint16_t *halves) {
  float most = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    uint16_t half = toHalf(most - logits[i]);
    halves[i] = half ? half | 0x8000 : 0;
  }
}

bool areRoundedLogits(std::span<const uint16_t> halves) {
  bool hasTop = false;
  for (uint16_t half : halves) {
    if (half != 0 && (half <= 0x8000 || half > 0xfc00))
      return false;
    hasTop |= half == 0;
  }
  return hasTop;
}

double lossOf(std::span<const float> logits, int32_t token) {
  double most = *std::max_element(logits.begin(), logits.end()), sum = 0;
  for (float logit : logits)
    sum += std::exp(logit - most);
  return std::log(sum) - (logits[token] - most);
}

double divergenceOf(std::span<const uint16_t> base, std::span<const float> logits) {
  double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0, baseSum = 0, difference = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    double relative = logits[i] - most, baseRelative = relativeLogit(base[i]);
    double weight = std::exp(baseRelative);
    sum += std::exp(relative);
    baseSum += weight;
    difference += weight * (baseRelative - relative);
  }
  double divergence = difference / baseSum - std::log(baseSum) + std::log(sum);
  return divergence < 0 ? 0 : divergence; // of two that agree, rounding is left
}

bool agreeOnTop(std::span<const uint16_t> base, std::span<const float> logits) {
  auto top = std::max_element(logits.begin(), logits.end()) - logits.begin();
  return std::find(base.begin(), base.end(), 0) - base.begin() == top;
}

Mean meanOf(std::span<const double> values) {
  double count = static_cast<double>(values.size());
  Mean mean;
  for (double value : values)
    mean.value += value / count;
  for (double value : values)
    mean.error += (value - mean.value) * (value - mean.value);
  mean.error = std::sqrt(mean.error / count / (count - 1));
  return mean;
}

double quantileOf(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  double place = share * static_cast<double>(values.size() - 1);
  size_t below = static_cast<size_t>(place), above = std::min(below + 1, values.size() - 1);
  double part = place - static_cast<double>(below);
  return values[below] * (1 - part) + values[above] * part;
}

} // namespace moec
