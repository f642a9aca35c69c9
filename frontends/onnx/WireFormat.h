// The wire format of Protobuf: the fields of a message, found without copying what they hold.

#ifndef MOEC_FRONTENDS_ONNX_WIREFORMAT_H
#define MOEC_FRONTENDS_ONNX_WIREFORMAT_H

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moec {

enum class WireType : uint8_t { Varint = 0, Fixed64 = 1, Length = 2, Fixed32 = 5 };

/// One field of a message.
struct WireField {
  uint32_t number = 0;
  WireType type = WireType::Varint;
  std::span<const uint8_t> whole;   ///< with tag and length
  std::span<const uint8_t> payload; ///< what follows them
};

/// Takes a varint of at most ten bytes off the front of `bytes`; none where there is none.
std::optional<uint64_t> takeVarint(std::span<const uint8_t> &bytes);

/// Walks over the fields of one message, which are not looked into.
class WireReader {
public:
  explicit WireReader(std::span<const uint8_t> message) : rest(message) {}

  /// The next field; none at the end, and where the bytes are no message.
  std::optional<WireField> next();
  /// Says, where `next` has ended too early, why; else empty.
  std::string_view complaint() const { return words; }

private:
  std::nullopt_t complain(std::string_view why) {
    words = why;
    return std::nullopt;
  }

  std::span<const uint8_t> rest;
  std::string_view words;
};

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_WIREFORMAT_H
