// Tags, varints and lengths, each checked against what is left.

#include "frontends/onnx/WireFormat.h"

using namespace moec;

static constexpr uint64_t kMostNumbers = (1 << 29) - 1;

std::optional<uint64_t> moec::takeVarint(std::span<const uint8_t> &bytes) {
  uint64_t value = 0;
  for (size_t index = 0; index < bytes.size() && index < 10; ++index) {
    // Of the tenth byte only the lowest bit has a place.
    value |= static_cast<uint64_t>(bytes[index] & 0x7f) << (7 * index);
    if (!(bytes[index] & 0x80)) {
      bytes = bytes.subspan(index + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<WireField> WireReader::next() {
  if (rest.empty())
    return std::nullopt;
  const std::span<const uint8_t> begin = rest;
  std::optional<uint64_t> tag = takeVarint(rest);
  if (!tag || *tag >> 3 == 0 || *tag >> 3 > kMostNumbers)
    return complain("a tag is broken");
  WireField field;
  field.number = static_cast<uint32_t>(*tag >> 3);
  size_t length = 0;
  switch (*tag & 7) {
  case 0: {
    field.type = WireType::Varint;
    std::span<const uint8_t> after = rest;
    if (!takeVarint(after))
      return complain("a number is broken");
    length = rest.size() - after.size();
    break;
  }
  case 1:
    field.type = WireType::Fixed64;
    length = 8;
    break;
  case 2: {
    field.type = WireType::Length;
    std::optional<uint64_t> given = takeVarint(rest);
    if (!given)
      return complain("a length is broken");
    if (*given > rest.size())
      return complain("a field is longer than what holds it");
    length = *given;
    break;
  }
  case 5:
    field.type = WireType::Fixed32;
    length = 4;
    break;
  default:
    return complain("a field is of a kind that ONNX does not use");
  }
  if (length > rest.size())
    return complain("it ends inside a number");
  field.payload = rest.first(length);
  rest = rest.subspan(length);
  field.whole = begin.first(begin.size() - rest.size());
  return field;
}
