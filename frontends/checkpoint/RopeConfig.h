// How a model rotates queries and keys: theta, scaling and the table of frequencies they give.

#ifndef MOEC_FRONTENDS_CHECKPOINT_ROPECONFIG_H
#define MOEC_FRONTENDS_CHECKPOINT_ROPECONFIG_H

#include "frontends/checkpoint/Config.h"

#include <optional>
#include <string_view>
#include <vector>

namespace moec {

enum class RopeKind { Default, Linear, Dynamic, Yarn, Llama3 };

/// Rope parameters in one form, whichever spelling they came in.
struct RopeConfig {
  RopeKind kind = RopeKind::Default;
  double theta = 10000.0;
  double factor = 1.0;              ///< linear, dynamic, yarn, llama3
  int64_t originalPositions = 0;    ///< yarn, llama3: positions before scaling
  double lowFrequencyFactor = 1.0;  ///< llama3
  double highFrequencyFactor = 4.0; ///< llama3
  double betaFast = 32.0;           ///< yarn
  double betaSlow = 1.0;            ///< yarn
  bool truncate = true;             ///< yarn: bounds of the ramp rounded outwards
  std::optional<double> givenAttentionFactor = {}, mscale = {}, mscaleAllDimensions = {}; ///< yarn
  double partialRotaryFactor = 1.0; ///< part of a head that is rotated

  /// One frequency per pair, `width / 2` in all, as the reference computes them. Not for Dynamic,
  /// whose frequencies depend on the length.
  std::vector<float> inverseFrequencies(int64_t width) const;
  /// What cosine and sine are multiplied by: 1 but for yarn.
  double attentionFactor() const;
};

/// What an architecture's compiler can do.
struct RopeSupport {
  std::vector<RopeKind> kinds = {RopeKind::Default};
  bool partial = false;                   ///< heads that are rotated in part
  std::optional<RopeConfig> missing = {}; ///< what a config without rope parameters means
};

/// Reads `rope_theta` with `rope_scaling`, or `rope_parameters`, and `partial_rotary_factor`; a
/// missing theta is `defaultTheta`. What is not in `support`, and keys that no type has, are
/// recorded as Code::Unsupported.
RopeConfig readRope(ConfigReader &read, double defaultTheta, const RopeSupport &support = {});

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_ROPECONFIG_H
