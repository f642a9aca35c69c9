// Portable loops that compilers turn into vector code: integers only, so that no instruction beyond
// the baseline is needed for half precision.

#include "compiler/emit/PanelCopy.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

using namespace moec;

// Elements --------------------------------------------------------------------------------------

static inline uint32_t loadWord(const uint8_t *from) {
  uint32_t word;
  std::memcpy(&word, from, 4);
  return word;
}

static inline uint16_t loadHalf(const uint8_t *from) {
  uint16_t half;
  std::memcpy(&half, from, 2);
  return half;
}

/// f32 bits of f16 bits; exact.
static inline uint32_t widenF16(uint32_t half) {
  uint32_t sign = (half & 0x8000) << 16;
  uint32_t rest = half & 0x7fff;
  uint32_t normal = (rest << 13) + (112u << 23); // bias 127 - 15
  uint32_t special = (rest << 13) | 0x7f800000u; // infinities and NaNs
  // A subnormal's value is its bits times 2^-24.
  uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(rest)) *
                                               std::bit_cast<float>(uint32_t(103) << 23));
  uint32_t magnitude = rest >= 0x7c00 ? special : rest >= 0x0400 ? normal : subnormal;
  return sign | magnitude;
}

/// bf16 bits of f32 bits, to nearest even.
static inline uint32_t narrowBf16(uint32_t bits) {
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  bool isNan = (bits & 0x7fffffff) > 0x7f800000;
  return isNan ? (bits >> 16) | 0x40 : rounded;
}

/// f16 bits of f32 bits, to nearest even.
static inline uint32_t narrowF16(uint32_t bits) {
  uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t rest = bits & 0x7fffffff;
  // Normal results: shift the exponent's bias and round off 13 bits; a carry walks into the
  // exponent, at last into infinity.
  uint32_t normal = (rest - (112u << 23) + 0xfff + ((rest >> 13) & 1)) >> 13;
  // Subnormal results are multiples of 2^-24: adding 1/2, whose last place that is, rounds to one.
  float shifted = std::bit_cast<float>(rest) + 0.5f;
  uint32_t subnormal = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f);
  uint32_t nan = 0x7e00 | ((rest >> 13) & 0x3ff);
  uint32_t magnitude = rest > 0x7f800000    ? nan
                       : rest >= 0x477ff000 ? 0x7c00
                       : rest < 0x38800000  ? subnormal
                                            : normal;
  return sign | magnitude;
}

MOEC_WIDE static void widenBf16Row(const uint8_t *from, uint8_t *to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = static_cast<uint32_t>(loadHalf(from + 2 * i)) << 16;
    std::memcpy(to + 4 * i, &word, 4);
  }
}

MOEC_WIDE static void widenF16Row(const uint8_t *from, uint8_t *to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = widenF16(loadHalf(from + 2 * i));
    std::memcpy(to + 4 * i, &word, 4);
  }
}

/// Gives the bits, or'ed over all elements, in which the rounded values differ from the stored
/// ones.
MOEC_WIDE static uint32_t narrowBf16Row(const uint8_t *from, uint8_t *to, size_t count) {
  uint32_t lost = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = loadWord(from + 4 * i);
    lost |= word & 0xffff;
    auto half = static_cast<uint16_t>(narrowBf16(word));
    std::memcpy(to + 2 * i, &half, 2);
  }
  return lost;
}

MOEC_WIDE static uint32_t narrowF16Row(const uint8_t *from, uint8_t *to, size_t count) {
  uint32_t lost = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t word = loadWord(from + 4 * i);
    uint32_t bits = narrowF16(word);
    bool isNan = (word & 0x7fffffff) > 0x7f800000;
    lost |= isNan ? 0 : widenF16(bits) ^ word;
    auto half = static_cast<uint16_t>(bits);
    std::memcpy(to + 2 * i, &half, 2);
  }
  return lost;
}

/// Whether a finite f32 became an infinite element of 16 bits.
MOEC_WIDE static bool anyOverflow(const uint8_t *from, const uint8_t *to, size_t count,
                                  uint32_t infinity) {
  uint32_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t finite = (loadWord(from + 4 * i) & 0x7fffffff) < 0x7f800000 ? 1 : 0;
    uint32_t infinite = (loadHalf(to + 2 * i) & 0x7fffu) == infinity ? 1 : 0;
    found |= finite & infinite;
  }
  return found != 0;
}

ConversionLoss moec::convertElements(const uint8_t *from, DataType stored, uint8_t *to,
                                     PackedElement element, size_t count) {
  ConversionLoss loss;
  if (isSameElement(stored, element)) {
    std::memcpy(to, from, count * packedElementBytes(element));
    return loss;
  }
  if (element == PackedElement::F32) {
    (stored == DataType::BF16 ? widenBf16Row : widenF16Row)(from, to, count);
    return loss;
  }
  auto narrow = [&](const uint8_t *words, uint8_t *halves, size_t some) {
    bool isBf16 = element == PackedElement::BF16;
    if ((isBf16 ? narrowBf16Row : narrowF16Row)(words, halves, some) == 0)
      return;
    loss.inexact = true;
    loss.overflow |= anyOverflow(words, halves, some, isBf16 ? 0x7f80 : 0x7c00);
  };
  if (stored == DataType::F32) {
    narrow(from, to, count);
    return loss;
  }
  // From one kind of 16 bits to the other by way of f32, a piece at a time.
  constexpr size_t kPiece = 1024;
  uint8_t words[4 * kPiece];
  for (size_t begin = 0; begin < count; begin += kPiece) {
    size_t some = std::min(kPiece, count - begin);
    (stored == DataType::BF16 ? widenBf16Row : widenF16Row)(from + 2 * begin, words, some);
    narrow(words, to + 2 * begin, some);
  }
  return loss;
}

// Transposition ---------------------------------------------------------------------------------

typedef uint32_t Words4 __attribute__((vector_size(16)));

/// Four rows of four words to four columns, by two rounds of interleaving.
static inline void transpose4(Words4 &a, Words4 &b, Words4 &c, Words4 &d) {
  Words4 ac0 = __builtin_shufflevector(a, c, 0, 4, 1, 5),
         ac1 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
  Words4 bd0 = __builtin_shufflevector(b, d, 0, 4, 1, 5),
         bd1 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ac0, bd0, 0, 4, 1, 5);
  b = __builtin_shufflevector(ac0, bd0, 2, 6, 3, 7);
  c = __builtin_shufflevector(ac1, bd1, 0, 4, 1, 5);
  d = __builtin_shufflevector(ac1, bd1, 2, 6, 3, 7);
}

void moec::transposeWords(const uint8_t *const *rows, size_t width, size_t words, uint8_t *out) {
  assert(width % 16 == 0 && "a panel is whole lanes wide");
  // Blocks of 16 words, a cache line of each row, so that each line is read once and whole.
  size_t block = 0;
  for (; block + 16 <= words; block += 16)
    for (size_t row = 0; row < width; row += 4)
      for (size_t word = block; word < block + 16; word += 4) {
        Words4 v[4];
        for (size_t i = 0; i < 4; ++i)
          std::memcpy(&v[i], rows[row + i] + 4 * word, 16);
        transpose4(v[0], v[1], v[2], v[3]);
        for (size_t i = 0; i < 4; ++i)
          std::memcpy(out + 4 * ((word + i) * width + row), &v[i], 16);
      }
  for (; block < words; ++block)
    for (size_t row = 0; row < width; ++row)
      std::memcpy(out + 4 * (block * width + row), rows[row] + 4 * block, 4);
}
