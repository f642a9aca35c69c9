// The well-formed byte sequences are those of Unicode's table 3-7.

#include "runtime/text/Utf8.h"

#include <utf8proc.h>

using namespace moec;

namespace {

/// What a first byte promises: the length, and the range of the second byte.
struct Lead {
  uint32_t bytes;
  uint8_t low, high;
};

} // namespace

static Lead leadOf(uint8_t byte) {
  if (byte < 0x80)
    return {1, 0, 0};
  if (byte < 0xC2)
    return {0, 0, 0};
  if (byte < 0xE0)
    return {2, 0x80, 0xBF};
  if (byte == 0xE0)
    return {3, 0xA0, 0xBF};
  if (byte == 0xED)
    return {3, 0x80, 0x9F};
  if (byte < 0xF0)
    return {3, 0x80, 0xBF};
  if (byte == 0xF0)
    return {4, 0x90, 0xBF};
  if (byte < 0xF4)
    return {4, 0x80, 0xBF};
  if (byte == 0xF4)
    return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

/// How many bytes of `text` begin a character, and whether they are a whole one.
static size_t beginning(std::string_view text, bool &whole) {
  Lead lead = leadOf(static_cast<uint8_t>(text[0]));
  whole = lead.bytes == 1;
  if (lead.bytes < 2)
    return 1;
  size_t have = 1;
  while (have < lead.bytes && have < text.size()) {
    uint8_t byte = static_cast<uint8_t>(text[have]);
    uint8_t low = have == 1 ? lead.low : 0x80, high = have == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high)
      return have;
    ++have;
  }
  whole = have == lead.bytes;
  return have;
}

utf8::Character utf8::first(std::string_view text) {
  bool whole;
  size_t bytes = beginning(text, whole);
  uint8_t lead = static_cast<uint8_t>(text[0]);
  if (!whole)
    return {lead, 0};
  if (bytes == 1)
    return {lead, 1};
  char32_t value = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i)
    value = value << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
  return {value, static_cast<uint32_t>(bytes)};
}

utf8::Character utf8::last(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && text.size() - start < 4 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80)
    --start;
  Character character = first(text.substr(start));
  if (character.bytes == text.size() - start)
    return character;
  return {static_cast<uint8_t>(text.back()), 0};
}

size_t utf8::validPrefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    if (static_cast<uint8_t>(text[position]) < 0x80) {
      ++position;
      continue;
    }
    bool whole;
    size_t bytes = beginning(text.substr(position), whole);
    if (!whole)
      return position;
    position += bytes;
  }
  return position;
}

void utf8::append(std::string &text, char32_t value) {
  if (value < 0x80) {
    text += static_cast<char>(value);
    return;
  }
  if (value < 0x800) {
    text += static_cast<char>(0xC0 | value >> 6);
  } else {
    if (value < 0x10000) {
      text += static_cast<char>(0xE0 | value >> 12);
    } else {
      text += static_cast<char>(0xF0 | value >> 18);
      text += static_cast<char>(0x80 | (value >> 12 & 0x3F));
    }
    text += static_cast<char>(0x80 | (value >> 6 & 0x3F));
  }
  text += static_cast<char>(0x80 | (value & 0x3F));
}

void utf8::appendLossy(std::string &text, std::string &bytes, bool hold) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    size_t valid = validPrefix(rest);
    text += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty())
      break;
    bool whole;
    size_t broken = beginning(rest, whole);
    // Only a beginning that may still become a character is worth waiting for.
    if (hold && broken == rest.size() && leadOf(static_cast<uint8_t>(rest[0])).bytes > broken)
      break;
    append(text, 0xFFFD);
    rest.remove_prefix(broken);
  }
  bytes.erase(0, bytes.size() - rest.size());
}

bool utf8::isSpace(char32_t value) {
  return (value >= 0x9 && value <= 0xD) || value == 0x20 || value == 0x85 || value == 0xA0 ||
         value == 0x1680 || (value >= 0x2000 && value <= 0x200A) || value == 0x2028 ||
         value == 0x2029 || value == 0x202F || value == 0x205F || value == 0x3000;
}

bool utf8::isWord(char32_t value) {
  if (value == 0x200C || value == 0x200D)
    return true; // joiners
  // Circled and squared letters are symbols, and yet alphabetic.
  if ((value >= 0x24B6 && value <= 0x24E9) || (value >= 0x1F130 && value <= 0x1F149) ||
      (value >= 0x1F150 && value <= 0x1F169) || (value >= 0x1F170 && value <= 0x1F189))
    return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(value))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_PC:
    return true;
  default:
    return false;
  }
}
