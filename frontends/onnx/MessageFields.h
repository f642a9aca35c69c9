// A message in two: fields that are walked over where they lie, and all others in Protobuf's class.

#ifndef MOEC_FRONTENDS_ONNX_MESSAGEFIELDS_H
#define MOEC_FRONTENDS_ONNX_MESSAGEFIELDS_H

#include "frontends/onnx/WireFormat.h"
#include "runtime/core/Result.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>

#include <initializer_list>

namespace moec {

/// The numbers of fields, all below 64.
constexpr uint64_t fieldSet(std::initializer_list<int> numbers) {
  uint64_t set = 0;
  for (int number : numbers)
    set |= uint64_t{1} << number;
  return set;
}

/// Merges `bytes`, a run of fields, into `message`. Nesting is bounded by Protobuf.
inline bool mergeFields(std::span<const uint8_t> bytes, google::protobuf::MessageLite &message) {
  google::protobuf::io::CodedInputStream input(bytes.data(), static_cast<int>(bytes.size()));
  return message.MergePartialFromCodedStream(&input) && input.ConsumedEntireMessage();
}

/// Fails where a message had fields, or values of an enumeration, that no version of ONNX has which
/// moec knows: they may change what it means.
template <typename Message> Status checkKnown(const Message &message) {
  if (message.unknown_fields().empty())
    return {};
  WireReader unknown({reinterpret_cast<const uint8_t *>(message.unknown_fields().data()),
                      message.unknown_fields().size()});
  std::optional<WireField> field = unknown.next();
  return {Code::Unsupported,
          fmt::format("field {} of {} is unknown, or holds what is: newer than ONNX 1.23",
                      field ? field->number : 0, message.GetTypeName())};
}

/// Reads the message in `bytes`: calls `walk(field)` for each field whose number is in `walked`,
/// and puts the others into `message`, which is cleared first.
template <typename Message, typename Walk>
Status readFields(std::span<const uint8_t> bytes, uint64_t walked, Message &message, Walk walk) {
  message.Clear();
  auto broken = [&](std::string_view why) {
    return Status{Code::Model, fmt::format("not a valid {}: {}", message.GetTypeName(), why)};
  };
  WireReader fields(bytes);
  const uint8_t *run = bytes.data(); // where the fields begin that are not in `message` yet
  auto merge = [&](const uint8_t *end) { return run == end || mergeFields({run, end}, message); };
  while (std::optional<WireField> field = fields.next()) {
    if (field->number >= 64 || !(walked >> field->number & 1))
      continue;
    if (!merge(field->whole.data()))
      return broken("a field does not hold what it should");
    run = field->whole.data() + field->whole.size();
    if (Status status = walk(*field); !status.ok())
      return status;
  }
  if (!fields.complaint().empty())
    return broken(fields.complaint());
  if (!merge(bytes.data() + bytes.size()))
    return broken("a field does not hold what it should");
  return checkKnown(message);
}

/// Fails where `field`, of the message called `name`, holds no bytes.
inline Status checkLength(const WireField &field, std::string_view name) {
  if (field.type == WireType::Length)
    return {};
  return {Code::Model, fmt::format("not a valid {}: field {} holds a number", name, field.number)};
}

/// `status` with the place where it arose in front.
inline Status within(std::string_view place, Status status) {
  return {status.code, fmt::format("{}: {}", place, status.message)};
}

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_MESSAGEFIELDS_H
