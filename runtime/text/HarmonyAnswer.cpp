// gpt-oss: each message has a header, with its channel and perhaps to whom it goes, and a body.

#include "runtime/text/AnswerMachine.h"

#include <algorithm>
#include <array>

using namespace moec;

using Kind = AnswerPiece::Kind;

static constexpr std::string_view startMarker = "<|start|>", channelMarker = "<|channel|>",
                                  messageMarker = "<|message|>", constrainMarker = "<|constrain|>";

namespace {

class HarmonyMachine final : public AnswerParser::Machine {
public:
  bool isMarker(std::string_view control) const override {
    constexpr std::array<std::string_view, 7> markers = {
        startMarker, channelMarker, messageMarker, constrainMarker,
        "<|end|>",   "<|return|>",  "<|call|>"};
    return std::find(markers.begin(), markers.end(), control) != markers.end();
  }

  void push(std::string_view text) override {
    if (inHeader)
      header += text;
    else if (isCall())
      body += text;
    else
      give(kind, text);
  }

  void pushMarker(std::string_view control) override {
    if (control == messageMarker) {
      if (inHeader)
        readHeader();
    } else if (inHeader && (control == channelMarker || control == constrainMarker)) {
      header += control;
    } else {
      // Whatever else comes ends the message; a channel without <|start|> opens the next one.
      endMessage();
      if (control == channelMarker)
        header += control;
    }
  }

  void finish() override { endMessage(); }

private:
  bool isCall() const { return !recipient.empty(); }

  /// The word behind `mark` in the header.
  std::string wordBehind(std::string_view mark) const {
    size_t begin = header.find(mark);
    if (begin == header.npos)
      return {};
    begin += mark.size();
    return header.substr(begin, header.find_first_of(" <\n", begin) - begin);
  }

  void readHeader() {
    recipient = wordBehind("to=");
    kind = wordBehind(channelMarker) == "analysis" ? Kind::Reasoning : Kind::Content;
    inHeader = false;
    body.clear();
  }

  void endMessage() {
    if (inHeader) {
      // A role alone says nothing; a text that never was a message is not lost.
      std::string_view rest = header;
      if (rest.find(channelMarker) == rest.npos && rest != "assistant")
        give(Kind::Content, rest);
    } else if (isCall()) {
      constexpr std::string_view functions = "functions.";
      std::string_view name = recipient;
      if (name.starts_with(functions))
        name.remove_prefix(functions.size());
      if (std::optional<ToolCall> call = makeToolCall(name, body))
        give({std::move(*call)});
      else
        give(Kind::Content, body);
    }
    header.clear();
    body.clear();
    recipient.clear();
    inHeader = true;
  }

  bool inHeader = true; ///< the prompt ends in one: <|start|>assistant
  std::string header, recipient, body;
  Kind kind = Kind::Content;
};

} // namespace

std::unique_ptr<AnswerParser::Machine> moec::makeHarmonyMachine() {
  return std::make_unique<HarmonyMachine>();
}
