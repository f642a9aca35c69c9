// What a quantised panel holds, as runtime/core/Quantization.h writes it down.

#ifndef MOEC_TEST_COMPILER_EMIT_QUANTIZEDPANEL_H
#define MOEC_TEST_COMPILER_EMIT_QUANTIZEDPANEL_H

#include "runtime/core/Quantization.h"
#include "test/compiler/emit/Float8.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace moec {

template <typename Float> inline double loadDouble(const uint8_t *at) {
  Float value;
  std::memcpy(&value, at, sizeof value);
  return double(value);
}

/// The bytes of a panel of `width` rows of `depth` elements.
struct QuantizedPanel {
  QuantFormat format;
  int64_t width, depth;
  const uint8_t *bytes;

  const uint8_t *record(int64_t k) const {
    return &bytes[size_t(k / quantGroup(format, depth) * width * quantGroupBytes(format, depth))];
  }
  const uint8_t *scales(int64_t k) const {
    const int64_t group = quantGroup(format, depth), begin = k / group * group;
    if (traitsOf(format).codes == QuantCodes::Floats8) // the last group may be shorter
      return record(k) + width * std::min(group, (depth - begin + 3) / 4 * 4);
    return record(k) + width * quantCodeBytes(format, depth);
  }
  double scale(int64_t n, int64_t k) const {
    switch (traitsOf(format).codes) {
    case QuantCodes::Integers:
      return loadDouble<_Float16>(scales(k) + 2 * n);
    case QuantCodes::Floats4:
      return scales(k)[n] == 255 ? double(NAN) : std::ldexp(1, scales(k)[n] - 127);
    case QuantCodes::Floats8:
      return loadDouble<float>(scales(k) +
                               (traitsOf(format).scaleRows == 1 ? 4 * n : n / 16 * 16 + n % 4 * 4));
    }
    return 0;
  }

  /// What code `code` of row n stands for where element k is, as Quantization.h says.
  double valueOf(int64_t code, int64_t n, int64_t k) const {
    const QuantTraits &traits = traitsOf(format);
    const double floats[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    if (traits.codes == QuantCodes::Floats8)
      return scale(n, k) * float8(code);
    if (traits.codes == QuantCodes::Floats4)
      return scale(n, k) * floats[code & 7] * (code & 8 ? -1 : 1);
    const double zero = traits.hasZeros ? scales(k)[2 * width + n] / 16.0 : double(traits.zero);
    return scale(n, k) * (double(code) - zero);
  }

  /// Element k of row n.
  double element(int64_t n, int64_t k) const {
    const int64_t inGroup = k % quantGroup(format, depth);
    if (traitsOf(format).codes == QuantCodes::Floats8)
      return valueOf(record(k)[(inGroup / 2 * width + n) * 2 + inGroup % 2], n, k);
    if (traitsOf(format).bits == 8)
      return valueOf(record(k)[(inGroup / 4 * width + n) * 4 + inGroup % 4], n, k);
    auto byteOf = [&](int64_t word) { return record(k)[(word * width + n) * 4 + inGroup % 4]; };
    const int64_t low = byteOf(inGroup / 8), above = traitsOf(format).bits - 4;
    int64_t code = inGroup % 8 < 4 ? low & 15 : low >> 4;
    if (above > 0) {
      const int64_t bit = inGroup / 4 * above;
      code += (byteOf(4 + bit / 8) >> bit % 8 & ((1 << above) - 1)) << 4;
    }
    return valueOf(code, n, k);
  }
};

} // namespace moec

#endif // MOEC_TEST_COMPILER_EMIT_QUANTIZEDPANEL_H
