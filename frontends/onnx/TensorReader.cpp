// Finds the one place of a tensor's data, and checks that it holds as much as type and shape say.

#include "frontends/onnx/TensorReader.h"

#include "frontends/onnx/MessageFields.h"
#include "runtime/core/Safetensors.h"

using namespace moec;

/// Of all tensors together; the rest of a file is not copied.
static constexpr uint64_t kMostDecoded = 1 << 30;
static constexpr int kMostDims = 64;
static constexpr size_t kMostPieces = 1 << 20; // of one list; writers make one

struct TensorReader::Data {
  std::optional<std::span<const uint8_t>> raw;
  DataField field = DataField::None; ///< of `lists`
  std::vector<WireField> lists;      ///< pieces of one list of numbers
  bool isMixed = false;              ///< of two lists
};

Result<OnnxTensor> TensorReader::read(std::span<const uint8_t> bytes) {
  OnnxTensor tensor;
  if (Status status = readNamed(bytes, tensor); !status.ok())
    return message.name().empty()
               ? status
               : within(fmt::format("tensor `{}`", shownName(message.name())), status);
  return tensor;
}

Status TensorReader::readNamed(std::span<const uint8_t> bytes, OnnxTensor &tensor) {
  Data data;
  auto walk = [&](const WireField &field) -> Status {
    switch (field.number) {
    case 9:
      if (Status status = checkLength(field, "onnx.TensorProto"); !status.ok())
        return status;
      if (data.raw)
        return {Code::Model, "has raw_data twice"};
      data.raw = field.payload;
      return {};
    case 4:
    case 5:
    case 7:
    case 10:
    case 11: {
      const auto list = static_cast<DataField>(field.number);
      data.isMixed |= data.field != DataField::None && data.field != list;
      data.field = list;
      if (data.lists.size() == kMostPieces)
        return {Code::Unsupported,
                fmt::format("has {} in more than {} pieces", dataFieldName(list), kMostPieces)};
      if (!field.payload.empty())
        data.lists.push_back(field);
      return {};
    }
    default: // for people
      return {};
    }
  };
  static constexpr uint64_t kWalked = fieldSet({4, 5, 7, 9, 10, 11, 12, 16});
  if (Status status = readFields(bytes, kWalked, message, walk); !status.ok())
    return status;

  std::optional<ElementType> type = elementTypeOf(message.data_type());
  if (!type)
    return {message.data_type() == 0 ? Code::Model : Code::Unsupported,
            fmt::format("has the element type {}, wanted one of 1 to 28", message.data_type())};
  if (message.has_segment())
    return {Code::Unsupported, "is a segment of a tensor, wanted a whole one"};
  if (message.dims_size() > kMostDims)
    return {Code::Unsupported,
            fmt::format("has {} dimensions, at most {} are read", message.dims_size(), kMostDims)};
  tensor.name = model.names.intern(message.name());
  tensor.type = *type;
  tensor.dims.assign(message.dims().begin(), message.dims().end());
  std::optional<int64_t> elements = countElements(tensor.dims);
  std::optional<uint64_t> size = elements ? rawBytes(*type, *elements) : std::nullopt;
  if (!size)
    return {Code::Model, fmt::format("has the shape {}, wanted sizes of at least 0 that make a "
                                     "tensor of less than 2^63 bits",
                                     shapeText(tensor.dims))};
  tensor.elements = *elements;
  tensor.bytes = *size;
  return placeData(data, tensor);
}

Status TensorReader::placeData(const Data &data, OnnxTensor &tensor) {
  const bool isExternal = message.data_location() == ::onnx::TensorProto::EXTERNAL;
  const bool hasStrings = message.string_data_size() > 0;
  const bool hasList = !data.lists.empty();
  // An empty raw_data, or list, beside another place is how some writers say that they have none.
  const bool hasRaw = data.raw && !data.raw->empty();
  if (data.isMixed || isExternal + hasRaw + hasStrings + hasList > 1)
    return {Code::Model, "has data in two places, wanted one of raw_data, a list, a file"};
  if (!isExternal && message.external_data_size() > 0)
    return {Code::Model, "names a file of external data, but its data_location is not EXTERNAL"};
  if (tensor.type == ElementType::String)
    return isExternal || hasRaw || hasList
               ? Status{Code::Model, "is of strings, whose place is string_data"}
               : takeStrings(tensor);
  if (hasStrings)
    return {Code::Model,
            fmt::format("is of {}, but has string_data", elementTypeName(tensor.type))};
  if (isExternal)
    return placeExternal(tensor);
  if (hasList) {
    if (data.field != dataFieldOf(tensor.type))
      return {Code::Model, fmt::format("is of {}, but has {}", elementTypeName(tensor.type),
                                       dataFieldName(data.field))};
    return decode(data, tensor);
  }
  const std::span<const uint8_t> raw = data.raw.value_or(std::span<const uint8_t>());
  if (raw.size() != tensor.bytes)
    return {Code::Model,
            fmt::format("has {} bytes of data, {} of {} want {}", raw.size(),
                        shapeText(tensor.dims), elementTypeName(tensor.type), tensor.bytes)};
  if (!raw.empty()) {
    tensor.file = 0;
    tensor.offset = static_cast<uint64_t>(raw.data() - model.message.data());
  }
  return {};
}

Status TensorReader::placeExternal(OnnxTensor &tensor) {
  std::vector<ExternalEntry> entries;
  for (const ::onnx::StringStringEntryProto &entry : message.external_data())
    entries.emplace_back(entry.key(), entry.value());
  return external.place(entries, tensor, model.files);
}

Status TensorReader::takeStrings(OnnxTensor &tensor) {
  if (message.string_data_size() != tensor.elements)
    return {Code::Model,
            fmt::format("has {} strings, its shape {} wants {}", message.string_data_size(),
                        shapeText(tensor.dims), tensor.elements)};
  tensor.strings.assign(message.string_data().begin(), message.string_data().end());
  return {};
}

/// How many numbers are in the lists.
static uint64_t countNumbers(std::span<const WireField> lists, DataField field) {
  uint64_t count = 0;
  for (const WireField &list : lists)
    if (field == DataField::Float)
      count += list.payload.size() / 4;
    else if (field == DataField::Double)
      count += list.payload.size() / 8;
    else
      for (uint8_t byte : list.payload)
        count += byte < 0x80; // the last byte of a number
  return count;
}

/// Appends the lowest `bytes` of `value`.
static void append(uint64_t value, size_t bytes, std::vector<uint8_t> &out) {
  for (size_t index = 0; index < bytes; ++index)
    out.push_back(static_cast<uint8_t>(value >> (8 * index)));
}

namespace {
/// Whether a number of a list fits into its type: `bits` with or without a sign.
struct NumberRange {
  int64_t least, most;
  bool has(uint64_t number) const {
    const auto value = static_cast<int64_t>(number);
    return value >= least && value <= most;
  }
};
} // namespace

/// Codes of small floats and packed elements are bits, and writers differ in what sign they give
/// them.
static NumberRange rangeOf(ElementType type, int64_t bits) {
  if (type == ElementType::Bool)
    return {0, 1};
  if (type == ElementType::Uint32)
    return {0, UINT32_MAX};
  return {-(int64_t{1} << (bits - 1)), (int64_t{1} << bits) - 1};
}

Status TensorReader::decode(const Data &data, OnnxTensor &tensor) {
  const int64_t bits = elementTypeBits(tensor.type);
  const bool isFixed = data.field == DataField::Float || data.field == DataField::Double;
  const bool isPacked = bits < 8 && bits != 6; // several elements in each number
  const bool isComplex =
      tensor.type == ElementType::Complex64 || tensor.type == ElementType::Complex128;
  const uint64_t wanted =
      isPacked ? tensor.bytes : static_cast<uint64_t>(tensor.elements) * (isComplex ? 2 : 1);
  const uint64_t found = countNumbers(data.lists, data.field);
  if (found != wanted)
    return {Code::Model,
            fmt::format("has {} numbers in {}, {} of {} want {}", found, dataFieldName(data.field),
                        shapeText(tensor.dims), elementTypeName(tensor.type), wanted)};
  const WireType single = data.field == DataField::Float    ? WireType::Fixed32
                          : data.field == DataField::Double ? WireType::Fixed64
                                                            : WireType::Varint;
  for (const WireField &list : data.lists)
    if (list.type != WireType::Length && list.type != single)
      return {Code::Model, fmt::format("holds other numbers in {}", dataFieldName(data.field))};

  // Floats in one list lie as raw_data has them.
  if (isFixed && data.lists.size() == 1 && data.lists[0].payload.size() == tensor.bytes) {
    tensor.file = 0;
    tensor.offset = static_cast<uint64_t>(data.lists[0].payload.data() - model.message.data());
    return {};
  }
  decodedBytes += tensor.bytes;
  if (decodedBytes > kMostDecoded)
    return {Code::Unsupported, "is one of tensors that hold more than 1 GiB in lists of numbers; "
                               "save the model with raw_data or external data"};
  tensor.decoded.reserve(tensor.bytes);
  const size_t width = isFixed ? 1 : static_cast<size_t>(bits + 7) / 8;
  uint64_t pending = 0; // bits of elements of 6 bits
  int64_t pendingBits = 0;
  for (const WireField &list : data.lists) {
    if (isFixed) {
      tensor.decoded.insert(tensor.decoded.end(), list.payload.begin(), list.payload.end());
      continue;
    }
    for (std::span<const uint8_t> rest = list.payload; !rest.empty();) {
      std::optional<uint64_t> number = takeVarint(rest);
      if (!number)
        return {Code::Model, fmt::format("holds a broken number in {}", dataFieldName(data.field))};
      const int64_t range = isPacked ? 8 : bits;
      if (range < 64 && !rangeOf(tensor.type, range).has(*number))
        return {Code::Model,
                fmt::format("holds {} in {}, too large for {}", static_cast<int64_t>(*number),
                            dataFieldName(data.field), elementTypeName(tensor.type))};
      if (bits != 6) {
        append(*number, width, tensor.decoded);
        continue;
      }
      pending |= (*number & 0x3f) << pendingBits;
      for (pendingBits += 6; pendingBits >= 8; pendingBits -= 8, pending >>= 8)
        append(pending, 1, tensor.decoded);
    }
  }
  if (pendingBits > 0)
    append(pending, 1, tensor.decoded);
  if (tensor.decoded.size() != tensor.bytes)
    return {Code::Model, fmt::format("has {} bytes in {}, wanted {}", tensor.decoded.size(),
                                     dataFieldName(data.field), tensor.bytes)};
  return {};
}
