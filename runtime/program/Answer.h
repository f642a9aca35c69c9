// The loop of generation: read a prompt, then choose, show and read one token after another.

#ifndef MOEC_RUNTIME_PROGRAM_ANSWER_H
#define MOEC_RUNTIME_PROGRAM_ANSWER_H

#include "runtime/core/Model.h"
#include "runtime/program/Text.h"
#include "runtime/text/AnswerParser.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Why an answer ended.
enum class Finish { Stop, Length, Interrupted };

struct Answer {
  std::vector<int32_t> tokens; ///< the last may be a stop token
  std::string text;            ///< what is meant for the reader
  std::string reasoning;
  ToolCalls calls;
  Finish finish = Finish::Length;
};

/// What an answer is given to, and what may end it early.
struct AnswerOptions {
  std::function<Status(const AnswerPiece &)> show; ///< gets the answer piece by piece; may be empty
  /// Gets all that the model writes, with its control tokens; may be empty.
  std::function<Status(std::string_view)> showVerbatim;
  bool (*stop)() = nullptr; ///< true ends the answer where it is
};

/// Answers `prompt`. `history` says which tokens `sequence` has read; it may share its beginning
/// with the prompt, and holds what was read in the end. Code::Usage where the prompt leaves no
/// room.
Result<Answer> answerPrompt(Model &model, const Tokenizer &tokenizer, Sequence &sequence,
                            std::vector<int32_t> &history, const Prompt &prompt,
                            const GenerationConfig &sampling, const AnswerOptions &options);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_ANSWER_H
