// What a normalizer replaces and a pre-tokenizer splits at: a regular expression, or plain text.

#ifndef MOEC_RUNTIME_TEXT_PATTERN_H
#define MOEC_RUNTIME_TEXT_PATTERN_H

#include "runtime/core/Result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// A stretch of a text, in bytes.
struct Span {
  size_t begin;
  size_t end;
};

/// A compiled pattern. Immutable: any number of threads may search with it.
class Pattern {
public:
  /// `regex` is PCRE2 over Unicode, multi-line; a pattern that PCRE2 refuses is Code::Unsupported.
  static Result<Pattern> compileRegex(std::string_view regex);
  /// Matches exactly `text`; nothing where it is empty.
  static Pattern literal(std::string_view text);

  Pattern(Pattern &&) noexcept;
  Pattern &operator=(Pattern &&) noexcept;
  ~Pattern();

  /// All matches in `text`, which must be UTF-8, from left to right and not overlapping; no empty
  /// match directly behind another. Fails, with Code::Usage, where the search takes more steps or
  /// memory than its limits allow.
  Result<std::vector<Span>> find(std::string_view text) const;

private:
  struct Compiled;

  Pattern();

  std::string plain;
  std::unique_ptr<Compiled> compiled; ///< none for plain text
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_PATTERN_H
