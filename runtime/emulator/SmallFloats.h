// Floats of 8 and 16 bits, decoded and encoded.

#ifndef MOEC_RUNTIME_EMULATOR_SMALLFLOATS_H
#define MOEC_RUNTIME_EMULATOR_SMALLFLOATS_H

#include <bit>
#include <cstdint>
#include <limits>

namespace moec::emulator {

inline float decodeHalf(uint16_t bits) {
  const uint32_t sign = uint32_t(bits >> 15) << 31, exponent = bits >> 10 & 31,
                 fraction = bits & 1023;
  if (exponent == 0) // denormal: fraction times 2^-24
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(float(fraction) * 0x1p-24f));
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

/// Rounds to nearest even.
inline uint16_t encodeHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = uint16_t(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return uint16_t(sign | 0x7fff);
  if (magnitude >= 0x477ff000) // rounds to 65536 or more
    return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) { // the sum's last place is that of denormals
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t roundedUp = magnitude + 0xfff + (magnitude >> 13 & 1);
  return uint16_t(sign | (roundedUp - (112u << 23)) >> 13);
}

inline float decodeE4M3(uint8_t bits) {
  const uint32_t sign = uint32_t(bits >> 7) << 31, exponent = bits >> 3 & 15, fraction = bits & 7;
  if (exponent == 15 && fraction == 7)
    return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0)
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(float(fraction) * 0x1p-9f));
  return std::bit_cast<float>(sign | (exponent + 120) << 23 | fraction << 20);
}

} // namespace moec::emulator

/// The bf16 nearest to `value`, ties to even, in the low half of the result's register. LLVM knows
/// it as __truncsfbf2.
extern "C" float moec_emulator_truncate_bf16(float value);

#endif // MOEC_RUNTIME_EMULATOR_SMALLFLOATS_H
