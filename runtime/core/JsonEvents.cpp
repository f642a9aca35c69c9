// A strict JSON reader without recursion; plain strings are passed on where they lie.

#include "runtime/core/JsonEvents.h"

#include <charconv>
#include <string>

using namespace moec;

static bool isDigit(char character) { return character >= '0' && character <= '9'; }

static bool isBetween(char byte, int least, int most) {
  const int value = static_cast<unsigned char>(byte);
  return value >= least && value <= most;
}

/// Bytes of the character of UTF-8 that `text`, not empty, begins with; 0 where it is not valid.
static size_t characterBytes(std::string_view text) {
  const int first = static_cast<unsigned char>(text[0]);
  const size_t count = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.size() < count)
    return 0;
  // Neither longer than needed, nor half of a pair, nor past the last character.
  if (count > 1 && !isBetween(text[1],
                              first == 0xe0   ? 0xa0
                              : first == 0xf0 ? 0x90
                                              : 0x80,
                              first == 0xed   ? 0x9f
                              : first == 0xf4 ? 0x8f
                                              : 0xbf))
    return 0;
  for (size_t index = 2; index < count; ++index)
    if (!isBetween(text[index], 0x80, 0xbf))
      return 0;
  return count;
}

static void appendCharacter(std::string &text, uint32_t code) {
  auto append = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80)
    return append(code);
  if (code < 0x800) {
    append(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      append(0xe0 | code >> 12);
    } else {
      append(0xf0 | code >> 18);
      append(0x80 | (code >> 12 & 0x3f));
    }
    append(0x80 | (code >> 6 & 0x3f));
  }
  append(0x80 | (code & 0x3f));
}

namespace {

/// Each function reads what its name says and leaves `at` behind it, or where it went wrong.
class Reader {
public:
  Reader(std::string_view text, JsonEvents &events)
      : begin(text.data()), at(begin), end(begin + text.size()), events(events) {}

  JsonReading run() {
    const bool isRead = value() && (skipSpace(), at == end);
    return {isRead    ? JsonEnd::Whole
            : stopped ? JsonEnd::Stopped
                      : JsonEnd::Invalid,
            static_cast<size_t>(at - begin)};
  }

private:
  /// A value, and all that is in it.
  bool value() {
    while (true) {
      if (!start())
        return false;
      if (entered)
        continue;
      while (true) {
        if (open.empty())
          return true;
        skipSpace();
        if (take(',')) {
          if (open.back() == '{' && !member())
            return false;
          break;
        }
        if (!close())
          return false;
      }
    }
  }

  /// A scalar, an empty container, or the begin of another, up to where its first value is.
  bool start() {
    entered = false;
    skipSpace();
    if (at == end)
      return false;
    const char first = *at;
    if (first == '{' || first == '[') {
      ++at;
      open += first;
      if (!pass(first == '{' ? events.startObject() : events.startArray()))
        return false;
      skipSpace();
      if (at != end && *at == closing(first))
        return close();
      entered = true;
      return first == '[' || member();
    }
    if (first == '"') {
      std::string_view text;
      return string(text) && pass(events.string(text));
    }
    return first == '-' || isDigit(first) ? number() : literal();
  }

  /// A key and its colon.
  bool member() {
    skipSpace();
    std::string_view name;
    if (at == end || *at != '"' || !string(name) || !pass(events.key(name)))
      return false;
    skipSpace();
    return take(':');
  }

  bool close() {
    const char container = open.back();
    if (!take(closing(container)))
      return false;
    open.pop_back();
    return pass(container == '{' ? events.endObject() : events.endArray());
  }

  bool string(std::string_view &text) {
    const char *first = ++at;
    decoded.clear();
    bool hasEscapes = false;
    while (true) {
      while (at != end && isBetween(*at, 0x20, 0x7f) && *at != '"' && *at != '\\')
        ++at;
      if (at == end || isBetween(*at, 0, 0x1f))
        return false;
      if (*at == '"') {
        if (hasEscapes)
          decoded.append(first, at);
        text = hasEscapes ? std::string_view(decoded) : std::string_view(first, at);
        ++at;
        return true;
      }
      if (*at == '\\') {
        decoded.append(first, at);
        hasEscapes = true;
        if (!escape())
          return false;
        first = at;
        continue;
      }
      const size_t bytes = characterBytes({at, end});
      if (bytes == 0)
        return false;
      at += bytes;
    }
  }

  bool escape() {
    static constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    ++at;
    if (at == end)
      return false;
    if (const size_t which = kNames.find(*at); which != kNames.npos) {
      decoded += kMeanings[which];
      ++at;
      return true;
    }
    uint32_t code = 0, second = 0;
    if (!unit(code))
      return false;
    if (code >= 0xd800 && code < 0xe000) { // the first half of a pair, and only before the second
      if (code >= 0xdc00 || !take('\\') || !unit(second) || second < 0xdc00 || second >= 0xe000)
        return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
    }
    appendCharacter(decoded, code);
    return true;
  }

  /// u and four digits.
  bool unit(uint32_t &code) {
    if (!take('u') || end - at < 4)
      return false;
    const char *wanted = at + 4;
    at = std::from_chars(at, wanted, code, 16).ptr;
    return at == wanted;
  }

  bool number() {
    const char *first = at;
    const bool isNegative = take('-');
    if (!take('0') && !digits())
      return false;
    const char *last = at;
    if (take('.') && !digits())
      return false;
    if (at != end && (*at == 'e' || *at == 'E')) {
      ++at;
      if (!take('+'))
        take('-');
      if (!digits())
        return false;
    }
    uint64_t value = 0;
    if (!isNegative && at == last && std::from_chars(first, last, value).ec == std::errc())
      return pass(events.natural(value));
    return pass(events.otherNumber({first, at}));
  }

  bool digits() {
    const char *first = at;
    while (at != end && isDigit(*at))
      ++at;
    return at != first;
  }

  bool literal() {
    for (std::string_view name : {"true", "false", "null"})
      if (std::string_view(at, end).starts_with(name)) {
        at += name.size();
        return pass(events.literal(name));
      }
    return false;
  }

  void skipSpace() {
    while (at != end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
      ++at;
  }
  bool take(char character) {
    if (at == end || *at != character)
      return false;
    ++at;
    return true;
  }
  static char closing(char container) { return container == '{' ? '}' : ']'; }
  bool pass(bool goesOn) {
    stopped |= !goesOn;
    return goesOn;
  }

  const char *begin, *at, *end;
  JsonEvents &events;
  std::string open;     // the containers around `at`, by their first characters
  std::string decoded;  // of the string read last, if it had escapes
  bool entered = false; // a container, of which the first value comes next
  bool stopped = false;
};

} // namespace

JsonReading moec::readJson(std::string_view text, JsonEvents &events) {
  return Reader(text, events).run();
}
