// What a reader sees of an answer.

#include "runtime/program/AnswerOutput.h"

#include "runtime/program/Output.h"

namespace moec {

nlohmann::ordered_json describeCall(const ToolCall &call) {
  nlohmann::ordered_json object = {{"name", call.name}};
  if (!call.id.empty())
    object["id"] = call.id;
  object["arguments"] = nlohmann::ordered_json::parse(call.arguments, nullptr, false);
  return object;
}

void AnswerOutput::connect(AnswerOptions &options) {
  if (verbatim)
    options.showVerbatim = [this](std::string_view text) { return write(text); };
  else
    options.show = [this](const AnswerPiece &piece) { return show(piece); };
}

Status AnswerOutput::write(std::string_view text) {
  if (text.empty())
    return {};
  last = text.back();
  return writeOutput(text);
}

Status AnswerOutput::show(const AnswerPiece &piece) {
  switch (piece.kind) {
  case AnswerPiece::Kind::Reasoning:
    return {};
  case AnswerPiece::Kind::Content:
    return write(piece.text);
  case AnswerPiece::Kind::ToolCall:
    break;
  }
  std::string line = last != 0 && last != '\n' ? "\n" : "";
  line += describeCall(piece.call)
              .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return write(line + "\n");
}

Status AnswerOutput::finish(const Answer &answer) {
  if (!verbatim && answer.text.empty() && answer.calls.empty() && !answer.reasoning.empty())
    writeMessage("the answer ended while the model was still reasoning; --verbatim shows that");
  bool endsLine = std::exchange(last, 0) == '\n';
  return endsLine ? Status{} : writeOutput("\n");
}

} // namespace moec
