// Puts the parts of a tokenizer together, reads the special ids, and tries out what comes of it.

#include "frontends/checkpoint/TokenizerCompiler.h"

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/checkpoint/RankFile.h"
#include "frontends/checkpoint/SentencePiece.h"
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
/// The same of rank files and sentencepiece models, which have up to 4 MB.
constexpr uint64_t maxRankFileBytes = uint64_t{64} << 20;

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

/// The id of a special token of tokenizer_config.json, which spells it as a string or an object;
/// `otherwise` where the field is null, -1 where there is no such token.
static int32_t readSpecialToken(const JsonField &field, int32_t otherwise, const WordIds &words,
                                const TokenizerDescription &description) {
  if (field.isNull())
    return otherwise;
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
  for (auto [key, id] :
       {std::pair("bos_token", &description.bos), std::pair("eos_token", &description.eos),
        std::pair("pad_token", &description.pad)})
    *id = readSpecialToken(config[key], *id, words, description);
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

/// tokenizer_config.json; an empty object where its text is empty.
static Result<json> parseConfig(const TokenizerFile &config) {
  if (config.text.empty())
    return json::object();
  return parseJson(config.text, config.name);
}

/// The tables of a description that has everything; `name` is that of its file.
static Result<std::vector<uint8_t>> finish(TokenizerDescription &description,
                                           const std::string &name) {
  Status status = normalizeAddedTokens(description);
  if (!status.ok())
    return Status{status.code, fmt::format("{}: `added_tokens`: {}", name, status.message)};
  Result<std::vector<uint8_t>> bytes = writeTokenizerTables(description);
  if (!bytes.ok())
    return Status{bytes.status().code, fmt::format("{}: {}", name, bytes.status().message)};
  Result<Tokenizer> proof = Tokenizer::open(*bytes);
  if (!proof.ok())
    return Status{proof.status().code, fmt::format("{}: {}", name, proof.status().message)};
  return std::move(*bytes);
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

  Result<json> parsedConfig = parseConfig(config);
  if (!parsedConfig.ok())
    return parsedConfig.status();
  JsonField::Report configReport{config.name, {}};
  readConfig(JsonField(*parsedConfig, configReport), words, description);
  if (!configReport.status.ok())
    return configReport.status;
  return finish(description, tokenizer.name);
}

Result<std::vector<uint8_t>> moec::compileRankFile(const TokenizerFile &ranks,
                                                   const TokenizerFile &config,
                                                   std::string_view modelType) {
  Result<json> parsed = parseConfig(config);
  if (!parsed.ok())
    return parsed.status();
  Result<TokenizerDescription> description = readRankFile(ranks.text, ranks.name, modelType);
  if (!description.ok())
    return description.status();
  JsonField::Report report{config.name, {}};
  JsonField root(*parsed, report);
  if (parsed->is_object())
    readAddedTokensDecoder(root["added_tokens_decoder"], *description);
  readConfig(root, {}, *description);
  if (!report.status.ok())
    return report.status;
  return finish(*description, ranks.name);
}

Result<std::vector<uint8_t>> moec::compileSentencePiece(const TokenizerFile &model,
                                                        const TokenizerFile &config) {
  Result<json> parsed = parseConfig(config);
  if (!parsed.ok())
    return parsed.status();
  JsonField::Report report{config.name, {}};
  JsonField root(*parsed, report);
  if (!parsed->is_object())
    root.malformed("no object");
  bool isLegacy = root.ok() && root["legacy"].boolean(true);
  bool addsBos = root.ok() && root["add_bos_token"].boolean(true);
  bool addsEos = root.ok() && root["add_eos_token"].boolean(false);
  if (!report.status.ok())
    return report.status;
  Result<TokenizerDescription> description = readSentencePiece(model.text, model.name, !isLegacy);
  if (!description.ok())
    return description.status();
  readAddedTokensDecoder(root["added_tokens_decoder"], *description);
  readConfig(root, {}, *description);
  if (!report.status.ok())
    return report.status;
  if (addsBos && description->bos >= 0)
    description->prefix.push_back(static_cast<uint32_t>(description->bos));
  if (addsEos && description->eos >= 0)
    description->suffix.push_back(static_cast<uint32_t>(description->eos));
  return finish(*description, model.name);
}

Result<std::optional<std::vector<uint8_t>>> moec::compileTokenizerIn(const std::string &directory,
                                                                     std::string_view modelType,
                                                                     bool followLinks) {
  Result<std::optional<std::string>> config =
      readOptional(directory, "tokenizer_config.json", maxFileBytes, followLinks);
  if (!config.ok())
    return config.status();
  TokenizerFile configFile{*config ? std::string_view(**config) : "", "tokenizer_config.json"};
  for (const char *name :
       {"tokenizer.json", "tiktoken.model", "tokenizer.model", "qwen.tiktoken"}) {
    bool isJson = std::string_view(name) == "tokenizer.json";
    Result<std::optional<std::string>> text =
        readOptional(directory, name, isJson ? maxFileBytes : maxRankFileBytes, followLinks);
    if (!text.ok())
      return text.status();
    if (!*text)
      continue;
    TokenizerFile file{**text, name};
    Result<std::vector<uint8_t>> tables = isJson ? compileTokenizer(file, configFile)
                                          : isSentencePiece(file.text)
                                              ? compileSentencePiece(file, configFile)
                                              : compileRankFile(file, configFile, modelType);
    if (!tables.ok())
      return tables.status();
    return std::optional<std::vector<uint8_t>>(std::move(*tables));
  }
  return std::optional<std::vector<uint8_t>>();
}
