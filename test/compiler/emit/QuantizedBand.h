// What a band of a quantised weight holds, as compiler/analysis/BandLayout.h writes it down.

#ifndef MOEC_TEST_COMPILER_EMIT_QUANTIZEDBAND_H
#define MOEC_TEST_COMPILER_EMIT_QUANTIZEDBAND_H

#include "test/compiler/emit/QuantizedPanel.h"

#include <cstdlib>

namespace moec {

/// The bytes of a matrix of `depth` columns in bands.
struct QuantizedBands {
  QuantFormat format;
  int64_t depth;
  const uint8_t *bytes;

  static int64_t roundUp(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }
  bool isFloat8() const { return traitsOf(format).codes == QuantCodes::Floats8; }
  int64_t bits() const { return traitsOf(format).bits; }
  int64_t lowBytes() const {
    return isFloat8() ? roundUp(depth, 16) : roundUp(depth, 32) / (bits() == 8 ? 1 : 2);
  }
  int64_t rowBytes() const {
    return lowBytes() + (bits() > 4 && bits() < 8 ? roundUp(depth, 128) / 8 * (bits() - 4) : 0);
  }
  int64_t groups() const { return quantGroups(format, depth); }
  int64_t run() const { return traitsOf(format).group == 32 ? 4 : 1; }
  int64_t scaleSize() const {
    return isFloat8() ? 4 : traitsOf(format).codes == QuantCodes::Floats4 ? 1 : 2;
  }
  int64_t scaleRows() const { return format == QuantFormat::Fp8Block ? 4 : 64; }
  int64_t scaleCount() const { return roundUp(groups(), run()) * scaleRows(); }
  int64_t bandBytes() const {
    return 64 * rowBytes() + scaleCount() * (scaleSize() + traitsOf(format).hasZeros);
  }

  const uint8_t *band(int64_t n) const { return bytes + n / 64 * bandBytes(); }
  int64_t scalePlace(int64_t n, int64_t k) const {
    const int64_t group = k / quantGroup(format, depth), row = n % 64 / (64 / scaleRows());
    return (group / run() * scaleRows() + row) * run() + group % run();
  }
  double scale(int64_t n, int64_t k) const {
    const uint8_t *at = band(n) + 64 * rowBytes() + scalePlace(n, k) * scaleSize();
    if (isFloat8())
      return loadDouble<float>(at);
    if (scaleSize() == 1)
      return *at == 255 ? double(NAN) : std::ldexp(1, *at - 127);
    return loadDouble<_Float16>(at);
  }

  /// The code of column k, found by looking through the 16 bytes that hold it.
  int64_t code(int64_t n, int64_t k) const {
    const uint8_t *row = band(n) + n % 64 * rowBytes();
    if (isFloat8()) {
      const int64_t order[] = {0, 8, 1, 9};
      for (int64_t at = 0; at < 16; ++at)
        if (at / 4 * 2 + order[at % 4] == k % 16)
          return row[k / 16 * 16 + at];
      std::abort();
    }
    if (bits() == 8)
      return row[k] ^ 128;
    const uint8_t *chunk = row + k / 32 * 16;
    const int64_t inChunk = k % 32;
    if (format == QuantFormat::Mxfp4) {
      for (int64_t t = 0; t < 4; ++t)
        for (int64_t half = 0; half < 2; ++half)
          for (int64_t j = 0; j < 4; ++j)
            if (8 * j + 2 * t + half == inChunk)
              return chunk[4 * t + 2 * half + j / 2] >> (j % 2 * 4) & 15;
      std::abort();
    }
    for (int64_t t = 0; t < 4; ++t)
      for (int64_t b = 0; b < 4; ++b)
        for (int64_t h = 0; h < 2; ++h) {
          if (16 * h + 4 * t + b != inChunk)
            continue;
          int64_t code = chunk[4 * t + b] >> (4 * h) & 15;
          const uint8_t *high = row + lowBytes() + k / 32 * 4 * (bits() - 4);
          if (bits() == 5)
            code |= (high[b] >> (t + 4 * h) & 1) << 4;
          if (bits() == 6)
            code |= (high[4 * h + b] >> (2 * t) & 3) << 4;
          return code ^ 1 << (bits() - 1);
        }
    std::abort();
  }

  /// Element k of row n.
  double element(int64_t n, int64_t k) const {
    const QuantTraits &traits = traitsOf(format);
    const double floats[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const int64_t found = code(n, k);
    if (isFloat8())
      return scale(n, k) * float8(found);
    if (traits.codes == QuantCodes::Floats4)
      return scale(n, k) * floats[found & 7] * (found & 8 ? -1 : 1);
    double zero = double(traits.zero);
    if (traits.hasZeros)
      zero = band(n)[64 * rowBytes() + 2 * scaleCount() + scalePlace(n, k)] / 16.0;
    return scale(n, k) * (double(found) - zero);
  }
};

} // namespace moec

#endif // MOEC_TEST_COMPILER_EMIT_QUANTIZEDBAND_H
