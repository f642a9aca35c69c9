// The element types that ONNX knows, and how the elements of each are stored.

#ifndef MOEC_FRONTENDS_ONNX_ELEMENTTYPE_H
#define MOEC_FRONTENDS_ONNX_ELEMENTTYPE_H

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moec {

/// By the number that TensorProto.data_type has for it.
enum class ElementType : uint8_t {
  Undefined = 0,
  Float = 1,
  Uint8 = 2,
  Int8 = 3,
  Uint16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  String = 8,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  Uint32 = 12,
  Uint64 = 13,
  Complex64 = 14,
  Complex128 = 15,
  Bfloat16 = 16,
  Float8E4M3FN = 17,
  Float8E4M3FNUZ = 18,
  Float8E5M2 = 19,
  Float8E5M2FNUZ = 20,
  Uint4 = 21,
  Int4 = 22,
  Float4E2M1 = 23,
  Float8E8M0 = 24,
  Uint2 = 25,
  Int2 = 26,
  Float6E2M3 = 27,
  Float6E3M2 = 28,
};

/// The list of TensorProto that holds elements of a type, where raw_data does not; the values are
/// its field numbers.
enum class DataField : uint8_t {
  None = 0,
  Float = 4,
  Int32 = 5,
  String = 6,
  Int64 = 7,
  Double = 10,
  Uint64 = 11,
};

/// The type of that number; none where ONNX has no such type, or it is 0.
std::optional<ElementType> elementTypeOf(int64_t number);
/// The name that ONNX gives it: `FLOAT16`, `INT4`.
std::string_view elementTypeName(ElementType type);
/// Bits of one element in raw_data, where elements of less than a byte are packed, the first one
/// lowest; 0 for strings.
int64_t elementTypeBits(ElementType type);
DataField dataFieldOf(ElementType type);
/// `float_data`.
std::string_view dataFieldName(DataField field);

/// The number of elements of a tensor of these sizes; none where one is negative or the product
/// passes 2^63.
std::optional<int64_t> countElements(std::span<const int64_t> dims);
/// The bytes that raw_data takes for so many elements, the last one filled up; none where that
/// passes 2^63.
std::optional<uint64_t> rawBytes(ElementType type, int64_t elements);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_ELEMENTTYPE_H
