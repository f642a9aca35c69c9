// Cuts a chat template into tokens, with its white-space rules already applied.

#ifndef MOEC_RUNTIME_TEXT_JINJALEXER_H
#define MOEC_RUNTIME_TEXT_JINJALEXER_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moec::jinja {

struct Token {
  enum class Kind {
    Data,        ///< text to copy
    OutputBegin, ///< {{
    OutputEnd,   ///< }}
    BlockBegin,  ///< {%
    BlockEnd,    ///< %}
    Name,
    String, ///< text is the unescaped content
    Integer,
    Float,
    Operator,
    End,
  };
  Kind kind;
  uint32_t line;
  std::string text;
  int64_t integer = 0;
  double real = 0;

  bool is(Kind wanted, std::string_view spelling) const {
    return kind == wanted && text == spelling;
  }
};

/// Tokens of a whole template, ending in one of kind End. Comments are gone; trim_blocks and
/// lstrip_blocks are on and one newline at the very end is dropped, as chat templates expect.
Result<std::vector<Token>> tokenize(std::string_view source);

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJALEXER_H
