// Python's string operations on UTF-8 text, as chat templates expect them.

#ifndef MOEC_RUNTIME_TEXT_JINJATEXT_H
#define MOEC_RUNTIME_TEXT_JINJATEXT_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec::jinja {

/// One code point and the bytes it takes; a byte that is no UTF-8 counts as one code point.
struct CodePoint {
  int32_t value; ///< negative where the byte is not UTF-8
  size_t bytes;
};

/// The code point at byte `position`, which must lie inside `text`.
CodePoint codePointAt(std::string_view text, size_t position);
/// Number of code points.
size_t lengthOf(std::string_view text);
/// Byte offset of every code point, and `text.size()` as the last entry.
std::vector<size_t> offsetsOf(std::string_view text);
/// Appends `value` as UTF-8; it must be a Unicode scalar value.
void appendCodePoint(std::string &text, int32_t value);

/// Whether str.isspace() holds for the code point.
bool isSpace(int32_t value);
/// Whether the code point may stand in an identifier (letters, digits and the underscore).
bool isWord(int32_t value);
/// Whether a template can name a variable so.
bool isName(std::string_view text);

/// `text` without the leading and trailing code points that are in `chars`, or white space without
/// it.
std::string_view strip(std::string_view text, const std::optional<std::string_view> &chars,
                       bool left, bool right);

enum class Casing { Upper, Lower, Swap, Capitalize, Title };
/// Changes case; `Title` starts a word after every code point that is no letter, as str.title().
std::string changeCase(std::string_view text, Casing casing);

/// str.split and str.rsplit; no separator means runs of white space; negative `most` has no limit.
std::vector<std::string_view> split(std::string_view text,
                                    const std::optional<std::string_view> &separator, int64_t most,
                                    bool fromRight);
/// str.splitlines.
std::vector<std::string_view> splitLines(std::string_view text, bool keepEnds);
/// str.replace; negative `most` has no limit.
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t most);

enum class Nature { Alpha, Digit, Alnum, Space, Upper, Lower, Ascii };
/// str.isalpha and its kin: every code point is of this nature, and there is one (except Ascii).
bool isAll(std::string_view text, Nature nature);

/// `text` as Python's repr prints it, quotes included.
std::string quotePython(std::string_view text);
/// `text` as a JSON string, quotes included.
std::string quoteJson(std::string_view text, bool asciiOnly);
/// `text` with & < > ' " as HTML entities.
std::string escapeHtml(std::string_view text);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJATEXT_H
