// Splits what a model writes, as it writes it, into reasoning, text for the reader and calls of
// tools.

#ifndef MOEC_RUNTIME_TEXT_ANSWERPARSER_H
#define MOEC_RUNTIME_TEXT_ANSWERPARSER_H

#include "runtime/text/AnswerFormat.h"
#include "runtime/text/ToolCalls.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

struct AnswerPiece {
  enum class Kind { Reasoning, Content, ToolCall };
  Kind kind;
  std::string text; ///< of reasoning and content; never empty there
  ToolCall call;    ///< of a tool call
};
using AnswerPieces = std::vector<AnswerPiece>;

/// The parser of one answer. What it gives, joined, does not depend on how the text is cut: what
/// could be the beginning of a marker is held back, and a call is given whole. White space around
/// markers is dropped. What looks like calls and cannot be read as such is content, as it stands:
/// nothing else is lost.
class AnswerParser {
public:
  /// `reasoning`: the answer begins inside reasoning (see opensReasoning).
  explicit AnswerParser(AnswerFormat format, bool reasoning = false);
  ~AnswerParser();
  AnswerParser(AnswerParser &&) noexcept;
  AnswerParser &operator=(AnswerParser &&) noexcept;

  /// Takes text and gives what is certain now.
  AnswerPieces push(std::string_view text);
  /// Whether a control token of this spelling means something in the format; others are to be left
  /// out.
  bool isMarker(std::string_view control) const;
  /// Takes a control token that is a marker. Formats whose markers are ordinary text in some
  /// vocabularies find them in push() too; Harmony's are control tokens always.
  AnswerPieces pushMarker(std::string_view control);
  /// The answer is over: gives the rest. Nothing may be pushed afterwards.
  AnswerPieces finish();

  /// Where one format differs from another.
  class Machine;

private:
  std::unique_ptr<Machine> machine;
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_ANSWERPARSER_H
