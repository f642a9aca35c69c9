// Scales by search, codes by rounding: loops over a group that compilers turn into vector code.

#include "compiler/emit/Quantizer.h"

#include "compiler/emit/PanelCopy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

using namespace moec;

/// A group's values while its scale is chosen by a search; those of 8 bits may be more, and take
/// the largest magnitude.
static constexpr size_t kGroup = kQuantChunk;

/// 1.5 * 2^23: added and taken away again, it leaves the nearest integer, ties to even, of
/// magnitudes below 2^22.
static constexpr float kToInteger = 12582912.0f;

/// Of floats of 8 bits, the code of the largest, 448, and the least that is not subnormal, 2^-6, as
/// bits of f32.
static constexpr uint32_t kMostFloat8 = 0x7e, kLeastNormal8 = 121u << 23;

static inline float roundToInteger(float value) { return (value + kToInteger) - kToInteger; }

/// The nearest value within [low, high]; `low` of a NaN.
static inline float clamp(float value, float low, float high) {
  return std::min(high, std::max(low, value));
}

/// Of finite values; NaN or infinite where one of them is.
MOEC_WIDE static float largestMagnitude(const float *values, size_t count) {
  uint32_t most = 0; // of numbers without a sign, bits compare as the numbers do, NaNs above all
  for (size_t i = 0; i < count; ++i)
    most = std::max(most, std::bit_cast<uint32_t>(values[i]) & 0x7fffffff);
  return std::bit_cast<float>(most);
}

static uint16_t toHalf(float value) {
  uint16_t half;
  convertElements(reinterpret_cast<const uint8_t *>(&value), DataType::F32,
                  reinterpret_cast<uint8_t *>(&half), PackedElement::F16, 1);
  return half;
}

static float fromHalf(uint16_t half) {
  float value;
  convertElements(reinterpret_cast<const uint8_t *>(&half), DataType::F16,
                  reinterpret_cast<uint8_t *>(&value), PackedElement::F32, 1);
  return value;
}

/// 1 / scale; 0 where that is no number, or the scale is none.
static float inverseOf(float scale) { return std::isfinite(1 / scale) ? 1 / scale : 0; }

/// codes[i] = value / scale + zero, rounded, within [low, high].
MOEC_WIDE static void encode(const float *values, size_t count, float scale, float zero, float low,
                             float high, uint8_t *codes) {
  const float inverse = inverseOf(scale);
  for (size_t i = 0; i < count; ++i)
    codes[i] = static_cast<uint8_t>(
        static_cast<int32_t>(clamp(roundToInteger(values[i] * inverse + zero), low, high)));
}

// Searches --------------------------------------------------------------------------------------

namespace {

/// Sums over a group for codes q of some scale: of value * q and of q * q.
struct Fit {
  float cross = 0, square = 0;

  /// How much of the group's energy the best scale for these codes accounts for.
  float gain() const { return square > 0 ? cross * cross / square : 0; }
  float scale() const { return square > 0 ? cross / square : 0; }
};

} // namespace

typedef float EightFloats __attribute__((vector_size(32)));

MOEC_WIDE static Fit fitCodes(const float *values, float inverse, float zero, float low,
                              float high) {
  // Sums side by side, since a compiler may not reorder one sum.
  EightFloats cross = {}, square = {};
  for (size_t begin = 0; begin < kGroup; begin += 8) {
    EightFloats value;
    std::memcpy(&value, values + begin, sizeof value);
    EightFloats q = (value * inverse + zero + kToInteger) - kToInteger;
    q = q > low ? q : EightFloats{} + low;
    q = (q < high ? q : EightFloats{} + high) - zero;
    cross += value * q;
    square += q * q;
  }
  float crossSum = 0, squareSum = 0;
  for (size_t i = 0; i < 8; ++i) {
    crossSum += cross[i];
    squareSum += square[i];
  }
  return {crossSum, squareSum};
}

/// The scale of signed codes from -half to half - 1 with the best fit, of those that make the
/// largest magnitude about -half or about half: tried far apart first, then closer around the best.
static float findSymmetricScale(const float *values, float half) {
  const float most = largestMagnitude(values, kGroup);
  if (!(most > 0) || !std::isfinite(most))
    return most;
  Fit best;
  float bestEnd = 0;
  auto attempt = [&](float end) {
    const Fit fit = fitCodes(values, end / most, 0, -half, half - 1);
    if (fit.gain() > best.gain()) {
      best = fit;
      bestEnd = end;
    }
  };
  for (float beyond : {1.0f, 0.25f, -0.5f, -1.25f})
    for (float sign : {-1.0f, 1.0f})
      attempt(sign * (half + beyond));
  for (float step : {0.375f, 0.1875f})
    for (float end : {bestEnd - step, bestEnd + step})
      attempt(end);
  return best.scale();
}

/// Scale and zero, in sixteenths, of codes from 0 to 15: those of the least and the largest value,
/// drawn in a little, with the best fit.
static std::pair<float, uint8_t> findAsymmetricScale(const float *values) {
  const float most = largestMagnitude(values, kGroup);
  if (!(most > 0) || !std::isfinite(most))
    return {most, 0};
  float low = 0, high = 0;
  for (size_t i = 0; i < kGroup; ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  Fit best;
  float bestZero = 0;
  for (float drawLow = 0.7f; drawLow < 1.05f; drawLow += 0.1f)
    for (float drawHigh = 0.7f; drawHigh < 1.05f; drawHigh += 0.1f) {
      const float step = (high * drawHigh - low * drawLow) / 15;
      const float zero =
          clamp(roundToInteger(-low * drawLow / step * kZeroSteps), 0, 255) / kZeroSteps;
      const Fit fit = fitCodes(values, 1 / step, zero, 0, 15);
      if (fit.gain() > best.gain()) {
        best = fit;
        bestZero = zero;
      }
    }
  return {best.scale(), static_cast<uint8_t>(bestZero * kZeroSteps)};
}

/// Codes of floats of 4 bits whose doubled values are in units of 2^(exponent - 128).
MOEC_WIDE static void encodeFloats(const float *values, uint8_t exponent, uint8_t *codes) {
  const float inverse = std::ldexp(1.0f, 128 - exponent);
  for (size_t i = 0; i < kGroup; ++i) {
    const float v = std::fabs(values[i]) * inverse;
    // Midway between two values the code that is even.
    const int code =
        (v > 0.5f) + (v >= 1.5f) + (v > 2.5f) + (v >= 3.5f) + (v > 5) + (v >= 7) + (v > 10);
    codes[i] = static_cast<uint8_t>(code + (values[i] < 0 ? 8 : 0));
  }
}

/// The exponent that leaves the largest magnitude within the values, or the one below, which cuts
/// it off, whichever has the lesser error.
static uint8_t findExponent(const float *values) {
  const float most = largestMagnitude(values, kGroup);
  if (!std::isfinite(most))
    return 255;
  if (most == 0)
    return 0;
  // Magnitudes are up to 12 units.
  const int above = static_cast<int>(std::ceil(std::log2(most / 12))) + 128;
  uint8_t best = 0;
  float least = std::numeric_limits<float>::infinity();
  for (int exponent : {above, above - 1}) {
    const auto tried = static_cast<uint8_t>(std::clamp(exponent, 1, 254));
    std::array<uint8_t, kGroup> codes;
    encodeFloats(values, tried, codes.data());
    const float unit = std::ldexp(1.0f, tried - 128);
    float error = 0;
    for (size_t i = 0; i < kGroup; ++i) {
      const float difference =
          std::fabs(values[i]) - static_cast<float>(doubledFloat4(codes[i] & 7)) * unit;
      error += difference * difference;
    }
    if (error < least) {
      least = error;
      best = tried;
    }
  }
  return best;
}

/// The nearest floats of 8 bits to value / scale, ties to even, of magnitudes up to 448.
MOEC_WIDE static void encodeFloats8(const float *values, size_t count, float scale,
                                    uint8_t *codes) {
  const float inverse = inverseOf(scale);
  for (size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i] * inverse), rest = bits & 0x7fffffff;
    // All but three bits of the mantissa are rounded off, a carry walks into the exponent, whose
    // bias is 7 in place of 127. Below 2^-6 codes count in steps of 2^-9.
    const uint32_t normal = ((rest + 0x7ffff + (rest >> 20 & 1)) >> 20) - (120 << 3);
    const auto small = static_cast<uint32_t>(static_cast<int32_t>(
        roundToInteger(std::bit_cast<float>(rest < kLeastNormal8 ? rest : kLeastNormal8) * 512)));
    const uint32_t code = rest < kLeastNormal8 ? small : std::min(normal, kMostFloat8);
    codes[i] = static_cast<uint8_t>((bits >> 24 & 0x80) | code);
  }
}

// Rows and panels -------------------------------------------------------------------------------

/// Codes of a chunk in the words of its format.
static void packCodes(const QuantTraits &traits, const uint8_t *codes, uint8_t *words) {
  if (traits.bits == 8) {
    std::memcpy(words, codes, kGroup);
    return;
  }
  const auto above = static_cast<size_t>(quantBitsAbove(traits.format));
  std::fill_n(words, 4 * quantChunkWords(traits.format), uint8_t(0));
  uint8_t *high = words + 4 * quantLowWords(traits.format);
  for (size_t quad = 0; quad < kGroup / 4; ++quad)
    for (size_t byte = 0; byte < 4; ++byte) {
      const unsigned code = codes[4 * quad + byte], bit = static_cast<unsigned>(quad * above);
      words[quad / 2 * 4 + byte] |= static_cast<uint8_t>((code & 15) << (quad % 2 * 4));
      if (above > 0)
        high[bit / 8 * 4 + byte] |= static_cast<uint8_t>(code >> 4 << bit % 8);
    }
}

/// Quantises a group of floats of 8 bits, of `count` values; codes of zero make the words whole.
static float quantizeFloats8(const float *values, size_t count, uint8_t *words) {
  const float scale = largestMagnitude(values, count) / 448;
  encodeFloats8(values, count, scale, words);
  std::fill_n(words + count, -count % 4, uint8_t(0));
  return scale;
}

/// Quantises a group of integers of 8 bits, of `count` values.
static uint16_t quantizeBytes(const QuantTraits &traits, const float *values, size_t count,
                              size_t group, uint8_t *words) {
  const uint16_t half = toHalf(largestMagnitude(values, count) / 127);
  for (size_t chunk = 0; chunk < group; chunk += kGroup) {
    std::array<uint8_t, kGroup> codes;
    codes.fill(static_cast<uint8_t>(traits.zero));
    if (chunk < count) // as many codes below zero as above
      encode(values + chunk, std::min(kGroup, count - chunk), fromHalf(half),
             static_cast<float>(traits.zero), 1, 255, codes.data());
    packCodes(traits, codes.data(), words + chunk);
  }
  return half;
}

void moec::quantizeRow(QuantFormat format, const float *row, size_t columns,
                       const QuantizedRow &out) {
  const QuantTraits &traits = traitsOf(format);
  const auto group = static_cast<size_t>(quantGroup(format, static_cast<int64_t>(columns)));
  for (size_t begin = 0, number = 0; begin < columns; begin += group, ++number) {
    const size_t count = std::min(group, columns - begin);
    uint8_t *words = out.words + begin * static_cast<size_t>(traits.bits) / 8;
    auto setScale = [&](auto scale) {
      static_assert(std::endian::native == std::endian::little);
      std::memcpy(out.scales + number * static_cast<size_t>(quantScaleBytes(format)), &scale,
                  sizeof scale);
    };
    if (traits.codes == QuantCodes::Floats8) {
      setScale(quantizeFloats8(row + begin, count, words));
      continue;
    }
    if (traits.bits == 8) {
      setScale(quantizeBytes(traits, row + begin, count, group, words));
      continue;
    }
    std::array<float, kGroup> values = {};
    std::copy_n(row + begin, count, values.begin());
    std::array<uint8_t, kGroup> codes;
    if (traits.codes == QuantCodes::Floats4) {
      const uint8_t exponent = findExponent(values.data());
      setScale(exponent);
      encodeFloats(values.data(), exponent, codes.data());
    } else if (traits.hasZeros) {
      const auto [found, steps] = findAsymmetricScale(values.data());
      const uint16_t scale = toHalf(found);
      setScale(scale);
      out.zeros[number] = steps;
      encode(values.data(), kGroup, fromHalf(scale), static_cast<float>(steps) / kZeroSteps, 0, 15,
             codes.data());
    } else {
      const auto half = static_cast<float>(traits.zero);
      const uint16_t scale = toHalf(findSymmetricScale(values.data(), half));
      setScale(scale);
      encode(values.data(), kGroup, fromHalf(scale), half, 0, 2 * half - 1, codes.data());
    }
    packCodes(traits, codes.data(), words);
  }
}

/// Makes of each line of `width` words one of their low halves, and then one of their high ones.
static void splitWords(uint8_t *words, size_t width, size_t lines) {
  std::array<uint16_t, 2 * kPanelColumns> line;
  const size_t bytes = 4 * width;
  for (size_t number = 0; number < lines; ++number, words += bytes) {
    std::memcpy(line.data(), words, bytes);
    for (size_t half = 0; half < 2; ++half)
      for (size_t n = 0; n < width; ++n)
        std::memcpy(words + 2 * (half * width + n), &line[2 * n + half], 2);
  }
}

void moec::layOutQuantizedPanel(QuantFormat format, size_t columns, const QuantizedRow *rows,
                                size_t width, uint8_t *words, uint8_t *out) {
  const auto depth = static_cast<int64_t>(columns);
  const auto groups = static_cast<size_t>(quantGroups(format, depth));
  const auto codeBytes = static_cast<size_t>(quantCodeBytes(format, depth));
  const auto rowCodeBytes = static_cast<size_t>(quantRowCodeBytes(format, depth));
  const QuantTraits &traits = traitsOf(format);
  // A scale that 16 rows share is there for every four of them.
  const size_t rowsPerScale = traits.scaleRows > 1 ? 4 : 1;
  const size_t scaleBytes = rowsPerScale * static_cast<size_t>(quantScaleBytes(format));
  std::array<const uint8_t *, kPanelColumns> pointers;
  for (size_t n = 0; n < width; ++n)
    pointers[n] = rows[n].words;
  transposeWords(pointers.data(), width, rowCodeBytes / 4, words);
  if (traits.codes == QuantCodes::Floats8)
    splitWords(words, width, rowCodeBytes / 4);
  for (size_t group = 0; group < groups; ++group) {
    const size_t begin = group * codeBytes, bytes = std::min(codeBytes, rowCodeBytes - begin);
    out = std::copy_n(words + begin * width, bytes * width, out);
    for (size_t n = 0; n < width; n += rowsPerScale)
      out = std::copy_n(rows[n].scales + group * scaleBytes, scaleBytes, out);
    for (size_t n = 0; traits.hasZeros && n < width; ++n)
      *out++ = rows[n].zeros[group];
  }
}
