// Text in which markers open and close sections: reasoning, and calls of tools.

#include "runtime/text/AnswerMachine.h"

#include <algorithm>
#include <array>

using namespace moec;

using Kind = AnswerPiece::Kind;

namespace {

/// What differs between the formats.
struct Syntax {
  bool reasons = true;                      ///< <think> and </think>
  std::string_view opens = {}, closes = {}; ///< a section of calls; without an end: up to the end
  std::optional<ToolCalls> (*read)(std::string_view) = nullptr;
  bool bareCalls = false;                     ///< the whole answer may be calls, without a marker
  std::array<std::string_view, 3> inner = {}; ///< further control tokens of a section
};

constexpr std::string_view thinkMarker = "<think>", answerMarker = "</think>";

} // namespace

static Syntax syntaxOf(AnswerFormat format) {
  switch (format) {
  case AnswerFormat::Hermes:
    return {.opens = "<tool_call>", .closes = "</tool_call>", .read = readHermesCall};
  case AnswerFormat::Mistral:
    return {.opens = "[TOOL_CALLS]", .read = readMistralCalls};
  case AnswerFormat::Llama:
    return {.reasons = false,
            .opens = "<|python_start|>",
            .closes = "<|python_end|>",
            .read = readLlamaCalls,
            .bareCalls = true};
  case AnswerFormat::Deepseek:
    return {.opens = "<｜tool▁calls▁begin｜>",
            .closes = "<｜tool▁calls▁end｜>",
            .read = readDeepseekCalls,
            .inner = {"<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"}};
  case AnswerFormat::DeepseekMarkup:
    return {.opens = "<｜DSML｜function_calls>",
            .closes = "</｜DSML｜function_calls>",
            .read = readDeepseekMarkup,
            .inner = {"｜DSML｜"}};
  case AnswerFormat::Kimi:
    return {.opens = "<|tool_calls_section_begin|>",
            .closes = "<|tool_calls_section_end|>",
            .read = readKimiCalls,
            .inner = {"<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"}};
  default:
    return {.reasons = format == AnswerFormat::Thinking};
  }
}

/// How much of the end of `text` could be the beginning of `marker`.
static size_t begunAtEnd(std::string_view text, std::string_view marker) {
  for (size_t length = std::min(text.size(), marker.size() - 1); length > 0; --length)
    if (text.ends_with(marker.substr(0, length)))
      return length;
  return 0;
}

static size_t spaceAtEnd(std::string_view text) {
  return text.size() - (text.find_last_not_of(" \t\r\n") + 1);
}

namespace {

class SectionMachine final : public AnswerParser::Machine {
public:
  SectionMachine(AnswerFormat format, bool reasoning)
      : syntax(syntaxOf(format)), state(reasoning ? State::Reasoning : State::Start) {
    dropsSpace = reasoning;
  }

  bool isMarker(std::string_view control) const override {
    if (control.empty())
      return false;
    return control == syntax.opens || control == syntax.closes ||
           (syntax.reasons && (control == thinkMarker || control == answerMarker)) ||
           std::find(syntax.inner.begin(), syntax.inner.end(), control) != syntax.inner.end();
  }

  void push(std::string_view text) override {
    pending += text;
    while (advance(false))
      ;
  }
  void pushMarker(std::string_view control) override { push(control); }

  void finish() override {
    while (advance(true))
      ;
  }

private:
  enum class State {
    Start,     ///< nothing but white space came yet
    Reasoning, ///< up to </think>
    Content,
    Calls, ///< inside a section of calls
    Bare,  ///< an answer that may be nothing but calls
  };

  /// Moves on by one state; false where more text is needed. `ends`: there is none.
  bool advance(bool ends) {
    switch (state) {
    case State::Start:
      return start(ends);
    case State::Reasoning:
      return upTo(answerMarker, Kind::Reasoning, ends);
    case State::Content:
      return upTo(syntax.opens, Kind::Content, ends);
    case State::Calls:
      return readSection(ends);
    case State::Bare:
      return readBare(ends);
    }
    return false;
  }

  bool start(bool ends) {
    size_t begin = pending.find_first_not_of(" \t\r\n");
    std::string_view text = std::string_view(pending).substr(std::min(begin, pending.size()));
    bool decided = ends || !text.empty();
    if (syntax.reasons && text.starts_with(thinkMarker)) {
      pending = text.substr(thinkMarker.size());
      enter(State::Reasoning);
      return true;
    }
    if (syntax.reasons && !ends && thinkMarker.starts_with(text))
      return false;
    if (syntax.bareCalls && !text.empty() && (text.front() == '[' || text.front() == '{'))
      state = State::Bare;
    else if (decided)
      state = State::Content;
    return decided;
  }

  /// Gives text of `kind` up to `marker`, and enters what it opens.
  bool upTo(std::string_view marker, Kind kind, bool ends) {
    if (dropsSpace) {
      pending.erase(0, pending.find_first_not_of(" \t\r\n"));
      if (pending.empty())
        return false;
    }
    size_t at = marker.empty() ? pending.npos : pending.find(marker);
    if (at != pending.npos) {
      std::string_view before = std::string_view(pending).substr(0, at);
      before.remove_suffix(spaceAtEnd(before));
      give(kind, before);
      pending.erase(0, at + marker.size());
      enter(kind == Kind::Reasoning ? State::Content : State::Calls);
      return true;
    }
    size_t held = 0;
    if (!ends && !marker.empty()) {
      held = begunAtEnd(pending, marker);
      held += spaceAtEnd(std::string_view(pending).substr(0, pending.size() - held));
    }
    size_t certain = pending.size() - held;
    dropsSpace &= certain == 0;
    give(kind, std::string_view(pending).substr(0, certain));
    pending.erase(0, certain);
    return false;
  }

  bool readSection(bool ends) {
    size_t at = pending.npos;
    if (!syntax.closes.empty())
      at = pending.find(syntax.closes, searched - std::min(searched, syntax.closes.size()));
    if (at == pending.npos && !ends) {
      searched = pending.size();
      return false;
    }
    bool isClosed = at != pending.npos;
    std::string section = pending.substr(0, at);
    pending.erase(0, isClosed ? at + syntax.closes.size() : at);
    if (std::optional<ToolCalls> calls = syntax.read(section)) {
      give(std::move(*calls));
    } else {
      give(Kind::Content, syntax.opens);
      give(Kind::Content, section);
      if (isClosed)
        give(Kind::Content, syntax.closes);
    }
    enter(State::Content);
    return !pending.empty();
  }

  bool readBare(bool ends) {
    if (!mayBeLlamaCalls(pending)) {
      state = State::Content;
      return true;
    }
    if (!ends)
      return false;
    if (std::optional<ToolCalls> calls = syntax.read(pending)) {
      give(std::move(*calls));
      pending.clear();
    }
    state = State::Content;
    return !pending.empty();
  }

  void enter(State next) {
    state = next;
    dropsSpace = next != State::Calls;
    searched = 0;
  }

  Syntax syntax;
  State state;
  std::string pending;
  size_t searched = 0;     ///< bytes of a section looked through for its end
  bool dropsSpace = false; ///< a section has just begun: white space belongs to its marker
};

} // namespace

std::unique_ptr<AnswerParser::Machine> moec::makeSectionMachine(AnswerFormat format,
                                                                bool reasoning) {
  return std::make_unique<SectionMachine>(format, reasoning);
}
