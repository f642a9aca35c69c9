// An answer on standard output, for readers.

#ifndef MOEC_RUNTIME_PROGRAM_ANSWEROUTPUT_H
#define MOEC_RUNTIME_PROGRAM_ANSWEROUTPUT_H

#include "runtime/program/Answer.h"

#include <nlohmann/json.hpp>

namespace moec {

/// Shows an answer as it comes: content as it stands, each call of a tool as a line of JSON, and no
/// reasoning; or, verbatim, everything.
class AnswerOutput {
public:
  explicit AnswerOutput(bool verbatim) : verbatim(verbatim) {}

  /// Lets `options` show here; `this` must outlive their use.
  void connect(AnswerOptions &options);
  /// Ends the line, and tells the user where there was nothing to show because the answer ended
  /// within reasoning.
  Status finish(const Answer &answer);

private:
  Status write(std::string_view text);
  Status show(const AnswerPiece &piece);

  bool verbatim;
  char last = 0; ///< character written
};

/// A call as an object with `name` and `arguments`.
nlohmann::ordered_json describeCall(const ToolCall &call);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_ANSWEROUTPUT_H
