// A recursive reader of literals that writes JSON as it goes.

#include "runtime/text/PythonCalls.h"

#include "runtime/text/Utf8.h"

#include <nlohmann/json.hpp>

#include <algorithm>

using namespace moec;

constexpr int maxDepth = 32;

static bool isNameLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

namespace {

/// Each function takes what it names off the front and is false where that is not there.
class PythonReader {
public:
  explicit PythonReader(std::string_view text) : text(text) {}

  bool list(ToolCalls &calls) {
    if (!take('['))
      return false;
    do {
      ToolCall call;
      if (!this->call(call))
        return false;
      calls.push_back(std::move(call));
    } while (take(','));
    return take(']') && (skipSpace(), text.empty());
  }

private:
  void skipSpace() { text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size())); }

  bool take(char c) {
    skipSpace();
    if (!text.starts_with(c))
      return false;
    text.remove_prefix(1);
    return true;
  }

  bool name(std::string &into) {
    skipSpace();
    size_t length = 0;
    while (length < text.size() && isNameLetter(text[length]))
      ++length;
    into = text.substr(0, length);
    text.remove_prefix(length);
    return length > 0;
  }

  bool call(ToolCall &call) {
    if (!name(call.name) || !take('('))
      return false;
    call.arguments = "{";
    while (!take(')')) {
      std::string key;
      if (call.arguments.size() > 1 && !take(','))
        return false;
      if (call.arguments.size() > 1)
        call.arguments += ", ";
      if (!name(key) || !take('='))
        return false;
      call.arguments += quoted(key) + ": ";
      if (!value(call.arguments, 0))
        return false;
    }
    call.arguments += "}";
    return true;
  }

  static std::string quoted(const std::string &text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  bool value(std::string &json, int depth) {
    skipSpace();
    if (depth > maxDepth || text.empty())
      return false;
    switch (text.front()) {
    case '\'':
    case '"':
      return string(json);
    case '[':
    case '(':
      return sequence(json, depth);
    case '{':
      return mapping(json, depth);
    default:
      return word(json);
    }
  }

  bool sequence(std::string &json, int depth) {
    char end = text.front() == '[' ? ']' : ')';
    text.remove_prefix(1);
    json += '[';
    for (bool first = true; !take(end); first = false) {
      if (!first && !take(','))
        return false;
      if (!first && take(end)) // a comma at the end
        break;
      json += first ? "" : ", ";
      if (!value(json, depth + 1))
        return false;
    }
    json += ']';
    return true;
  }

  bool mapping(std::string &json, int depth) {
    text.remove_prefix(1);
    json += '{';
    for (bool first = true; !take('}'); first = false) {
      if (!first && !take(','))
        return false;
      if (!first && take('}'))
        break;
      json += first ? "" : ", ";
      skipSpace();
      if (!text.starts_with('\'') && !text.starts_with('"'))
        return false;
      if (!string(json) || !take(':'))
        return false;
      json += ": ";
      if (!value(json, depth + 1))
        return false;
    }
    json += '}';
    return true;
  }

  /// True, False, None, or a number.
  bool word(std::string &json) {
    size_t length = 0;
    while (length < text.size() && (isNameLetter(text[length]) || text[length] == '+'))
      ++length;
    std::string_view word = text.substr(0, length);
    text.remove_prefix(length);
    for (auto [python, spelled] :
         {std::pair("True", "true"), std::pair("False", "false"), std::pair("None", "null"),
          std::pair("true", "true"), std::pair("false", "false"), std::pair("null", "null")})
      if (word == python) {
        json += spelled;
        return true;
      }
    nlohmann::json number = nlohmann::json::parse(word, nullptr, false);
    if (!number.is_number())
      return false;
    json += word;
    return true;
  }

  bool string(std::string &json) {
    char quote = text.front();
    text.remove_prefix(1);
    std::string plain;
    while (!text.starts_with(quote)) {
      if (text.empty())
        return false;
      char c = text.front();
      text.remove_prefix(1);
      if (c != '\\')
        plain += c;
      else if (!escape(plain))
        return false;
    }
    text.remove_prefix(1);
    json += quoted(plain);
    return true;
  }

  bool escape(std::string &plain) {
    if (text.empty())
      return false;
    char letter = text.front();
    text.remove_prefix(1);
    constexpr std::string_view letters = "ntrbfav\\'\"", values = "\n\t\r\b\f\a\v\\'\"";
    if (size_t at = letters.find(letter); at != letters.npos)
      plain += values[at];
    else if (letter == 'u' || letter == 'x')
      return codePoint(letter == 'u' ? 4 : 2, plain);
    else
      (plain += '\\') += letter; // as Python leaves what is no escape
    return true;
  }

  bool codePoint(size_t digits, std::string &plain) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      constexpr std::string_view hexadecimal = "0123456789abcdef";
      size_t digit = text.empty() ? hexadecimal.npos : hexadecimal.find(text.front() | 0x20);
      if (digit == hexadecimal.npos)
        return false;
      value = value * 16 + static_cast<uint32_t>(digit);
      text.remove_prefix(1);
    }
    if (value >= 0xD800 && value < 0xE000)
      return false;
    utf8::append(plain, value);
    return true;
  }

  std::string_view text;
};

} // namespace

std::optional<ToolCalls> moec::readPythonCalls(std::string_view text) {
  ToolCalls calls;
  return PythonReader(text).list(calls) ? std::optional(std::move(calls)) : std::nullopt;
}

bool moec::mayBePythonCalls(std::string_view text) {
  text.remove_prefix(1);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  size_t length = 0;
  while (length < text.size() && isNameLetter(text[length]))
    ++length;
  bool isNumber = length > 0 && text[0] >= '0' && text[0] <= '9'; // a reference, [1]
  return !isNumber && (length == text.size() || (length > 0 && text[length] == '('));
}
