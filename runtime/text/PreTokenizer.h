// The pre-tokenizer: cuts normalized text into the words that the model turns into tokens.

#ifndef MOEC_RUNTIME_TEXT_PRETOKENIZER_H
#define MOEC_RUNTIME_TEXT_PRETOKENIZER_H

#include "runtime/text/Steps.h"

#include <string>
#include <vector>

namespace moec {

/// A text cut into words: none is empty, and together they need not cover it.
struct Words {
  std::string text;
  std::vector<Span> spans;

  std::string_view operator[](size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

/// Whether `kind` may stand in a pre-tokenizer.
bool isPreTokenizerStep(tokenizer::StepKind kind);

/// Runs `steps` over `text`, which must be UTF-8. `isFirst`: it begins where the whole input
/// begins.
Result<Words> preTokenize(const PreparedSteps &steps, std::string text, bool isFirst);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_PRETOKENIZER_H
