// The vocabulary, the merges and the added tokens of tokenizer.json.

#include "frontends/checkpoint/TokenizerModel.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

using namespace moec;
using namespace moec::tokenizer;
using nlohmann::json;

constexpr size_t maxMerges = size_t{1} << 26;

/// `model.vocab`; gives the ids by word.
static WordIds readVocabulary(const JsonField &field, TokenizerDescription &description) {
  WordIds words;
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

static void readMerges(const JsonField &field, const WordIds &words,
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

WordIds moec::readModel(const JsonField &model, TokenizerDescription &description) {
  WordIds words;
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

/// Everything but the id.
static AddedTokenDescription readAddedToken(const JsonField &entry) {
  AddedTokenDescription token;
  token.text = entry["content"].string();
  token.special = entry["special"].boolean(false);
  token.normalized = entry["normalized"].boolean(!token.special);
  token.flags = (entry["single_word"].boolean(false) ? addedSingleWord : 0) |
                (entry["lstrip"].boolean(false) ? addedStripLeft : 0) |
                (entry["rstrip"].boolean(false) ? addedStripRight : 0);
  return token;
}

void moec::readAddedTokens(const JsonField &field, const WordIds &words,
                           TokenizerDescription &description) {
  if (field.isNull())
    return;
  std::unordered_map<std::string, uint32_t> ids;
  std::unordered_map<uint32_t, std::string> texts;
  for (size_t i = 0, count = field.size(); i < count && field.ok(); ++i) {
    JsonField entry = field[i];
    AddedTokenDescription token = readAddedToken(entry);
    token.id = entry["id"].number(maxIds - 1);
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

void moec::readAddedTokensDecoder(const JsonField &field, TokenizerDescription &description) {
  if (field.isNull())
    return;
  if (!field.isObject())
    return field.malformed("no object of ids and tokens");
  std::unordered_map<uint32_t, size_t> known;
  for (size_t i = 0; i < description.added.size(); ++i)
    known.emplace(description.added[i].id, i);
  for (const auto &[key, value] : field.json().items()) {
    JsonField entry = field[key];
    uint32_t id = 0;
    auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size() || id >= maxIds)
      return entry.malformed(fmt::format("`{}` is no id", key));
    AddedTokenDescription token = readAddedToken(entry);
    token.id = id;
    if (!field.ok())
      return;
    if (token.text.empty())
      continue;
    auto [at, isNew] = known.emplace(id, description.added.size());
    if (isNew)
      description.added.push_back(std::move(token));
    else
      description.added[at->second] = std::move(token);
  }
  std::unordered_map<std::string_view, uint32_t> texts;
  for (const AddedTokenDescription &token : description.added)
    if (auto [other, isNew] = texts.emplace(token.text, token.id); !isNew)
      return field.malformed(
          fmt::format("`{}` has the ids {} and {}", token.text, other->second, token.id));
}
