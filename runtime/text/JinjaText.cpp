// Python's string operations on UTF-8 text, as chat templates expect them.

#include "runtime/text/JinjaText.h"

#include <algorithm>
#include <cstdio>
#include <utf8proc.h>

using namespace moec::jinja;

CodePoint moec::jinja::codePointAt(std::string_view text, size_t position) {
  unsigned char lead = static_cast<unsigned char>(text[position]);
  if (lead < 0x80)
    return {lead, 1};
  utf8proc_int32_t value = -1;
  utf8proc_ssize_t bytes =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t *>(text.data()) + position,
                       static_cast<utf8proc_ssize_t>(text.size() - position), &value);
  if (bytes <= 0)
    return {-1, 1};
  return {value, static_cast<size_t>(bytes)};
}

size_t moec::jinja::lengthOf(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += codePointAt(text, at).bytes)
    ++count;
  return count;
}

std::vector<size_t> moec::jinja::offsetsOf(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size(); at += codePointAt(text, at).bytes)
    offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

void moec::jinja::appendCodePoint(std::string &text, int32_t value) {
  utf8proc_uint8_t bytes[4];
  utf8proc_ssize_t count = utf8proc_encode_char(value, bytes);
  text.append(reinterpret_cast<const char *>(bytes), static_cast<size_t>(count));
}

bool moec::jinja::isSpace(int32_t value) {
  return (value >= 0x09 && value <= 0x0d) || (value >= 0x1c && value <= 0x20) || value == 0x85 ||
         value == 0xa0 || value == 0x1680 || (value >= 0x2000 && value <= 0x200a) ||
         value == 0x2028 || value == 0x2029 || value == 0x202f || value == 0x205f ||
         value == 0x3000;
}

static bool isLetter(int32_t value) {
  if (value < 0)
    return false;
  utf8proc_category_t category = utf8proc_category(value);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static bool isNumeral(int32_t value) {
  return value >= 0 && utf8proc_category(value) == UTF8PROC_CATEGORY_ND;
}

bool moec::jinja::isWord(int32_t value) {
  if (value < 0x80)
    return value == '_' || (value >= '0' && value <= '9') || (value >= 'a' && value <= 'z') ||
           (value >= 'A' && value <= 'Z');
  return isLetter(value) || isNumeral(value);
}

bool moec::jinja::isName(std::string_view text) {
  static constexpr std::string_view reserved[] = {"true", "True", "false", "False", "none",
                                                  "None", "and",  "or",    "not",   "in",
                                                  "is",   "if",   "else"};
  for (size_t at = 0; at < text.size(); at += codePointAt(text, at).bytes)
    if (!isWord(codePointAt(text, at).value))
      return false;
  return !text.empty() && !isNumeral(codePointAt(text, 0).value) &&
         std::find(std::begin(reserved), std::end(reserved), text) == std::end(reserved);
}

static bool contains(std::string_view chars, int32_t value, std::string_view bytes) {
  if (value >= 0)
    return chars.find(bytes) != std::string_view::npos;
  for (size_t at = 0; at < chars.size();) {
    CodePoint point = codePointAt(chars, at);
    if (point.value < 0 && chars.substr(at, 1) == bytes)
      return true;
    at += point.bytes;
  }
  return false;
}

/// Where the last code point of a text that is not empty starts.
static size_t lastStart(std::string_view text) {
  size_t start = text.size() - 1;
  for (size_t back = 1; back < 4 && back < text.size(); ++back) {
    size_t candidate = text.size() - 1 - back;
    if (codePointAt(text, candidate).bytes == back + 1)
      start = candidate;
  }
  return start;
}

std::string_view moec::jinja::strip(std::string_view text,
                                    const std::optional<std::string_view> &chars, bool left,
                                    bool right) {
  auto goes = [&](std::string_view where, size_t at, CodePoint point) {
    return chars ? contains(*chars, point.value, where.substr(at, point.bytes))
                 : isSpace(point.value);
  };
  while (left && !text.empty()) {
    CodePoint point = codePointAt(text, 0);
    if (!goes(text, 0, point))
      break;
    text.remove_prefix(point.bytes);
  }
  while (right && !text.empty()) {
    size_t start = lastStart(text);
    CodePoint point = codePointAt(text, start);
    if (!goes(text, start, point))
      break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

static void appendUpper(std::string &text, int32_t value) {
  if (value == 0xdf) // the one common letter whose upper case is two letters
    text += "SS";
  else
    appendCodePoint(text, utf8proc_toupper(value));
}

std::string moec::jinja::changeCase(std::string_view text, Casing casing) {
  std::string changed;
  changed.reserve(text.size());
  bool start = true;
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    std::string_view bytes = text.substr(at, point.bytes);
    at += point.bytes;
    if (point.value < 0) {
      changed += bytes;
      start = casing == Casing::Title;
      continue;
    }
    bool upper = casing == Casing::Upper || (start && casing >= Casing::Capitalize);
    if (casing == Casing::Swap)
      upper = utf8proc_category(point.value) == UTF8PROC_CATEGORY_LL;
    if (upper)
      appendUpper(changed, point.value);
    else
      appendCodePoint(changed, utf8proc_tolower(point.value));
    start = casing == Casing::Title && !isLetter(point.value);
  }
  return changed;
}

static std::vector<std::string_view> splitAtSpaces(std::string_view text, int64_t most,
                                                   bool fromRight) {
  std::vector<std::string_view> parts;
  while (true) {
    text = strip(text, std::nullopt, !fromRight, fromRight);
    if (text.empty())
      break;
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);
      break;
    }
    size_t cut = fromRight ? text.size() : 0;
    while (fromRight ? cut > 0 : cut < text.size()) {
      size_t at = fromRight ? lastStart(text.substr(0, cut)) : cut;
      CodePoint point = codePointAt(text, at);
      if (isSpace(point.value))
        break;
      cut = fromRight ? at : cut + point.bytes;
    }
    parts.push_back(fromRight ? text.substr(cut) : text.substr(0, cut));
    text = fromRight ? text.substr(0, cut) : text.substr(cut);
  }
  if (fromRight)
    std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> moec::jinja::split(std::string_view text,
                                                 const std::optional<std::string_view> &separator,
                                                 int64_t most, bool fromRight) {
  if (!separator)
    return splitAtSpaces(text, most, fromRight);
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    size_t at = fromRight ? text.rfind(*separator) : text.find(*separator);
    if (at == std::string_view::npos)
      break;
    std::string_view before = text.substr(0, at);
    std::string_view after = text.substr(at + separator->size());
    parts.push_back(fromRight ? after : before);
    text = fromRight ? before : after;
  }
  parts.push_back(text);
  if (fromRight)
    std::reverse(parts.begin(), parts.end());
  return parts;
}

static bool endsLine(int32_t value) {
  return (value >= 0x0a && value <= 0x0d) || (value >= 0x1c && value <= 0x1e) || value == 0x85 ||
         value == 0x2028 || value == 0x2029;
}

std::vector<std::string_view> moec::jinja::splitLines(std::string_view text, bool keepEnds) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    size_t next = at + point.bytes;
    if (endsLine(point.value)) {
      if (point.value == '\r' && next < text.size() && text[next] == '\n')
        ++next;
      lines.push_back(text.substr(start, (keepEnds ? next : at) - start));
      start = next;
    }
    at = next;
  }
  if (start < text.size())
    lines.push_back(text.substr(start));
  return lines;
}

std::string moec::jinja::replace(std::string_view text, std::string_view from, std::string_view to,
                                 int64_t most) {
  std::string replaced;
  size_t at = 0;
  int64_t count = 0;
  if (from.empty()) { // goes in before every code point, and at the end
    std::vector<size_t> offsets = offsetsOf(text);
    for (size_t i = 0; i < offsets.size(); ++i) {
      if (most < 0 || count++ < most)
        replaced += to;
      if (i + 1 < offsets.size())
        replaced += text.substr(offsets[i], offsets[i + 1] - offsets[i]);
    }
    return replaced;
  }
  while (most < 0 || count < most) {
    size_t found = text.find(from, at);
    if (found == std::string_view::npos)
      break;
    replaced += text.substr(at, found - at);
    replaced += to;
    at = found + from.size();
    ++count;
  }
  replaced += text.substr(at);
  return replaced;
}

bool moec::jinja::isAll(std::string_view text, Nature nature) {
  if (nature == Nature::Ascii)
    return std::none_of(text.begin(), text.end(), [](char c) { return c & 0x80; });
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    at += point.bytes;
    utf8proc_category_t category =
        point.value < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(point.value);
    bool upper = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
    bool lower = category == UTF8PROC_CATEGORY_LL;
    cased |= upper || lower;
    if ((nature == Nature::Alpha && !isLetter(point.value)) ||
        (nature == Nature::Digit && !isNumeral(point.value)) ||
        (nature == Nature::Alnum && !isLetter(point.value) && !isNumeral(point.value)) ||
        (nature == Nature::Space && !isSpace(point.value)) || (nature == Nature::Upper && lower) ||
        (nature == Nature::Lower && upper))
      return false;
  }
  return nature == Nature::Upper || nature == Nature::Lower ? cased : !text.empty();
}

static bool isPrintable(int32_t value) {
  if (value == ' ')
    return true;
  switch (utf8proc_category(value)) {
  case UTF8PROC_CATEGORY_CC:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_CS:
  case UTF8PROC_CATEGORY_CO:
  case UTF8PROC_CATEGORY_CN:
  case UTF8PROC_CATEGORY_ZS:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return false;
  default:
    return true;
  }
}

static void appendEscape(std::string &text, const char *format, uint32_t value) {
  char buffer[16];
  text.append(buffer, static_cast<size_t>(std::snprintf(buffer, sizeof buffer, format, value)));
}

std::string moec::jinja::quotePython(std::string_view text) {
  bool single = text.find('\'') != std::string_view::npos;
  char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string quoted(1, quote);
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    std::string_view bytes = text.substr(at, point.bytes);
    at += point.bytes;
    if (bytes[0] == quote || bytes[0] == '\\')
      (quoted += '\\') += bytes;
    else if (point.value == '\n')
      quoted += "\\n";
    else if (point.value == '\r')
      quoted += "\\r";
    else if (point.value == '\t')
      quoted += "\\t";
    else if (point.value < 0)
      appendEscape(quoted, "\\x%02x", static_cast<unsigned char>(bytes[0]));
    else if (isPrintable(point.value))
      quoted += bytes;
    else if (point.value < 0x100)
      appendEscape(quoted, "\\x%02x", static_cast<uint32_t>(point.value));
    else
      appendEscape(quoted, point.value < 0x10000 ? "\\u%04x" : "\\U%08x",
                   static_cast<uint32_t>(point.value));
  }
  return quoted += quote;
}

std::string moec::jinja::quoteJson(std::string_view text, bool asciiOnly) {
  std::string quoted = "\"";
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    std::string_view bytes = text.substr(at, point.bytes);
    at += point.bytes;
    if (bytes[0] == '"' || bytes[0] == '\\')
      (quoted += '\\') += bytes;
    else if (point.value == '\n')
      quoted += "\\n";
    else if (point.value == '\r')
      quoted += "\\r";
    else if (point.value == '\t')
      quoted += "\\t";
    else if (point.value == '\b')
      quoted += "\\b";
    else if (point.value == '\f')
      quoted += "\\f";
    else if (point.value >= 0 && point.value < 0x20)
      appendEscape(quoted, "\\u%04x", static_cast<uint32_t>(point.value));
    else if (!asciiOnly || (point.value >= 0 && point.value < 0x7f) || point.value == 0x7f)
      quoted += bytes;
    else if (point.value < 0)
      appendEscape(quoted, "\\udc%02x", static_cast<unsigned char>(bytes[0]));
    else if (point.value < 0x10000)
      appendEscape(quoted, "\\u%04x", static_cast<uint32_t>(point.value));
    else {
      uint32_t rest = static_cast<uint32_t>(point.value) - 0x10000;
      appendEscape(quoted, "\\u%04x", 0xd800 + (rest >> 10));
      appendEscape(quoted, "\\u%04x", 0xdc00 + (rest & 0x3ff));
    }
  }
  return quoted += '"';
}

std::string moec::jinja::escapeHtml(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '\'')
      escaped += "&#39;";
    else if (c == '"')
      escaped += "&#34;";
    else
      escaped += c;
  }
  return escaped;
}
