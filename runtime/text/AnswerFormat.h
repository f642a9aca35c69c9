// How a family of models marks what is reasoning, what calls of tools and what is meant for the
// reader.

#ifndef MOEC_RUNTIME_TEXT_ANSWERFORMAT_H
#define MOEC_RUNTIME_TEXT_ANSWERFORMAT_H

#include <string_view>

namespace moec {

enum class AnswerFormat {
  Plain,          ///< all is meant for the reader
  Thinking,       ///< <think> and no tools
  Hermes,         ///< Qwen: <tool_call> with JSON
  Mistral,        ///< [TOOL_CALLS] with a list of JSON
  Llama,          ///< Llama 4: JSON, or calls as Python writes them
  Deepseek,       ///< DeepSeek V3 and V3.1: special tokens around each call
  DeepseekMarkup, ///< DeepSeek V3.2: markup around each parameter
  Kimi,           ///< Kimi K2: special tokens, and a name with a number
  Harmony,        ///< gpt-oss: messages on channels
};

/// The format in which a model answers that was trained with this chat template (its Jinja source).
AnswerFormat answerFormatOf(std::string_view chatTemplate);

/// The format's name in messages.
std::string_view nameOf(AnswerFormat format);

/// Whether an answer to `prompt`, as the template renders it, begins inside reasoning: some
/// templates open it themselves.
bool opensReasoning(AnswerFormat format, std::string_view prompt);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_ANSWERFORMAT_H
