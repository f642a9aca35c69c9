// Formats of quantised weights: the arithmetic that the compiler, the packer and the tests share.

#ifndef MOEC_RUNTIME_CORE_QUANTIZATION_H
#define MOEC_RUNTIME_CORE_QUANTIZATION_H

#include "runtime/core/PackedLayout.h"

#include <cstdint>
#include <string_view>

namespace moec {

/// A weight of N rows and K columns as small integers or floats. Adjacent columns of a row form
/// groups, each with a scale of its own: element = scale * (code - zero). Codes of mxfp4 (OCP
/// Microscaling Formats 1.0) are floats of 4 bits, and stand for twice their value: sign, two bits
/// of exponent, one of mantissa. Those of fp8 are floats of 8 bits, e4m3 (OCP 8-bit Floating Point
/// Specification 1.0): sign, four bits of exponent, three of mantissa, no infinities, and no NaNs
/// in what is packed. Those of fp8_block have a scale for 16 rows, as checkpoints have one for each
/// square of 128 x 128.
///
/// A panel of w rows (kPanelColumns, the last one fewer) holds its groups one after another, each
/// as
///
///     words   [words][w] u32   the codes of a row. Of 8 bits: byte b of word j is code 4j + b. Of
///                              4 + f bits, chunk by chunk of 32: four words with the low four
///                              bits, those of code 8j + b in the low half of byte b of word j,
///                              of code 8j + 4 + b in the high half; then f words with the
///                              rest, of code 4q + b in the f bits of byte b of word q * f / 8
///                              from q * f % 8 on.
///                              Of fp8, [group / 2][w] u16 in their place: byte b of word j is
///                              code 2j + b
///     scales  [w] f16; of mxfp4 [w] u8, b for 2^(b - 128),
///                              0 for 0, 255 for an infinity; of fp8 [w] f32; of fp8_block
///                              [w / 16][4] f32, that of 16 rows four times
///     zeros   [w] u8           where each group has a zero of its own, in sixteenths of a code
///
/// The last group is filled up with codes of zero; of fp8 only to a multiple of four.
enum class QuantFormat : uint8_t {
  Int8,
  Int8Channel,
  Int6,
  Int5,
  Int4,
  Int4Asymmetric,
  Mxfp4,
  Fp8,
  Fp8Block,
};

/// What codes are.
enum class QuantCodes : uint8_t {
  Integers,
  Floats4, ///< multiplied as the integers that they are twice, or as floats
  Floats8, ///< multiplied as floats, by activations that stay floats
};

struct QuantTraits {
  QuantFormat format;
  std::string_view name; ///< as users and modules spell it
  int64_t bits;          ///< of a code
  int64_t group;         ///< columns that share a scale; 0: all of a row
  int64_t zero;          ///< the code that stands for 0, where there are no zeros
  bool hasZeros;
  QuantCodes codes;
  int64_t scaleRows =
      1; ///< that share a scale, 1 or kPanelLanes; then only what is stored so has it
};

inline constexpr QuantTraits kQuantFormats[] = {
    {QuantFormat::Int8, "int8", 8, 32, 128, false, QuantCodes::Integers},
    {QuantFormat::Int8Channel, "int8_channel", 8, 0, 128, false, QuantCodes::Integers},
    {QuantFormat::Int6, "int6", 6, 32, 32, false, QuantCodes::Integers},
    {QuantFormat::Int5, "int5", 5, 32, 16, false, QuantCodes::Integers},
    {QuantFormat::Int4, "int4", 4, 32, 8, false, QuantCodes::Integers},
    {QuantFormat::Int4Asymmetric, "int4_asymmetric", 4, 32, 0, true, QuantCodes::Integers},
    {QuantFormat::Mxfp4, "mxfp4", 4, 32, 0, false, QuantCodes::Floats4},
    {QuantFormat::Fp8, "fp8", 8, 128, 0, false, QuantCodes::Floats8},
    {QuantFormat::Fp8Block, "fp8_block", 8, 128, 0, false, QuantCodes::Floats8, kPanelLanes},
};

constexpr const QuantTraits &traitsOf(QuantFormat format) {
  return kQuantFormats[static_cast<int>(format)];
}

/// What a group's zero counts in.
inline constexpr int64_t kZeroSteps = 16;

/// Twice the value of a float of 4 bits without its sign.
constexpr int64_t doubledFloat4(int64_t code) {
  return code < 4 ? code : (2 | (code & 1)) << (code / 2 - 1);
}

/// Whether the activations of products become integers too where a weight is quantised to the
/// format; those of one that is stored so stay floats.
constexpr bool quantMultipliesIntegers(QuantFormat format) {
  return traitsOf(format).codes != QuantCodes::Floats8;
}

/// Bytes that a row's scales take of a group: where 16 share one it is there four times.
constexpr int64_t quantScaleBytes(QuantFormat format) {
  switch (traitsOf(format).codes) {
  case QuantCodes::Integers:
    return 2;
  case QuantCodes::Floats4:
    return 1;
  case QuantCodes::Floats8:
    return traitsOf(format).scaleRows == 1 ? 4 : 1;
  }
  return 0;
}

/// Columns that kernels take at a time; groups are multiples of it.
inline constexpr int64_t kQuantChunk = 32;

/// Words of a row's codes in a chunk.
constexpr int64_t quantChunkWords(QuantFormat format) {
  return kQuantChunk * traitsOf(format).bits / 32;
}

/// Those of them with the codes, or with their low four bits; and the quads of columns in each.
constexpr int64_t quantLowWords(QuantFormat format) { return traitsOf(format).bits == 8 ? 8 : 4; }
constexpr int64_t quantQuadsPerWord(QuantFormat format) {
  return kQuantChunk / 4 / quantLowWords(format);
}
/// Bits of a code that lie apart from its low four.
constexpr int64_t quantBitsAbove(QuantFormat format) {
  return traitsOf(format).bits == 8 ? 0 : traitsOf(format).bits - 4;
}

/// Columns of a group of a weight of K columns.
constexpr int64_t quantGroup(QuantFormat format, int64_t columns) {
  const int64_t group = traitsOf(format).group;
  return group ? group : roundUpTo(columns, kQuantChunk);
}
constexpr int64_t quantGroups(QuantFormat format, int64_t columns) {
  return (columns + quantGroup(format, columns) - 1) / quantGroup(format, columns);
}

/// Whether stored codes and scales may be packed as they are, where stored rows have a scale for
/// every `block` columns (0: for all) and the weight's begin `lead` columns after such a block
/// does: a group has one scale then.
constexpr bool quantKeepsScales(QuantFormat format, int64_t block, int64_t lead) {
  const int64_t group = traitsOf(format).group;
  return block == 0 || (block % group == 0 && lead % group == 0);
}

/// Bytes of the codes of one row's group, and of all that a row has in a group; less in the last
/// group of fp8.
constexpr int64_t quantCodeBytes(QuantFormat format, int64_t columns) {
  return quantGroup(format, columns) * traitsOf(format).bits / 8;
}
constexpr int64_t quantGroupBytes(QuantFormat format, int64_t columns) {
  return quantCodeBytes(format, columns) + quantScaleBytes(format) + traitsOf(format).hasZeros;
}

/// Bytes of all codes of a row.
constexpr int64_t quantRowCodeBytes(QuantFormat format, int64_t columns) {
  return traitsOf(format).codes == QuantCodes::Floats8
             ? roundUpTo(columns, 4)
             : quantGroups(format, columns) * quantCodeBytes(format, columns);
}

/// Bytes that one of the rows takes in a panel; a panel of w rows takes w times as many.
constexpr int64_t quantDepthBytes(QuantFormat format, int64_t columns) {
  return quantRowCodeBytes(format, columns) +
         quantGroups(format, columns) * (quantScaleBytes(format) + traitsOf(format).hasZeros);
}

/// Bytes of a weight of rows x columns.
constexpr int64_t quantMatrixBytes(QuantFormat format, int64_t rows, int64_t columns) {
  return panelColumns(rows) * quantDepthBytes(format, columns);
}

} // namespace moec

#endif // MOEC_RUNTIME_CORE_QUANTIZATION_H
