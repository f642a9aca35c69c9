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

namespace {

/// The object with the rope parameters, in either spelling; it may be missing.
class RopeObject {
public:
  explicit RopeObject(ConfigReader &read) : read(read), keys(read.object("rope_scaling")) {
    if (const json *parameters = read.object("rope_parameters")) {
      if (keys && *keys != *parameters)
        refuse(Code::Model, "and `rope_parameters` says something else");
      keys = parameters;
      name = "rope_parameters";
    }
  }

  explicit operator bool() const { return keys; }
  bool contains(std::string_view key) const { return keys->contains(key); }
  void refuse(Code code, const std::string &why) const { read.refuse(code, name, why); }

  /// The type by its name; none where no key says it.
  std::optional<std::string> kindName() const;
  /// Refuses keys that no type has.
  void checkKeys() const;
  /// A number that is given.
  std::optional<double> number(std::string_view key, double least, double most) const;
  bool boolean(std::string_view key, bool missing) const;

private:
  /// What is given under `key`; null where nothing is.
  const json *find(std::string_view key) const {
    auto value = keys ? keys->find(key) : json::const_iterator();
    return !keys || value == keys->end() || value->is_null() ? nullptr : &*value;
  }

  ConfigReader &read;
  const json *keys;
  std::string_view name = "rope_scaling";
};

} // namespace

std::optional<std::string> RopeObject::kindName() const {
  std::optional<std::string> kind;
  for (const char *key : {"type", "rope_type"})
    if (const json *value = find(key)) {
      if (!value->is_string())
        refuse(Code::Model, fmt::format("wanted `{}` to be a string", key));
      else if (kind && *value != *kind)
        refuse(Code::Model, "and its `type` and `rope_type` differ");
      else
        kind = value->get<std::string>();
    }
  return kind;
}

void RopeObject::checkKeys() const {
  for (const auto &[key, value] : keys->items())
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      refuse(Code::Unsupported, fmt::format("and its key {} is not supported", json(key).dump()));
}

std::optional<double> RopeObject::number(std::string_view key, double least, double most) const {
  const json *value = find(key);
  if (!value)
    return std::nullopt;
  if (value->is_number() && value->get<double>() >= least && value->get<double>() <= most)
    return value->get<double>();
  refuse(Code::Model, fmt::format("wanted `{}` to be a number from {} to {}", key, least, most));
  return std::nullopt;
}

bool RopeObject::boolean(std::string_view key, bool missing) const {
  const json *value = find(key);
  if (value && !value->is_boolean())
    refuse(Code::Model, fmt::format("wanted `{}` to be true or false", key));
  return value && value->is_boolean() ? value->get<bool>() : missing;
}

/// What all types have; `givenTheta` is what lies beside the object, 0 for none.
static void readKind(const RopeObject &object, double givenTheta, const RopeSupport &support,
                     RopeConfig &rope) {
  const std::optional<std::string> given = object.kindName();
  const std::string name = given.value_or("default");
  auto known = std::find_if(std::begin(kKinds), std::end(kKinds),
                            [&](const auto &entry) { return entry.name == name; });
  if (known != std::end(kKinds))
    rope.kind = known->kind;
  if (known == std::end(kKinds) ||
      std::find(support.kinds.begin(), support.kinds.end(), rope.kind) == support.kinds.end())
    object.refuse(
        Code::Unsupported,
        fmt::format("and rope type {} is not supported for this architecture", json(name).dump()));
  object.checkKeys();
  if (!given && object.contains("factor"))
    object.refuse(Code::Model, "wanted `rope_type` beside `factor`");
  std::optional<double> theta = object.number("rope_theta", 1.0, 1e15);
  if (theta && givenTheta && *theta != givenTheta)
    object.refuse(Code::Model,
                  fmt::format("and its `rope_theta` is not the {} beside it", givenTheta));
  rope.theta = theta.value_or(rope.theta);
  rope.partialRotaryFactor =
      object.number("partial_rotary_factor", 0.0, 1.0).value_or(rope.partialRotaryFactor);
}

/// What types other than the default have; the model has been trained for `positions`.
static void readScaling(const RopeObject &object, int64_t positions, RopeConfig &rope) {
  std::optional<double> factor = object.number("factor", 1e-3, 1e6);
  if (!factor)
    object.refuse(Code::Model, "wanted a number `factor`");
  rope.factor = factor.value_or(1.0);
  rope.originalPositions = static_cast<int64_t>(
      object.number("original_max_position_embeddings", 1, 0x1p40).value_or(double(positions)));
  if (rope.originalPositions == 0)
    object.refuse(Code::Model, "wanted `original_max_position_embeddings`");
  rope.lowFrequencyFactor = object.number("low_freq_factor", 1e-6, 1e6).value_or(1.0);
  rope.highFrequencyFactor = object.number("high_freq_factor", 1e-6, 1e6).value_or(4.0);
  if (rope.kind == RopeKind::Llama3 && rope.highFrequencyFactor < rope.lowFrequencyFactor)
    object.refuse(Code::Model, "wanted `high_freq_factor` no less than `low_freq_factor`");
  rope.betaFast = object.number("beta_fast", 1e-6, 1e6).value_or(32.0);
  rope.betaSlow = object.number("beta_slow", 1e-6, 1e6).value_or(1.0);
  rope.givenAttentionFactor = object.number("attention_factor", 0.0, 1e6);
  rope.mscale = object.number("mscale", 0.0, 1e6);
  rope.mscaleAllDimensions = object.number("mscale_all_dim", 0.0, 1e6);
  rope.truncate = object.boolean("truncate", rope.truncate);
}

RopeConfig moec::readRope(ConfigReader &read, double defaultTheta, const RopeSupport &support) {
  RopeConfig rope;
  const double givenTheta = read.number("rope_theta", 0.0, 1.0, 1e15); // 0: not given
  rope.theta = givenTheta ? givenTheta : defaultTheta;
  rope.partialRotaryFactor = read.number("partial_rotary_factor", 1.0, 0.0, 1.0);
  const int64_t positions = read.integer("max_position_embeddings", 0, 0, int64_t(1) << 40);
  const RopeObject object(read);
  if (object)
    readKind(object, givenTheta, support, rope);
  if (rope.partialRotaryFactor != 1.0 && !support.partial)
    read.fail(Code::Unsupported,
              fmt::format("{}: `partial_rotary_factor` is {}, which is not supported for this "
                          "architecture",
                          read.source().file(), rope.partialRotaryFactor));
  if (!object && support.missing) {
    const double theta = rope.theta;
    rope = *support.missing;
    rope.theta = theta;
    return rope;
  }
  if (rope.kind != RopeKind::Default)
    readScaling(object, positions, rope);
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
