// A model that reads and writes text: tokenizer, chat template and generation defaults of this
// program.

#ifndef MOEC_RUNTIME_PROGRAM_TEXT_H
#define MOEC_RUNTIME_PROGRAM_TEXT_H

#include "runtime/core/Result.h"
#include "runtime/program/Options.h"
#include "runtime/text/AnswerFormat.h"
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/GenerationConfig.h"
#include "runtime/text/Sampler.h"
#include "runtime/text/Tokenizer.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// One turn of a conversation.
struct Turn {
  std::string role, content;
};

/// What the model is to read, and how it will answer.
struct Prompt {
  std::vector<int32_t> tokens;
  AnswerFormat format = AnswerFormat::Plain;
  bool reasoning = false; ///< the answer begins inside reasoning
};

/// What text commands need besides the model.
class Text {
public:
  /// Opens what is linked in. Code::Model without a tokenizer. What is wrong with a template file
  /// of the command line is Code::Usage, here and in render().
  static Result<std::unique_ptr<Text>> open(const PromptOptions &options);

  const Tokenizer &tokenizer() const { return tokens; }
  /// What the model's files say about sampling.
  const GenerationConfig &defaults() const { return generation; }
  bool hasTemplate() const { return chatTemplate.has_value(); }

  /// A conversation up to where the model is to answer; needs a template.
  Result<Prompt> render(const std::vector<Turn> &turns) const;

private:
  explicit Text(Tokenizer tokenizer) : tokens(std::move(tokenizer)) {}
  /// `status`, a failure of the chat template, with its name and as whose mistake it is.
  Status templateFailure(Status status) const;

  Tokenizer tokens;
  std::optional<ChatTemplate> chatTemplate;
  AnswerFormat format = AnswerFormat::Plain; ///< of models trained with the template
  std::string templateName;                  ///< for messages
  bool templateIsUsers = false;              ///< of the command line, not the model's
  std::vector<std::pair<std::string, std::string>> templateArguments;
  GenerationConfig generation;
};

/// The model's defaults, changed by what the user says. `seed` is drawn where none was given.
GenerationConfig resolveSampling(GenerationConfig config, const SamplingOptions &options);

/// The contents of a prompt file, or of standard input for "-". Code::Usage where it cannot be
/// read.
Result<std::string> readPrompt(const std::string &path);

/// Code::Usage unless `prompt` is UTF-8 and not empty.
Status checkPrompt(std::string_view prompt);

} // namespace moec

#endif // MOEC_RUNTIME_PROGRAM_TEXT_H
