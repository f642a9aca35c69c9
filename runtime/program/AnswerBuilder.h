// From tokens to an answer: stop conditions, text, and what of it is meant for whom.

#ifndef MOEC_RUNTIME_PROGRAM_ANSWERBUILDER_H
#define MOEC_RUNTIME_PROGRAM_ANSWERBUILDER_H

#include "runtime/program/Answer.h"
#include "runtime/text/Stops.h"

namespace moec {

/// Makes an answer of tokens as they come.
class AnswerBuilder {
public:
  /// `tokenizer` and `options` must outlive it.
  AnswerBuilder(const Tokenizer &tokenizer, const GenerationConfig &sampling, AnswerFormat format,
                bool reasoning, const AnswerOptions &options)
      : tokenizer(tokenizer), options(options), stopIds(sampling.stopIds),
        stopStrings(sampling.stopStrings), stream(tokenizer),
        verbatim(tokenizer, /*skipSpecial=*/false), parser(format, reasoning) {}

  /// Takes the next token and shows what is certain now. Fails where it cannot be shown.
  Status push(int32_t id);
  /// The answer is over: shows the rest.
  Status finish();
  /// Whether a token or a string that ends answers came.
  bool stopped() const { return isStopped; }

  Answer answer;

private:
  std::string endStream();
  Status show(const AnswerPieces &pieces);

  const Tokenizer &tokenizer;
  const AnswerOptions &options;
  StopIds stopIds;
  StopStrings stopStrings;
  TextStream stream, verbatim;
  AnswerParser parser;
  bool isStopped = false;
};

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_ANSWERBUILDER_H
