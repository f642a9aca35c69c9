// Stored codes with scales, floats of 8 or 4 bits: what they stand for, and how they are packed as
// they are.

#ifndef MOEC_COMPILER_EMIT_STOREDCODES_H
#define MOEC_COMPILER_EMIT_STOREDCODES_H

#include "compiler/emit/Quantizer.h"
#include "runtime/core/Safetensors.h"

namespace moec {

/// Whether elements of the type are such codes.
constexpr bool isCode(DataType type) { return type == DataType::F8E4M3 || type == DataType::F4; }

/// Whether the format has these codes.
constexpr bool hasCodes(QuantFormat format, DataType type) {
  return type == DataType::F4 ? format == QuantFormat::Mxfp4
                              : traitsOf(format).codes == QuantCodes::Floats8;
}

/// Bytes of `count` stored elements; of F4 an even number.
constexpr uint64_t storedBytes(DataType type, uint64_t count) {
  return count * static_cast<uint64_t>(dataTypeBits(type)) / 8;
}

/// The type of the tensors that hold elements of `type`.
constexpr DataType tensorTypeOf(DataType type) {
  return type == DataType::F4 ? DataType::U8 : type;
}

/// Whether scales may be of the type: floats or, with a byte each, powers of two.
constexpr bool isScaleType(DataType type) {
  return type == DataType::F32 || type == DataType::F16 || type == DataType::BF16 ||
         type == DataType::F8E8M0 || type == DataType::U8;
}

/// `count` stored scales as numbers. U8 counts as F8E8M0 but for 255, which is an infinity there
/// and a NaN here.
void widenScales(const uint8_t *from, DataType stored, float *to, size_t count);

/// The codes of a stored row. Column k has scale (lead + k) / block, or the first where `block` is
/// 0.
struct StoredCodes {
  DataType type; ///< F8E4M3 or F4
  const uint8_t *codes;
  const float *scales;
  size_t block, lead;

  size_t scaleOf(size_t column) const { return block ? (lead + column) / block : 0; }
  /// Whether keepCodes may pack them in `format`.
  bool fit(QuantFormat format) const {
    return hasCodes(format, type) &&
           quantKeepsScales(format, static_cast<int64_t>(block), static_cast<int64_t>(lead));
  }
};

/// The numbers that `columns` codes stand for.
void widenCodes(const StoredCodes &row, size_t columns, float *to);

/// Makes of `columns` codes that fit the format row `number` of a panel of it, bit by bit. A group
/// of F8E4M3 with a NaN gets that for its scale, since kernels know no such codes. Rows that share
/// scales come in their order, with `out.scales` those of the first.
void keepCodes(QuantFormat format, const StoredCodes &row, size_t number, size_t columns,
               const QuantizedRow &out);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_STOREDCODES_H
