// UTF-8: checked, walked and written, a character at a time.

#ifndef MOEC_RUNTIME_TEXT_UTF8_H
#define MOEC_RUNTIME_TEXT_UTF8_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moec::utf8 {

/// One character, and how many bytes it takes.
struct Character {
  char32_t value;
  uint32_t bytes; ///< 0 where the bytes are no character
};

/// The character that `text`, which must not be empty, begins with.
Character first(std::string_view text);
/// The character that `text`, which must not be empty, ends with.
Character last(std::string_view text);
/// How many of the first bytes of `text` belong to one character: at least 1 for a non-empty text,
/// so that walking over bytes that are no UTF-8 ends.
inline size_t step(std::string_view text) {
  uint32_t bytes = first(text).bytes;
  return bytes ? bytes : 1;
}

/// Offset of the first byte that belongs to no character, or `text.size()`.
size_t validPrefix(std::string_view text);
inline bool isValid(std::string_view text) { return validPrefix(text) == text.size(); }

/// Appends a character; `value` must be a Unicode scalar value.
void append(std::string &text, char32_t value);

/// Moves characters from `bytes` to `text`. Bytes that are no character become U+FFFD, one for each
/// longest beginning of a character. With `hold`, a beginning at the very end stays in `bytes`.
void appendLossy(std::string &text, std::string &bytes, bool hold);

/// Unicode's White_Space.
bool isSpace(char32_t value);
/// Letters, marks, decimal digits, connectors and joiners: what a word is made of.
bool isWord(char32_t value);

} // namespace moec::utf8

#endif // MOEC_RUNTIME_TEXT_UTF8_H
