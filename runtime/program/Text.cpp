// Prompts: from what the user says, through the chat template, to tokens.

#include "runtime/program/Text.h"

#include "runtime/core/File.h"
#include "runtime/core/Step.h"
#include "runtime/text/Utf8.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <sys/random.h>
#include <unistd.h>

namespace moec {

using Json = nlohmann::ordered_json;

static constexpr uint64_t maxTextBytes = UINT64_C(1) << 28;
static constexpr uint64_t maxTemplateBytes = UINT64_C(1) << 24;

static std::string_view viewOf(const uint8_t *bytes, uint64_t size) {
  return {reinterpret_cast<const char *>(bytes), static_cast<size_t>(size)};
}

Status Text::templateFailure(Status status) const {
  status.message = templateName + ": " + status.message;
  if (templateIsUsers && status.code == Code::Model)
    status.code = Code::Usage;
  return status;
}

Result<std::unique_ptr<Text>> Text::open(const PromptOptions &options) {
  if (moec_program_tokenizer_size == 0)
    return Status{Code::Model,
                  "the model was compiled without a tokenizer.json, so it reads no text; "
                  "eval and bench work on token ids"};
  Result<Tokenizer> tokenizer =
      Tokenizer::open({moec_program_tokenizer, static_cast<size_t>(moec_program_tokenizer_size)});
  if (!tokenizer.ok())
    return tokenizer.status();
  std::unique_ptr<Text> text(new Text(std::move(*tokenizer)));
  if (moec_program_generation_size) {
    Result<GenerationConfig> generation = parseGenerationConfig(
        viewOf(moec_program_generation, moec_program_generation_size), "generation_config.json");
    if (!generation.ok())
      return generation.status();
    text->generation = std::move(*generation);
  }
  text->templateName = "chat template";
  std::string source(viewOf(moec_program_template, moec_program_template_size));
  if (!options.templateFile.empty()) {
    Result<std::string> file = readFile(options.templateFile, maxTemplateBytes, Code::Usage);
    if (!file.ok())
      return file.status();
    source = std::move(*file);
    text->templateName = options.templateFile;
    text->templateIsUsers = true;
  }
  if (!source.empty() || !options.templateFile.empty()) {
    Result<ChatTemplate> parsed = ChatTemplate::parse(source);
    if (!parsed.ok())
      return text->templateFailure(parsed.status());
    text->chatTemplate = std::move(*parsed);
    text->format = answerFormatOf(source);
  }
  text->templateArguments = options.templateArguments;
  return text;
}

/// true, 3 and [1] as JSON says them; anything else is a string.
static Json argumentValue(const std::string &text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(text) : value;
}

Result<Prompt> Text::render(const std::vector<Turn> &turns) const {
  if (!chatTemplate)
    return Status{Code::Internal, "a conversation for a model without chat template"};
  Json messages = Json::array();
  for (const Turn &turn : turns)
    messages.push_back({{"role", turn.role}, {"content", turn.content}});
  Json variables = {{"add_generation_prompt", true}};
  auto special = [&](const char *name, std::optional<int32_t> id) {
    std::optional<std::string_view> spelled = id ? tokens.tokenText(*id) : std::nullopt;
    variables[name] = spelled ? std::string(*spelled) : std::string();
  };
  special("bos_token", tokens.bos());
  special("eos_token", tokens.eos());
  for (const auto &[name, value] : templateArguments)
    variables[name] = argumentValue(value);
  std::time_t seconds = std::time(nullptr);
  std::tm now = {};
  localtime_r(&seconds, &now);
  Result<std::string> rendered = chatTemplate->render(messages, variables, now);
  if (!rendered.ok())
    return templateFailure(rendered.status());
  // The template writes the model's special tokens itself.
  Result<std::vector<int32_t>> ids = tokens.encode(*rendered, AddSpecial::None);
  if (ids.ok() && ids->empty())
    return Status{Code::Usage, templateName + ": it renders this conversation to no token at all"};
  if (!ids.ok())
    return ids.status();
  return Prompt{std::move(*ids), format, opensReasoning(format, *rendered)};
}

GenerationConfig resolveSampling(GenerationConfig config, const SamplingOptions &options) {
  SamplerOptions &sampler = config.sampler;
  if (options.seed)
    sampler.seed = *options.seed;
  else if (getrandom(&sampler.seed, sizeof sampler.seed, 0) != sizeof sampler.seed)
    sampler.seed = static_cast<uint64_t>(std::time(nullptr));
  // Who shapes the distribution wants to draw from it, even where the model's default is greedy.
  if (options.temperature || options.topK || options.topP || options.minP)
    sampler.sample = true;
  sampler.temperature = options.temperature.value_or(sampler.temperature);
  sampler.topK = static_cast<int32_t>(options.topK.value_or(sampler.topK));
  sampler.topP = options.topP.value_or(sampler.topP);
  sampler.minP = options.minP.value_or(sampler.minP);
  sampler.repetitionPenalty = options.repetitionPenalty.value_or(sampler.repetitionPenalty);
  sampler.presencePenalty = options.presencePenalty.value_or(sampler.presencePenalty);
  if (options.greedy)
    sampler.sample = false;
  for (const auto &[token, bias] : options.logitBias)
    sampler.bias.emplace_back(token, static_cast<float>(bias));
  config.stopStrings.insert(config.stopStrings.end(), options.stops.begin(), options.stops.end());
  if (options.maxTokens) {
    config.maxNewTokens = options.maxTokens;
    config.maxLength.reset();
  }
  return config;
}

Result<std::string> readPrompt(const std::string &path) {
  if (path != "-")
    return readFile(path, maxTextBytes, Code::Usage);
  std::string text;
  char buffer[65536];
  for (;;) {
    ssize_t size = read(STDIN_FILENO, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR)
      continue;
    if (size < 0)
      return Status{codeOfError(errno, Code::Usage),
                    fmt::format("cannot read standard input: {}", strerror(errno))};
    if (size == 0)
      return text;
    text.append(buffer, size);
    if (text.size() > maxTextBytes)
      return Status{Code::Usage, fmt::format("the prompt on standard input is longer than {} MiB",
                                             maxTextBytes >> 20)};
  }
}

Status checkPrompt(std::string_view prompt) {
  if (prompt.empty())
    return {Code::Usage, "the prompt is empty"};
  if (size_t valid = utf8::validPrefix(prompt); valid != prompt.size())
    return {Code::Usage,
            fmt::format("the prompt is not UTF-8: byte {} belongs to no character", valid)};
  return {};
}

} // namespace moec
