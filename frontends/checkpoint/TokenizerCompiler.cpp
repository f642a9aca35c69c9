// The model, the added tokens and the special ids; TokenizerComponents.cpp reads what stands around
// them.

#include "frontends/checkpoint/TokenizerCompiler.h"

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/checkpoint/TokenizerComponents.h"
#include "runtime/core/Json.h"
#include "runtime/text/Normalizer.h"
#include "runtime/text/Tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

using namespace moec;
using namespace moec::tokenizer;
using nlohmann::json;

/// Far above any published file: the largest tokenizer.json has some 30 MB.
constexpr uint64_t maxFileBytes = uint64_t{512} << 20;
constexpr size_t maxMerges = size_t{1} << 26;

using Words = std::unordered_map<std::string_view, uint32_t>;

/// `model.vocab`; gives the ids by word. The views live as long as `description.words`.
static Words readVocabulary(const JsonField &field, TokenizerDescription &description) {
  Words words;
  if (!field.isObject()) {
    field.malformed("no object of words and ids");
    return words;
  }
  description.words.reserve(field.json().size());
  for (const auto &[text, id] : field.json().items()) {
    description.words.push_back({text, id.is_number_unsigned() && id.get<uint64_t>() < maxIds
                                           ? id.get<uint32_t>()
                                           : field[text].number(maxIds - 1)});
    if (!field.ok())
      return words;
  }
  std::vector<bool> used;
  for (const WordDescription &word : description.words) {
    if (word.id >= used.size())
      used.resize(word.id + 1);
    if (used[word.id]) {
      field.malformed(
          fmt::format("the id {} stands for two words, `{}` is one", word.id, word.text));
      return words;
    }
    used[word.id] = true;
    words.emplace(word.text, word.id);
  }
  return words;
}

/// The two parts of a merge, which is "a b" or ["a", "b"].
static bool readPair(const JsonField &merge, std::string_view &left, std::string_view &right) {
  const json &value = merge.json();
  if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    left = *value[0].get_ptr<const std::string *>();
    right = *value[1].get_ptr<const std::string *>();
    return true;
  }
  if (value.is_string()) {
    std::string_view text = *value.get_ptr<const std::string *>();
    size_t space = text.find(' ');
    if (space != text.npos && text.find(' ', space + 1) == text.npos) {
      left = text.substr(0, space);
      right = text.substr(space + 1);
      return true;
    }
  }
  merge.malformed("not a pair of tokens");
  return false;
}

static void readMerges(const JsonField &field, const Words &words,
                       TokenizerDescription &description) {
  size_t count = field.size();
  if (count > maxMerges)
    return field.unsupported(fmt::format("{} merges, where at most {} are", count, maxMerges));
  description.merges.reserve(count);
  std::string joined;
  for (size_t i = 0; i < count; ++i) {
    JsonField merge = field[i];
    const json &value = merge.json();
    if (value.is_string() && value.get_ptr<const std::string *>()->starts_with("#version"))
      continue; // the first line of the older form
    std::string_view left, right;
    if (!readPair(merge, left, right))
      return;
    joined = left;
    joined += right;
    uint32_t ids[3];
    std::string_view parts[3] = {left, right, joined};
    for (int part = 0; part < 3; ++part) {
      auto found = words.find(parts[part]);
      if (found == words.end())
        return merge.malformed(fmt::format("`{}` is not in the vocabulary", parts[part]));
      ids[part] = found->second;
    }
    description.merges.push_back({ids[0], ids[1], ids[2]});
  }
}

static Words readModel(const JsonField &model, TokenizerDescription &description) {
  Words words;
  std::string type = model["type"].string("BPE");
  if (!model.isObject())
    model.malformed("no model");
  else if (type != "BPE")
    model["type"].unsupported(fmt::format("a model of type `{}` is not supported, only BPE", type));
  const json &dropout = model["dropout"].json();
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0.0))
    model["dropout"].unsupported("merges left out by chance are not supported");
  for (const char *key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model[key].string("").empty())
      model[key].unsupported("marks on parts of words are not supported");
  if (!model.ok())
    return words;
  words = readVocabulary(model["vocab"], description);
  if (!model.ok())
    return words;
  readMerges(model["merges"], words, description);

  if (model["ignore_merges"].boolean(false))
    description.flags |= flagIgnoreMerges;
  if (model["fuse_unk"].boolean(false))
    description.flags |= flagFuseUnknown;
  if (model["byte_fallback"].boolean(false))
    description.flags |= flagByteFallback;
  if (!model["unk_token"].isNull()) {
    std::string unknown = model["unk_token"].string();
    auto found = words.find(unknown);
    if (found != words.end())
      description.unknown = static_cast<int32_t>(found->second);
    else
      model["unk_token"].malformed(fmt::format("`{}` is not in the vocabulary", unknown));
  }
  for (int byte = 0; byte < 256; ++byte)
    if (auto found = words.find(fmt::format("<0x{:02X}>", byte)); found != words.end())
      description.byteIds[static_cast<size_t>(byte)] = static_cast<int32_t>(found->second);
  return words;
}

static void readAddedTokens(const JsonField &field, const Words &words,
                            TokenizerDescription &description) {
  if (field.isNull())
    return;
  std::unordered_map<std::string, uint32_t> ids;
  std::unordered_map<uint32_t, std::string> texts;
  for (size_t i = 0, count = field.size(); i < count && field.ok(); ++i) {
    JsonField entry = field[i];
    AddedTokenDescription token;
    token.text = entry["content"].string();
    token.id = entry["id"].number(maxIds - 1);
    token.special = entry["special"].boolean(false);
    token.normalized = entry["normalized"].boolean(!token.special);
    token.flags = (entry["single_word"].boolean(false) ? addedSingleWord : 0) |
                  (entry["lstrip"].boolean(false) ? addedStripLeft : 0) |
                  (entry["rstrip"].boolean(false) ? addedStripRight : 0);
    if (!field.ok() || token.text.empty())
      continue;
    auto word = words.find(token.text);
    if (word != words.end() && word->second != token.id)
      return entry.malformed(fmt::format("`{}` has the id {}, and {} in the vocabulary", token.text,
                                         token.id, word->second));
    auto [sameText, isNewText] = ids.emplace(token.text, token.id);
    auto [sameId, isNewId] = texts.emplace(token.id, token.text);
    if (sameText->second != token.id)
      return entry.malformed(
          fmt::format("`{}` has the ids {} and {}", token.text, sameText->second, token.id));
    if (sameId->second != token.text)
      return entry.malformed(
          fmt::format("the id {} stands for `{}` and `{}`", token.id, sameId->second, token.text));
    if (isNewText && isNewId)
      description.added.push_back(std::move(token));
  }
}

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
static int32_t readSpecialToken(const JsonField &field, const Words &words,
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

static void readConfig(const JsonField &config, const Words &words,
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
  Words words;
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
