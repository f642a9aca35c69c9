// generate: one prompt, one answer.

#include "runtime/program/AnswerOutput.h"
#include "runtime/program/CommandLine.h"
#include "runtime/program/Commands.h"
#include "runtime/program/Output.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace moec {

/// What the user wants answered, whichever way it was given.
static Result<std::string> promptText(const GenerateOptions &options) {
  std::string source = options.file.empty() && options.text == "-" ? "-" : options.file;
  if (source.empty()) {
    if (!options.text)
      return Status{Code::Usage,
                    "no prompt; give it as an argument, with --file, or as - on standard "
                    "input"};
    return *options.text;
  }
  Result<std::string> text = readPrompt(source);
  // A file ends with a line end that nobody meant to say; what is to be continued is taken as it
  // is.
  if (text.ok() && !options.raw && text->ends_with('\n'))
    text->resize(text->size() - (text->ends_with("\r\n") ? 2 : 1));
  return text;
}

static Result<Prompt> makePrompt(const GenerateOptions &options, const Text &text,
                                 const std::string &prompt) {
  if (!options.raw && text.hasTemplate()) {
    std::vector<Turn> turns;
    if (options.prompt.system)
      turns.push_back({"system", *options.prompt.system});
    turns.push_back({"user", prompt});
    return text.render(turns);
  }
  if (const char *option = templateOption(options.prompt))
    return Status{Code::Usage,
                  fmt::format("{} needs a chat template, and the model has none; give one with "
                              "--chat-template",
                              option)};
  if (!options.raw)
    writeMessage("the model has no chat template; the prompt is continued as it stands");
  Result<std::vector<int32_t>> tokens = text.tokenizer().encode(prompt);
  if (tokens.ok() && tokens->empty())
    return Status{Code::Usage, "the prompt has no tokens"};
  if (!tokens.ok())
    return tokens.status();
  return Prompt{.tokens = std::move(*tokens)};
}

static Status printJson(const Answer &answer, const std::string &text, size_t promptTokens,
                        const GenerationConfig &sampling) {
  nlohmann::ordered_json json = {{"text", text}};
  if (!answer.reasoning.empty())
    json["reasoning"] = answer.reasoning;
  for (const ToolCall &call : answer.calls)
    json["tool_calls"].push_back(describeCall(call));
  json["finish"] = answer.finish == Finish::Stop ? "stop" : "length";
  json["prompt_tokens"] = promptTokens;
  json["tokens"] = answer.tokens;
  json["seed"] = sampling.sampler.seed;
  return writeOutput(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
                     "\n");
}

Status runGenerate(const GenerateOptions &options) {
  Result<std::string> prompt = promptText(options);
  if (!prompt.ok())
    return prompt.status();
  if (Status status = checkPrompt(*prompt); !status.ok())
    return status;
  Result<std::unique_ptr<Text>> text = Text::open(options.prompt);
  if (!text.ok())
    return text.status();
  Result<Prompt> asked = makePrompt(options, **text, *prompt);
  if (!asked.ok())
    return asked.status();
  Result<std::unique_ptr<Model>> model = openModel(options.open);
  if (!model.ok())
    return model.status();

  GenerationConfig sampling = resolveSampling((*text)->defaults(), options.sampling);
  AnswerOptions answering;
  AnswerOutput output(options.verbatim);
  std::string verbatim;
  if (!options.json)
    output.connect(answering);
  else if (options.verbatim)
    answering.showVerbatim = [&](std::string_view piece) {
      verbatim += piece;
      return Status{};
    };
  Sequence sequence(**model);
  std::vector<int32_t> history;
  Result<Answer> answer =
      answerPrompt(**model, (*text)->tokenizer(), sequence, history, *asked, sampling, answering);
  if (!answer.ok())
    return answer.status();
  if (options.json)
    return printJson(*answer, options.verbatim ? verbatim : answer->text, asked->tokens.size(),
                     sampling);
  return output.finish(*answer);
}

} // namespace moec
