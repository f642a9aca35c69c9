// Tables for what codes stand for, copies for those that stay.

#include "compiler/emit/StoredCodes.h"

#include "compiler/emit/PanelCopy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

using namespace moec;

/// 2^(byte - 127); bits of f32 but for the first, which is a denormal.
static float powerOf(uint8_t byte) {
  return std::bit_cast<float>(byte ? uint32_t(byte) << 23 : uint32_t(1) << 22);
}

void moec::widenScales(const uint8_t *from, DataType stored, float *to, size_t count) {
  if (stored != DataType::U8 && stored != DataType::F8E8M0) {
    convertElements(from, stored, reinterpret_cast<uint8_t *>(to), PackedElement::F32, count);
    return;
  }
  std::transform(from, from + count, to, powerOf);
  if (stored == DataType::F8E8M0)
    std::replace_if(
        to, to + count, [](float scale) { return std::isinf(scale); },
        std::numeric_limits<float>::quiet_NaN());
}

static constexpr uint8_t kNan8 = 0x7f; // of either sign

static std::array<float, 256> makeFloats8() {
  std::array<float, 256> table;
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const float magnitude = exponent == 0 ? std::ldexp(float(mantissa), -9)
                                          : std::ldexp(float(8 + mantissa), exponent - 10);
    table[code] = code & 128 ? -magnitude : magnitude;
  }
  table[kNan8] = table[kNan8 | 128] = std::numeric_limits<float>::quiet_NaN();
  return table;
}

static std::array<float, 16> makeFloats4() {
  std::array<float, 16> table;
  for (int code = 0; code < 8; ++code) {
    table[code] = static_cast<float>(doubledFloat4(code)) / 2;
    table[code + 8] = -table[code];
  }
  return table;
}

void moec::widenCodes(const StoredCodes &row, size_t columns, float *to) {
  static const std::array<float, 256> floats8 = makeFloats8();
  static const std::array<float, 16> floats4 = makeFloats4();
  for (size_t k = 0; k < columns; ++k) {
    const float value = row.type == DataType::F4 ? floats4[row.codes[k / 2] >> k % 2 * 4 & 15]
                                                 : floats8[row.codes[k]];
    to[k] = value * row.scales[row.scaleOf(k)];
  }
}

/// Whether one of the codes of 8 bits is a NaN.
MOEC_WIDE static bool anyNan8(const uint8_t *codes, size_t count) {
  uint8_t found = 0;
  for (size_t i = 0; i < count; ++i)
    found |= (codes[i] & kNan8) == kNan8 ? 1 : 0;
  return found != 0;
}

static void keepFloats8(const StoredCodes &row, bool isFirst, size_t columns,
                        const QuantizedRow &out) {
  constexpr auto kGroup = static_cast<size_t>(traitsOf(QuantFormat::Fp8).group);
  std::copy_n(row.codes, columns, out.words);
  std::fill_n(out.words + columns, -columns % 4, uint8_t(0));
  for (size_t begin = 0; begin < columns; begin += kGroup) {
    float scale = row.scales[row.scaleOf(begin)];
    const bool hasNan = anyNan8(row.codes + begin, std::min(kGroup, columns - begin));
    if (hasNan)
      scale = std::numeric_limits<float>::quiet_NaN();
    if (isFirst || hasNan)
      std::memcpy(out.scales + begin / kGroup * sizeof scale, &scale, sizeof scale);
  }
}

/// Of every eight codes the first four become the low halves of four bytes, the others the high
/// ones.
MOEC_WIDE static void spreadFloats4(const uint8_t *codes, size_t words, uint8_t *to) {
  for (size_t i = 0; i < words; ++i) {
    uint32_t word;
    std::memcpy(&word, codes + 4 * i, 4);
    // Bytes 1 and 2 change places, then in each half the middle two codes.
    const uint32_t bytes = (word & 0xff0000ff) | (word & 0xff00) << 8 | (word >> 8 & 0xff00);
    word = (bytes & 0xf00ff00f) | (bytes & 0x00f000f0) << 4 | (bytes >> 4 & 0x00f000f0);
    std::memcpy(to + 4 * i, &word, 4);
  }
}

static void keepFloats4(const StoredCodes &row, size_t columns, const QuantizedRow &out) {
  constexpr auto kGroup = static_cast<size_t>(traitsOf(QuantFormat::Mxfp4).group);
  assert(columns % kGroup == 0 && "a stored row has whole groups");
  static_assert(std::endian::native == std::endian::little);
  spreadFloats4(row.codes, columns / 8, out.words);
  for (size_t group = 0; group < columns / kGroup; ++group)
    out.scales[group] = static_cast<uint8_t>(
        std::bit_cast<uint32_t>(row.scales[row.scaleOf(group * kGroup)]) >> 23 & 0xff);
}

void moec::keepCodes(QuantFormat format, const StoredCodes &row, size_t number, size_t columns,
                     const QuantizedRow &out) {
  if (row.type == DataType::F4)
    return keepFloats4(row, columns, out);
  const auto sharing = static_cast<size_t>(traitsOf(format).scaleRows);
  keepFloats8(row, number % sharing == 0, columns, out);
}
