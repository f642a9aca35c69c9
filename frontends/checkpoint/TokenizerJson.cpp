// Messages say the file, the path, what was found and what was wanted.

#include "frontends/checkpoint/TokenizerJson.h"

#include "runtime/text/Utf8.h"

#include <fmt/format.h>

using namespace moec;
using nlohmann::json;

static const json absent = nullptr;

void JsonField::fail(Code code, std::string_view what) const {
  if (!ok())
    return;
  report->status.code = code;
  report->status.message = name.empty() ? fmt::format("{}: {}", report->file, what)
                                        : fmt::format("{}: `{}`: {}", report->file, name, what);
  // Words of the file are in it, and it must stay one printable line.
  for (char &character : report->status.message)
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f)
      character = '?';
}

JsonField JsonField::operator[](std::string_view key) const {
  JsonField field = *this;
  field.name = name.empty() ? std::string(key) : fmt::format("{}.{}", name, key);
  field.value = &absent;
  if (value->is_object()) {
    auto found = value->find(std::string(key));
    if (found != value->end())
      field.value = &*found;
  } else if (!value->is_null()) {
    malformed(fmt::format("{} where an object is wanted", value->type_name()));
  }
  return field;
}

JsonField JsonField::operator[](size_t index) const {
  JsonField field = *this;
  field.name = fmt::format("{}[{}]", name, index);
  field.value = &(*value)[index];
  return field;
}

size_t JsonField::size() const {
  if (value->is_array())
    return value->size();
  malformed(fmt::format("{} where an array is wanted", value->type_name()));
  return 0;
}

bool JsonField::boolean(std::optional<bool> otherwise) const {
  if (value->is_null() && otherwise)
    return *otherwise;
  if (value->is_boolean())
    return value->get<bool>();
  malformed(fmt::format("{} where true or false is wanted", value->type_name()));
  return false;
}

std::string JsonField::string(std::optional<std::string> otherwise) const {
  if (value->is_null() && otherwise)
    return *otherwise;
  if (value->is_string())
    return value->get<std::string>();
  malformed(fmt::format("{} where a string is wanted", value->type_name()));
  return {};
}

uint32_t JsonField::number(uint32_t limit, std::optional<uint32_t> otherwise) const {
  if (value->is_null() && otherwise)
    return *otherwise;
  if (!value->is_number_unsigned()) {
    malformed(fmt::format("{} where a number from 0 on is wanted",
                          value->is_number() ? value->dump() : value->type_name()));
    return 0;
  }
  uint64_t number = value->get<uint64_t>();
  if (number <= limit)
    return static_cast<uint32_t>(number);
  malformed(fmt::format("{} where at most {} is wanted", number, limit));
  return 0;
}

std::string JsonField::character() const {
  std::string text = string();
  if (ok() && (text.empty() || utf8::step(text) != text.size()))
    malformed(fmt::format("`{}` where one character is wanted", text));
  return text;
}
