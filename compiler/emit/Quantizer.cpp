// Scales by search, codes by rounding: loops over a group that compilers turn into vector code.

#include "compiler/emit/Quantizer.h"

#include "compiler/emit/PanelCopy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

using namespace moec;

/// A group's values while its scale is chosen; those of int8_channel are as long as a row, and take
/// the largest magnitude without a search.
static constexpr size_t kGroup = kQuantChunk;

/// 1.5 * 2^23: added and taken away again, it leaves the nearest integer, ties to even, of
/// magnitudes below 2^22.
static constexpr float kToInteger = 12582912.0f;

static inline float roundToInteger(float value) { return (value + kToInteger) - kToInteger; }

static inline float clamp(float value, float low, float high) {
  return std::min(std::max(value, low), high);
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

/// codes[i] = value / scale + zero, rounded, within [low, high].
MOEC_WIDE static void encode(const float *values, size_t count, float scale, float zero, float low,
                             float high, uint8_t *codes) {
  const float inverse = scale != 0 && std::isfinite(scale) ? 1 / scale : 0;
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

typedef float Floats8 __attribute__((vector_size(32)));

MOEC_WIDE static Fit fitCodes(const float *values, float inverse, float zero, float low,
                              float high) {
  // Sums side by side, since a compiler may not reorder one sum.
  Floats8 cross = {}, square = {};
  for (size_t begin = 0; begin < kGroup; begin += 8) {
    Floats8 value;
    std::memcpy(&value, values + begin, sizeof value);
    Floats8 q = (value * inverse + zero + kToInteger) - kToInteger;
    q = q > low ? q : Floats8{} + low;
    q = (q < high ? q : Floats8{} + high) - zero;
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

/// The scale of signed codes from -8 to 7: that of the largest magnitude, on either side and
/// stretched a little, with the best fit.
static float findSymmetricScale(const float *values) {
  const float most = largestMagnitude(values, kGroup);
  if (!(most > 0) || !std::isfinite(most))
    return most;
  Fit best;
  for (float end = 6.4f; end < 9.3f; end += 0.25f)
    for (float sign : {1.0f, -1.0f}) {
      const Fit fit = fitCodes(values, sign * end / most, 0, -8, 7);
      if (fit.gain() > best.gain())
        best = fit;
    }
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

// Rows and panels -------------------------------------------------------------------------------

void moec::quantizeRow(QuantFormat format, const float *row, size_t columns,
                       const QuantizedRow &out) {
  const QuantTraits &traits = traitsOf(format);
  const auto group = static_cast<size_t>(quantGroup(format, static_cast<int64_t>(columns)));
  std::array<float, kGroup> padded;
  std::array<uint8_t, kGroup> codes;
  for (size_t begin = 0, number = 0; begin < columns; begin += group, ++number) {
    const size_t end = std::min(begin + group, columns);
    uint8_t zeroCode = static_cast<uint8_t>(traits.zero);
    float scale, zero = static_cast<float>(traits.zero);
    float low = 1, high = 255; // of 8 bits: as many below zero as above
    if (traits.bits == 8) {
      scale = largestMagnitude(row + begin, end - begin) / 127;
    } else {
      padded.fill(0);
      std::copy(row + begin, row + end, padded.begin());
      low = 0;
      high = 15;
      if (traits.hasZeros) {
        std::tie(scale, out.zeros[number]) = findAsymmetricScale(padded.data());
        zero = static_cast<float>(out.zeros[number]) / kZeroSteps;
        zeroCode = static_cast<uint8_t>(roundToInteger(zero));
      } else {
        scale = findSymmetricScale(padded.data());
      }
    }
    out.scales[number] = toHalf(scale);
    scale = fromHalf(out.scales[number]);
    // A chunk at a time: codes into words.
    for (size_t chunk = 0; chunk < group; chunk += kGroup) {
      codes.fill(zeroCode);
      const size_t from = begin + chunk;
      if (from < end)
        encode(row + from, std::min(kGroup, end - from), scale, zero, low, high, codes.data());
      uint8_t *words = out.words + (begin + chunk) * static_cast<size_t>(traits.bits) / 8;
      if (traits.bits == 8) {
        std::memcpy(words, codes.data(), kGroup);
        continue;
      }
      for (size_t word = 0; word < kGroup; word += 8)
        for (size_t byte = 0; byte < 4; ++byte)
          words[word / 2 + byte] =
              static_cast<uint8_t>(codes[word + byte] | codes[word + 4 + byte] << 4);
    }
  }
}

void moec::layOutQuantizedPanel(QuantFormat format, size_t columns, const QuantizedRow *rows,
                                size_t width, uint8_t *words, uint8_t *out) {
  const auto depth = static_cast<int64_t>(columns);
  const auto groups = static_cast<size_t>(quantGroups(format, depth));
  const auto codeBytes = static_cast<size_t>(quantCodeBytes(format, depth));
  std::array<const uint8_t *, kPanelColumns> pointers;
  for (size_t n = 0; n < width; ++n)
    pointers[n] = rows[n].words;
  transposeWords(pointers.data(), width, groups * codeBytes / 4, words);
  for (size_t group = 0; group < groups; ++group) {
    std::memcpy(out, words + group * codeBytes * width, codeBytes * width);
    out += codeBytes * width;
    for (size_t n = 0; n < width; ++n, out += 2)
      std::memcpy(out, &rows[n].scales[group], 2);
    for (size_t n = 0; traitsOf(format).hasZeros && n < width; ++n)
      *out++ = rows[n].zeros[group];
  }
}
