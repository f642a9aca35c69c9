// Control tokens reach the parser as such, between pieces of text.

#include "runtime/program/AnswerBuilder.h"

namespace moec {

Status AnswerBuilder::push(int32_t id) {
  answer.tokens.push_back(id);
  if (options.showVerbatim)
    if (Status status = options.showVerbatim(verbatim.push(id)); !status.ok())
      return status;
  isStopped = stopIds.contains(id);
  if (isStopped)
    return {};
  std::optional<std::string_view> spelled = tokenizer.tokenText(id);
  bool isMarker = tokenizer.isControl(id) && spelled && parser.isMarker(*spelled);
  // Text before a marker is whole, whatever comes behind it.
  std::string text = stopStrings.feed(isMarker ? endStream() : stream.push(id));
  isStopped = stopStrings.stopped();
  if (isMarker)
    text += stopStrings.finish();
  Status status = show(parser.push(text));
  if (status.ok() && isMarker && !isStopped)
    status = show(parser.pushMarker(*spelled));
  return status;
}

Status AnswerBuilder::finish() {
  if (options.showVerbatim)
    if (Status status = options.showVerbatim(verbatim.finish()); !status.ok())
      return status;
  std::string text = stopStrings.feed(stream.finish());
  text += stopStrings.finish();
  Status status = show(parser.push(text));
  return status.ok() ? show(parser.finish()) : status;
}

std::string AnswerBuilder::endStream() {
  std::string text = stream.finish();
  stream = TextStream(tokenizer);
  return text;
}

Status AnswerBuilder::show(const AnswerPieces &pieces) {
  for (const AnswerPiece &piece : pieces) {
    if (piece.kind == AnswerPiece::Kind::ToolCall)
      answer.calls.push_back(piece.call);
    else
      (piece.kind == AnswerPiece::Kind::Content ? answer.text : answer.reasoning) += piece.text;
    if (options.show)
      if (Status status = options.show(piece); !status.ok())
        return status;
  }
  return {};
}

} // namespace moec
