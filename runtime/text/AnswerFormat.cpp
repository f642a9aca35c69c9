// Formats are told apart by the markers that their templates write.

#include "runtime/text/AnswerFormat.h"

#include <utility>

using namespace moec;

AnswerFormat moec::answerFormatOf(std::string_view chatTemplate) {
  // A marker that other formats have too comes after theirs.
  constexpr std::pair<std::string_view, AnswerFormat> markers[] = {
      {"<|channel|>", AnswerFormat::Harmony},   {"｜DSML｜", AnswerFormat::DeepseekMarkup},
      {"<｜tool▁call", AnswerFormat::Deepseek}, {"<|tool_call_begin|>", AnswerFormat::Kimi},
      {"<|im_middle|>", AnswerFormat::Kimi},    {"<|header_start|>", AnswerFormat::Llama},
      {"[TOOL_CALLS]", AnswerFormat::Mistral},  {"<tool_call>", AnswerFormat::Hermes},
      {"</think>", AnswerFormat::Thinking}};
  for (auto [marker, format] : markers)
    if (chatTemplate.find(marker) != chatTemplate.npos)
      return format;
  return AnswerFormat::Plain;
}

std::string_view moec::nameOf(AnswerFormat format) {
  switch (format) {
  case AnswerFormat::Plain:
    return "plain";
  case AnswerFormat::Thinking:
    return "thinking";
  case AnswerFormat::Hermes:
    return "hermes";
  case AnswerFormat::Mistral:
    return "mistral";
  case AnswerFormat::Llama:
    return "llama";
  case AnswerFormat::Deepseek:
    return "deepseek";
  case AnswerFormat::DeepseekMarkup:
    return "deepseek-markup";
  case AnswerFormat::Kimi:
    return "kimi";
  case AnswerFormat::Harmony:
    return "harmony";
  }
  return "";
}

bool moec::opensReasoning(AnswerFormat format, std::string_view prompt) {
  size_t end = prompt.find_last_not_of(" \t\r\n");
  return format != AnswerFormat::Plain && format != AnswerFormat::Harmony && end != prompt.npos &&
         prompt.substr(0, end + 1).ends_with("<think>");
}
