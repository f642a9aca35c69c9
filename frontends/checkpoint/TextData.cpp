// Reads what a model directory says about text, and checks it.

#include "frontends/checkpoint/TextData.h"
#include "frontends/checkpoint/BuiltInTemplates.h"
#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/GenerationConfig.h"

#include <fmt/format.h>

#include <optional>

using namespace moec;

/// Far above any published file.
static constexpr uint64_t kMostTextBytes = uint64_t(256) << 20;

/// chat_template of tokenizer_config.json: a string, or a list of named ones of which `default`
/// counts. Empty if there is none.
static Result<std::string> templateOfConfig(const std::string &config) {
  nlohmann::json root = nlohmann::json::parse(config, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object())
    return Status{Code::Model, "tokenizer_config.json: is no JSON object"};
  auto found = root.find("chat_template");
  if (found == root.end() || found->is_null())
    return std::string();
  if (found->is_string())
    return found->get<std::string>();
  if (!found->is_array())
    return Status{
        Code::Model,
        "tokenizer_config.json: `chat_template` is neither a string nor a list of named templates"};
  for (const nlohmann::json &entry : *found) {
    bool isNamed = entry.is_object() && entry.contains("name") && entry.contains("template") &&
                   entry["template"].is_string();
    if (!isNamed)
      return Status{
          Code::Model,
          "tokenizer_config.json: `chat_template` has an entry without name and template"};
    if (entry["name"] == "default")
      return entry["template"].get<std::string>();
  }
  return Status{
      Code::Unsupported,
      "tokenizer_config.json: `chat_template` lists templates, but none is called 'default'"};
}

/// generation_config.json, or, where there is none, the stop ids that config.json gives: those of
/// the whole, else those of the language model in it.
static std::string generationText(const std::optional<std::string> &file, const Config &config) {
  if (file)
    return *file;
  nlohmann::json object = nlohmann::json::object();
  for (const nlohmann::json *place : {&config.outer(), &config.text()})
    if (auto stop = place->find("eos_token_id"); stop != place->end() && !stop->is_null()) {
      object["eos_token_id"] = *stop;
      break;
    }
  return object.dump();
}

Result<TextData> moec::compileText(const Checkpoint &checkpoint, int64_t vocabulary,
                                   bool followLinks) {
  TextData text;
  const std::string &directory = checkpoint.directory();
  Result<std::optional<std::vector<uint8_t>>> tables =
      compileTokenizerIn(directory, checkpoint.config().modelType(), followLinks);
  if (!tables.ok())
    return tables.status();
  if (*tables)
    text.tokenizer.assign((*tables)->begin(), (*tables)->end());

  std::optional<std::string> config, jinja, generation;
  struct {
    const char *name;
    std::optional<std::string> &into;
  } files[] = {{"tokenizer_config.json", config},
               {"chat_template.jinja", jinja},
               {"generation_config.json", generation}};
  for (auto &file : files) {
    Result<std::optional<std::string>> read =
        readOptional(directory, file.name, kMostTextBytes, followLinks);
    if (!read.ok())
      return read.status();
    file.into = std::move(*read);
  }
  if (jinja) {
    text.chatTemplate = *jinja;
  } else if (config) {
    Result<std::string> found = templateOfConfig(*config);
    if (!found.ok())
      return found.status();
    text.chatTemplate = std::move(*found);
  }
  bool isBuiltIn = text.chatTemplate.empty();
  if (isBuiltIn)
    text.chatTemplate = builtInTemplate(checkpoint.config().architecture());
  if (!text.chatTemplate.empty())
    if (Result<ChatTemplate> parsed = ChatTemplate::parse(text.chatTemplate); !parsed.ok())
      return Status{parsed.status().code,
                    fmt::format("{}: {}",
                                isBuiltIn ? "built-in chat template"
                                : jinja   ? "chat_template.jinja"
                                          : "tokenizer_config.json: `chat_template`",
                                parsed.status().message)};
  text.generation = generationText(generation, checkpoint.config());
  const char *file = generation ? "generation_config.json" : "config.json";
  Result<GenerationConfig> parsed = parseGenerationConfig(text.generation, file);
  if (!parsed.ok())
    return parsed.status();
  for (int32_t id : parsed->stopIds)
    if (id >= vocabulary)
      text.notices.push_back(
          fmt::format("{}: `eos_token_id` has {}, which no answer will end with: the vocabulary "
                      "has {} tokens (`vocab_size`)",
                      file, id, vocabulary));
  return text;
}
