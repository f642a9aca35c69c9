// Puts the parts of a tokenizer together, reads the special ids, and tries out what comes of it.

#include "frontends/checkpoint/TokenizerCompiler.h"

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/checkpoint/TokenizerComponents.h"
#include "frontends/checkpoint/TokenizerModel.h"
#include "runtime/core/Json.h"
#include "runtime/text/Normalizer.h"
#include "runtime/text/Tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;
using namespace moec::tokenizer;
using nlohmann::json;

/// Far above any published file: the largest tokenizer.json has some 30 MB.
constexpr uint64_t maxFileBytes = uint64_t{512} << 20;

/// Works out what is looked for in the text for each added token.
static Status normalizeAddedTokens(TokenizerDescription &description) {
  TokenizerDescription normalizerOnly;
  normalizerOnly.normalizer = description.normalizer;
  Result<std::vector<uint8_t>> bytes = writeTokenizerTables(normalizerOnly);
  if (!bytes.ok())
    return bytes.status();
  Result<Tables> tables = Tables::open(*bytes);
  if (!tables.ok())
    return tables.status();
  Result<PreparedSteps> steps = prepareSteps(tables->normalizer(), *tables);
  if (!steps.ok())
    return steps.status();
  for (AddedTokenDescription &token : description.added) {
    token.sought = token.text;
    if (!token.normalized)
      continue;
    bool keepsStart = true;
    Result<std::string> normalized = normalize(*steps, token.text, keepsStart);
    if (!normalized.ok())
      return normalized.status();
    token.sought = std::move(*normalized);
  }
  return {};
}

/// The id of a special token of tokenizer_config.json, which spells it as a string or an object; -1
/// where there is none.
static int32_t readSpecialToken(const JsonField &field, const WordIds &words,
                                const TokenizerDescription &description) {
  if (field.isNull())
    return -1;
  std::string text = field.isObject() ? field["content"].string() : field.string();
  for (const AddedTokenDescription &token : description.added)
    if (token.text == text)
      return static_cast<int32_t>(token.id);
  auto word = words.find(text);
  return word == words.end() ? -1 : static_cast<int32_t>(word->second);
}

static void readConfig(const JsonField &config, const WordIds &words,
                       TokenizerDescription &description) {
  if (!config.isObject())
    return config.malformed("no object");
  description.bos = readSpecialToken(config["bos_token"], words, description);
  description.eos = readSpecialToken(config["eos_token"], words, description);
  description.pad = readSpecialToken(config["pad_token"], words, description);
  // The class says nothing about the algorithm, but it decides whether a missing flag means true.
  std::string type = config["tokenizer_class"].string("");
  bool isLlama = type == "LlamaTokenizer" || type == "LlamaTokenizerFast";
  if (isLlama || !config["add_bos_token"].isNull() || !config["add_eos_token"].isNull()) {
    description.flags |= flagHasBosEosFlags;
    if (config["add_bos_token"].boolean(isLlama))
      description.flags |= flagAddBos;
    if (config["add_eos_token"].boolean(false))
      description.flags |= flagAddEos;
  }
}

/// Ids that components name must belong to a token.
static void checkIds(const JsonField &root, const TokenizerDescription &description) {
  uint32_t ids = 0;
  for (const WordDescription &word : description.words)
    ids = std::max(ids, word.id + 1);
  for (const AddedTokenDescription &token : description.added)
    ids = std::max(ids, token.id + 1);
  for (const std::vector<uint32_t> *list : {&description.prefix, &description.suffix})
    for (uint32_t id : *list)
      if (id >= ids)
        return root["post_processor"].malformed(
            fmt::format("the id {} belongs to no token; the highest is {}", id, ids - 1));
}

Result<std::vector<uint8_t>> moec::compileTokenizer(const TokenizerFile &tokenizer,
                                                    const TokenizerFile &config) {
  Result<json> parsed = parseJson(tokenizer.text, tokenizer.name);
  if (!parsed.ok())
    return parsed.status();
  TokenizerDescription description;
  JsonField::Report report{tokenizer.name, {}};
  JsonField root(*parsed, report);
  if (!parsed->is_object())
    root.malformed("no object");
  WordIds words;
  if (root.ok())
    words = readModel(root["model"], description);
  if (root.ok()) {
    readAddedTokens(root["added_tokens"], words, description);
    readNormalizer(root["normalizer"], description.normalizer);
    readPreTokenizer(root["pre_tokenizer"], description.preTokenizer);
    readPostProcessor(root["post_processor"], description.prefix, description.suffix);
    readDecoder(root["decoder"], description.decoder);
    if (root["decoder"].isNull())
      description.flags |= flagJoinBySpaces;
  }
  if (root.ok())
    checkIds(root, description);
  if (!report.status.ok())
    return report.status;

  if (!config.text.empty()) {
    Result<json> parsedConfig = parseJson(config.text, config.name);
    if (!parsedConfig.ok())
      return parsedConfig.status();
    JsonField::Report configReport{config.name, {}};
    readConfig(JsonField(*parsedConfig, configReport), words, description);
    if (!configReport.status.ok())
      return configReport.status;
  }
  Status status = normalizeAddedTokens(description);
  if (!status.ok())
    return Status{status.code,
                  fmt::format("{}: `added_tokens`: {}", tokenizer.name, status.message)};
  Result<std::vector<uint8_t>> bytes = writeTokenizerTables(description);
  if (!bytes.ok())
    return Status{bytes.status().code,
                  fmt::format("{}: {}", tokenizer.name, bytes.status().message)};
  Result<Tokenizer> proof = Tokenizer::open(*bytes);
  if (!proof.ok())
    return Status{proof.status().code,
                  fmt::format("{}: {}", tokenizer.name, proof.status().message)};
  return std::move(*bytes);
}

Result<std::optional<std::vector<uint8_t>>> moec::compileTokenizer(const std::string &directory,
                                                                   bool followLinks) {
  Result<std::optional<std::string>> text =
      readOptional(directory, "tokenizer.json", maxFileBytes, followLinks);
  if (!text.ok())
    return text.status();
  if (!*text)
    return std::optional<std::vector<uint8_t>>();
  Result<std::optional<std::string>> config =
      readOptional(directory, "tokenizer_config.json", maxFileBytes, followLinks);
  if (!config.ok())
    return config.status();
  Result<std::vector<uint8_t>> tables =
      compileTokenizer({**text, "tokenizer.json"},
                       {*config ? std::string_view(**config) : "", "tokenizer_config.json"});
  if (!tables.ok())
    return tables.status();
  return std::optional<std::vector<uint8_t>>(std::move(*tables));
}
