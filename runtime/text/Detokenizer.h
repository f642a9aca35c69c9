// The decoder of a tokenizer: token texts in, text for readers out, as soon as it is certain.

#ifndef MOEC_RUNTIME_TEXT_DETOKENIZER_H
#define MOEC_RUNTIME_TEXT_DETOKENIZER_H

#include "runtime/text/Steps.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Whether `kind` may stand in a decoder.
bool isDecoderStep(tokenizer::StepKind kind);

/// Decodes one sequence of tokens. What it has given out after any token never changes with later
/// ones.
class Detokenizer {
public:
  /// `steps` must outlive it; they have no regular expressions. `joinBySpaces`: with a space
  /// between tokens at the end.
  Detokenizer(std::span<const PreparedStep> steps, bool joinBySpaces);

  /// Takes the next token, as the vocabulary spells it, and appends to `text` what is certain now.
  void push(std::string_view token, std::string &text);
  /// Ends the sequence: appends the rest. Nothing may be pushed afterwards.
  void finish(std::string &text);

private:
  /// A step at work. Tokens reach it whole, or in chunks once a step before it has fused them.
  struct Stage {
    const PreparedStep *step = nullptr;
    std::string token;   ///< chunks of a token that is needed whole
    std::string bytes;   ///< that are not text yet
    std::string tail;    ///< characters that fall away if the token ends behind them
    size_t tokens = 0;   ///< begun so far
    size_t stripped = 0; ///< characters taken from the front of this token
    bool atFront = true; ///< only such characters came so far
    bool fusing = false; ///< the one fused token has begun
  };

  void feed(size_t stage, std::string_view chunk, bool begins, bool ends, std::string &text);
  void feedFused(size_t stage, std::string_view chunk, bool ends, std::string &text);
  void flushBytes(size_t stage, std::string &text);
  void strip(size_t stage, std::string_view chunk, bool begins, bool ends, std::string &text);

  std::vector<Stage> stages;
  bool joinBySpaces;
  size_t written = 0; ///< tokens that reached the end
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_DETOKENIZER_H
