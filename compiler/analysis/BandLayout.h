// How quantised weights lie in memory for GPUs: the arithmetic that the compiler and the packer
// share.

#ifndef MOEC_COMPILER_ANALYSIS_BANDLAYOUT_H
#define MOEC_COMPILER_ANALYSIS_BANDLAYOUT_H

#include "runtime/core/Quantization.h"

namespace moec {

/// A matrix of N rows and K columns lies in bands of 64 rows, the last one filled up with zeros:
///
///     codes   [64][bandRowBytes]  u8, see below
///     scales  [runs][64][run]     those of `run` adjacent groups of a row together, in the
///                                 format's type; of fp8_block [groups][4] f32, one for 16 rows
///     zeros   [runs][64][run] u8  where each group has a zero of its own, in sixteenths of a code
///
/// So a block of threads that multiplies 64 or more rows of the matrix copies 16 bytes of a row
/// with each instruction, whatever the part of K, and the scales of that part are adjacent.
///
/// Codes are in the order in which a lane of a warp needs them of 16 bytes, which `ldmatrix` gives
/// four lanes a word each of; k counts from the first code of these 16 bytes, t = 0 to 3 is the
/// word:
///
///     fp8          byte b of word t: of the bf16 elements that lane t multiplies, the first,
///                  third, second, fourth: codes 2t, 2t + 8, 2t + 1, 2t + 9. Then bytes 0 and 2
///                  become one register, 1 and 3 another
///     mxfp4        half h (of 16 bits) of word t, from bit 4j on: code 8j + 2t + h
///     int8         byte b of word t: code 4t + b
///     int4         byte b of word t: code 4t + b in the low half, 16 + 4t + b in the high one
///     int5, int6   the low four bits as int4; the others follow those of the whole row, 4 or 8
///                  bytes for each 32 codes. Of int5 bit t of byte b is of code 4t + b, bit 4 + t
///                  of code 16 + 4t + b. Of int6 bits 2t and 2t + 1 of byte 4h + b are of code
///                  16h + 4t + b
///
/// Integers have their highest bit turned, so that they are signed: a code less the middle of the
/// codes there are. The columns that make a row's 16 bytes whole are zero.
inline constexpr int64_t kBandRows = 64;

constexpr int64_t bandCount(int64_t rows) { return (rows + kBandRows - 1) / kBandRows; }

/// Bytes of the low bits of a row's codes, or of all of them; then of the rest.
constexpr int64_t bandLowBytes(QuantFormat format, int64_t columns) {
  const QuantTraits &traits = traitsOf(format);
  if (traits.codes == QuantCodes::Floats8)
    return roundUpTo(columns, 16);
  return roundUpTo(columns, kQuantChunk) / (traits.bits == 8 ? 1 : 2);
}
constexpr int64_t bandHighBytes(QuantFormat format, int64_t columns) {
  return roundUpTo(columns, 4 * kQuantChunk) * quantBitsAbove(format) / 8;
}
constexpr int64_t bandRowBytes(QuantFormat format, int64_t columns) {
  return bandLowBytes(format, columns) + bandHighBytes(format, columns);
}

/// Groups whose scales lie together: those of 128 columns, where there are several.
constexpr int64_t bandRun(QuantFormat format) {
  return traitsOf(format).group == kQuantChunk ? 4 : 1;
}
constexpr int64_t bandRuns(QuantFormat format, int64_t columns) {
  return (quantGroups(format, columns) + bandRun(format) - 1) / bandRun(format);
}
/// Rows of a band that have scales of their own, and bytes of one.
constexpr int64_t bandScaleRows(QuantFormat format) {
  return kBandRows / traitsOf(format).scaleRows;
}
constexpr int64_t bandScaleBytes(QuantFormat format) {
  return traitsOf(format).codes == QuantCodes::Floats8 ? 4 : quantScaleBytes(format);
}
/// Bytes of the scales of a run of groups, of a band.
constexpr int64_t bandRunBytes(QuantFormat format) {
  return bandScaleRows(format) * bandRun(format) * bandScaleBytes(format);
}

/// Where scales and zeros begin in a band, and where it ends.
constexpr int64_t bandScalesAt(QuantFormat format, int64_t columns) {
  return kBandRows * bandRowBytes(format, columns);
}
constexpr int64_t bandZerosAt(QuantFormat format, int64_t columns) {
  return bandScalesAt(format, columns) + bandRuns(format, columns) * bandRunBytes(format);
}
constexpr int64_t bandBytes(QuantFormat format, int64_t columns) {
  const int64_t zeros = traitsOf(format).hasZeros ? kBandRows * bandRun(format) : 0;
  return bandZerosAt(format, columns) + bandRuns(format, columns) * zeros;
}

/// Which of a row's run scales and zeros column k's group is, from the first of the band's.
constexpr int64_t bandScaleOf(QuantFormat format, int64_t columns, int64_t row, int64_t k) {
  const int64_t group = k / quantGroup(format, columns), run = bandRun(format);
  return (group / run * bandScaleRows(format) + row / traitsOf(format).scaleRows) * run +
         group % run;
}

/// Where bits of a code are: from `bit` on of byte `byte` of a row.
struct BandCode {
  int64_t byte, bit;
};
/// Those of code k, its low four bits where it has 5 or 6.
constexpr BandCode bandCode(QuantFormat format, int64_t k) {
  const QuantTraits &traits = traitsOf(format);
  const int64_t inGroup = k % kQuantChunk;
  if (traits.codes == QuantCodes::Floats8)
    return {k / 16 * 16 + k % 8 / 2 * 4 + k % 2 * 2 + k % 16 / 8, 0};
  if (traits.codes == QuantCodes::Floats4)
    return {k / kQuantChunk * 16 + k % 8 / 2 * 4 + k % 2 * 2 + inGroup / 16, inGroup / 8 % 2 * 4};
  if (traits.bits == 8)
    return {k, 0};
  return {k / kQuantChunk * 16 + k % 16, inGroup / 16 * 4};
}
/// The other bits of code k.
constexpr BandCode bandCodeAbove(QuantFormat format, int64_t columns, int64_t k) {
  const int64_t above = quantBitsAbove(format), low = bandLowBytes(format, columns);
  const int64_t chunk = low + k / kQuantChunk * 4 * above, inGroup = k % kQuantChunk;
  if (above == 1)
    return {chunk + k % 4, k % 16 / 4 + inGroup / 16 * 4};
  return {chunk + inGroup / 16 * 4 + k % 4, k % 16 / 4 * 2};
}

/// What the highest bit of codes is turned with.
constexpr int64_t bandTurned(QuantFormat format) {
  const QuantTraits &traits = traitsOf(format);
  return traits.codes == QuantCodes::Integers ? int64_t(1) << (traits.bits - 1) : 0;
}

/// Bytes of a matrix of rows x columns.
constexpr int64_t bandMatrixBytes(QuantFormat format, int64_t rows, int64_t columns) {
  return bandCount(rows) * bandBytes(format, columns);
}

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_BANDLAYOUT_H
