// What the parsers of all formats share: the pieces found so far.

#ifndef MOEC_RUNTIME_TEXT_ANSWERMACHINE_H
#define MOEC_RUNTIME_TEXT_ANSWERMACHINE_H

#include "runtime/text/AnswerParser.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace moec {

class AnswerParser::Machine {
public:
  virtual ~Machine() = default;
  virtual void push(std::string_view text) = 0;
  virtual void pushMarker(std::string_view control) = 0;
  virtual bool isMarker(std::string_view control) const = 0;
  virtual void finish() = 0;

  AnswerPieces take() { return std::exchange(pieces, {}); }

protected:
  void give(AnswerPiece::Kind kind, std::string_view text) {
    if (text.empty())
      return;
    if (!pieces.empty() && pieces.back().kind == kind)
      pieces.back().text += text;
    else
      pieces.push_back({kind, std::string(text), {}});
  }
  void give(ToolCalls calls) {
    for (ToolCall &call : calls)
      pieces.push_back({AnswerPiece::Kind::ToolCall, {}, std::move(call)});
  }

private:
  AnswerPieces pieces;
};

/// gpt-oss' messages on channels.
std::unique_ptr<AnswerParser::Machine> makeHarmonyMachine();
/// Formats that are text with sections between markers: all others.
std::unique_ptr<AnswerParser::Machine> makeSectionMachine(AnswerFormat format, bool reasoning);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_ANSWERMACHINE_H
