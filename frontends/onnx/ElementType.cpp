// The table of element types, and checked sizes.

#include "frontends/onnx/ElementType.h"

#include <array>

using namespace moec;

namespace {
struct Row {
  std::string_view name;
  int64_t bits;
  DataField field;
};
} // namespace

static constexpr std::array<Row, 29> kRows{{
    {"UNDEFINED", 0, DataField::None},       {"FLOAT", 32, DataField::Float},
    {"UINT8", 8, DataField::Int32},          {"INT8", 8, DataField::Int32},
    {"UINT16", 16, DataField::Int32},        {"INT16", 16, DataField::Int32},
    {"INT32", 32, DataField::Int32},         {"INT64", 64, DataField::Int64},
    {"STRING", 0, DataField::String},        {"BOOL", 8, DataField::Int32},
    {"FLOAT16", 16, DataField::Int32},       {"DOUBLE", 64, DataField::Double},
    {"UINT32", 32, DataField::Uint64},       {"UINT64", 64, DataField::Uint64},
    {"COMPLEX64", 64, DataField::Float},     {"COMPLEX128", 128, DataField::Double},
    {"BFLOAT16", 16, DataField::Int32},      {"FLOAT8E4M3FN", 8, DataField::Int32},
    {"FLOAT8E4M3FNUZ", 8, DataField::Int32}, {"FLOAT8E5M2", 8, DataField::Int32},
    {"FLOAT8E5M2FNUZ", 8, DataField::Int32}, {"UINT4", 4, DataField::Int32},
    {"INT4", 4, DataField::Int32},           {"FLOAT4E2M1", 4, DataField::Int32},
    {"FLOAT8E8M0", 8, DataField::Int32},     {"UINT2", 2, DataField::Int32},
    {"INT2", 2, DataField::Int32},           {"FLOAT6E2M3", 6, DataField::Int32},
    {"FLOAT6E3M2", 6, DataField::Int32},
}};

static const Row &rowOf(ElementType type) { return kRows[static_cast<size_t>(type)]; }

std::optional<ElementType> moec::elementTypeOf(int64_t number) {
  if (number <= 0 || number >= static_cast<int64_t>(kRows.size()))
    return std::nullopt;
  return static_cast<ElementType>(number);
}

std::string_view moec::elementTypeName(ElementType type) { return rowOf(type).name; }
int64_t moec::elementTypeBits(ElementType type) { return rowOf(type).bits; }
DataField moec::dataFieldOf(ElementType type) { return rowOf(type).field; }

std::string_view moec::dataFieldName(DataField field) {
  switch (field) {
  case DataField::Float:
    return "float_data";
  case DataField::Int32:
    return "int32_data";
  case DataField::String:
    return "string_data";
  case DataField::Int64:
    return "int64_data";
  case DataField::Double:
    return "double_data";
  case DataField::Uint64:
    return "uint64_data";
  case DataField::None:
    break;
  }
  return "no list";
}

std::optional<int64_t> moec::countElements(std::span<const int64_t> dims) {
  int64_t count = 1;
  bool isEmpty = false;
  for (int64_t size : dims) {
    if (size < 0)
      return std::nullopt;
    isEmpty |= size == 0;
  }
  if (isEmpty) // whatever the other sizes are
    return 0;
  for (int64_t size : dims)
    if (__builtin_mul_overflow(count, size, &count))
      return std::nullopt;
  return count;
}

std::optional<uint64_t> moec::rawBytes(ElementType type, int64_t elements) {
  int64_t bits = 0;
  if (__builtin_mul_overflow(elements, elementTypeBits(type), &bits))
    return std::nullopt;
  return static_cast<uint64_t>(bits / 8 + (bits % 8 != 0));
}
