// Floats of 8 bits by their definition, for tests of what stores and what multiplies them.

#ifndef MOEC_TEST_COMPILER_EMIT_FLOAT8_H
#define MOEC_TEST_COMPILER_EMIT_FLOAT8_H

#include <cmath>
#include <cstdint>

namespace moec {

/// The value of an e4m3 code; of 127 and 255, which are NaNs there, the number that they would be.
inline double float8(int64_t code) {
  const int64_t exponent = code >> 3 & 15, mantissa = code & 7;
  const double magnitude = exponent == 0 ? std::ldexp(double(mantissa), -9)
                                         : std::ldexp(double(8 + mantissa), int(exponent) - 10);
  return code & 128 ? -magnitude : magnitude;
}

} // namespace moec

#endif // MOEC_TEST_COMPILER_EMIT_FLOAT8_H
