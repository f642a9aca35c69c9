// Both spellings of the rope keys, and the frequencies of every type in single precision as the
// reference has them.

#include "frontends/checkpoint/RopeConfig.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace moec;
using nlohmann::json;

static constexpr struct {
  RopeKind kind;
  std::string_view name;
} kKinds[] = {{RopeKind::Default, "default"},
              {RopeKind::Linear, "linear"},
              {RopeKind::Dynamic, "dynamic"},
              {RopeKind::Yarn, "yarn"},
              {RopeKind::Llama3, "llama3"}};

/// Keys that one of the types has; a type does not mind those of another.
static constexpr std::string_view kKeys[] = {"rope_type",
                                             "type",
                                             "rope_theta",
                                             "factor",
                                             "original_max_position_embeddings",
                                             "low_freq_factor",
                                             "high_freq_factor",
                                             "beta_fast",
                                             "beta_slow",
                                             "truncate",
                                             "attention_factor",
                                             "mscale",
                                             "mscale_all_dim",
                                             "partial_rotary_factor",
                                             "finetuned"};

RopeConfig moec::readRope(ConfigReader &read, double defaultTheta, const RopeSupport &support) {
  RopeConfig rope;
  const double givenTheta = read.number("rope_theta", 0.0, 1.0, 1e15); // 0: not given
  rope.theta = givenTheta ? givenTheta : defaultTheta;
  rope.partialRotaryFactor = read.number("partial_rotary_factor", 1.0, 0.0, 1.0);
  int64_t positions = read.integer("max_position_embeddings", 0, 0, int64_t(1) << 40);

  const json *scaling = read.object("rope_scaling");
  std::string_view object = "rope_scaling";
  if (const json *parameters = read.object("rope_parameters")) {
    if (scaling && *scaling != *parameters)
      read.refuse(Code::Model, object, "and `rope_parameters` says something else");
    scaling = parameters;
    object = "rope_parameters";
  }
  auto number = [&](std::string_view key, double least, double most) -> std::optional<double> {
    auto value = scaling ? scaling->find(key) : json::const_iterator();
    if (!scaling || value == scaling->end() || value->is_null())
      return std::nullopt;
    if (value->is_number() && value->get<double>() >= least && value->get<double>() <= most)
      return value->get<double>();
    read.refuse(Code::Model, object,
                fmt::format("wanted `{}` to be a number from {} to {}", key, least, most));
    return std::nullopt;
  };

  if (scaling) {
    std::string name = "default";
    bool isNamed = false;
    for (const char *key : {"type", "rope_type"})
      if (auto value = scaling->find(key); value != scaling->end() && !value->is_null()) {
        if (!value->is_string())
          read.refuse(Code::Model, object, fmt::format("wanted `{}` to be a string", key));
        else if (isNamed && *value != name)
          read.refuse(Code::Model, object, "and its `type` and `rope_type` differ");
        else
          name = value->get<std::string>();
        isNamed = true;
      }
    auto known = std::find_if(std::begin(kKinds), std::end(kKinds),
                              [&](const auto &entry) { return entry.name == name; });
    if (known != std::end(kKinds))
      rope.kind = known->kind;
    if (known == std::end(kKinds) ||
        std::find(support.kinds.begin(), support.kinds.end(), rope.kind) == support.kinds.end())
      read.refuse(Code::Unsupported, object,
                  fmt::format("and rope type {} is not supported for this architecture",
                              json(name).dump()));
    for (const auto &[key, value] : scaling->items())
      if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
        read.refuse(Code::Unsupported, object,
                    fmt::format("and its key {} is not supported", json(key).dump()));
    if (!isNamed && scaling->contains("factor"))
      read.refuse(Code::Model, object, "wanted `rope_type` beside `factor`");
    std::optional<double> theta = number("rope_theta", 1.0, 1e15);
    if (theta && givenTheta && *theta != givenTheta)
      read.refuse(Code::Model, object,
                  fmt::format("and its `rope_theta` is not the {} beside it", givenTheta));
    rope.theta = theta.value_or(rope.theta);
    rope.partialRotaryFactor =
        number("partial_rotary_factor", 0.0, 1.0).value_or(rope.partialRotaryFactor);
  }
  if (rope.partialRotaryFactor != 1.0 && !support.partial)
    read.fail(Code::Unsupported,
              fmt::format("{}: `partial_rotary_factor` is {}, which is not supported for this "
                          "architecture",
                          read.source().file(), rope.partialRotaryFactor));
  if (!scaling && support.missing) {
    const double theta = rope.theta;
    rope = *support.missing;
    rope.theta = theta;
    return rope;
  }
  if (rope.kind == RopeKind::Default)
    return rope;

  std::optional<double> factor = number("factor", 1e-3, 1e6);
  if (!factor)
    read.refuse(Code::Model, object, "wanted a number `factor`");
  rope.factor = factor.value_or(1.0);
  rope.originalPositions = static_cast<int64_t>(
      number("original_max_position_embeddings", 1, 0x1p40).value_or(double(positions)));
  if (rope.originalPositions == 0)
    read.refuse(Code::Model, object, "wanted `original_max_position_embeddings`");
  rope.lowFrequencyFactor = number("low_freq_factor", 1e-6, 1e6).value_or(1.0);
  rope.highFrequencyFactor = number("high_freq_factor", 1e-6, 1e6).value_or(4.0);
  if (rope.kind == RopeKind::Llama3 && rope.highFrequencyFactor < rope.lowFrequencyFactor)
    read.refuse(Code::Model, object, "wanted `high_freq_factor` no less than `low_freq_factor`");
  rope.betaFast = number("beta_fast", 1e-6, 1e6).value_or(32.0);
  rope.betaSlow = number("beta_slow", 1e-6, 1e6).value_or(1.0);
  rope.givenAttentionFactor = number("attention_factor", 0.0, 1e6);
  rope.mscale = number("mscale", 0.0, 1e6);
  rope.mscaleAllDimensions = number("mscale_all_dim", 0.0, 1e6);
  if (auto value = scaling->find("truncate"); value != scaling->end() && !value->is_null()) {
    if (value->is_boolean())
      rope.truncate = value->get<bool>();
    else
      read.refuse(Code::Model, object, "wanted `truncate` to be true or false");
  }
  return rope;
}

std::vector<float> RopeConfig::inverseFrequencies(int64_t width) const {
  assert(kind != RopeKind::Dynamic && "dynamic frequencies depend on the length");
  size_t pairs = static_cast<size_t>(width / 2);
  std::vector<float> table(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    // The exponent is rounded to single precision before the power, as in the reference.
    float exponent = static_cast<float>(2 * i) / static_cast<float>(width);
    table[i] = 1.0f / static_cast<float>(std::pow(static_cast<double>(static_cast<float>(theta)),
                                                  static_cast<double>(exponent)));
  }
  constexpr double twoPi = 2.0 * std::numbers::pi;
  double positions = static_cast<double>(originalPositions);

  if (kind == RopeKind::Linear)
    for (float &frequency : table)
      frequency = static_cast<float>(frequency / factor);

  if (kind == RopeKind::Llama3)
    for (float &frequency : table) {
      double wavelength = twoPi / frequency;
      if (wavelength > positions / lowFrequencyFactor)
        frequency = static_cast<float>(frequency / factor);
      else if (wavelength > positions / highFrequencyFactor) { // no blending where both are equal
        double blend = (positions / wavelength - lowFrequencyFactor) /
                       (highFrequencyFactor - lowFrequencyFactor);
        frequency = static_cast<float>((1.0 - blend) * frequency / factor + blend * frequency);
      }
    }

  if (kind == RopeKind::Yarn) {
    auto correction = [&](double rotations) {
      return static_cast<double>(width) * std::log(positions / (rotations * twoPi)) /
             (2.0 * std::log(theta));
    };
    double low = correction(betaFast), high = correction(betaSlow);
    if (truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(width - 1));
    if (low == high)
      high += 0.001;
    for (size_t i = 0; i < pairs; ++i) {
      double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
      table[i] = static_cast<float>(ramp * table[i] / factor + (1.0 - ramp) * table[i]);
    }
  }
  return table;
}

double RopeConfig::attentionFactor() const {
  if (kind != RopeKind::Yarn)
    return 1.0;
  if (givenAttentionFactor)
    return *givenAttentionFactor;
  auto scale = [&](double weight) {
    return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
  };
  if (mscale.value_or(0.0) != 0.0 && mscaleAllDimensions.value_or(0.0) != 0.0)
    return scale(*mscale) / scale(*mscaleAllDimensions);
  return scale(1.0);
}
