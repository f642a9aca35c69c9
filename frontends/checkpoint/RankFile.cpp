// Tokens are kept as byte-level BPE spells them, so that encoding is that of tokenizer.json.

#include "frontends/checkpoint/RankFile.h"

#include "frontends/checkpoint/OnigurumaPattern.h"
#include "frontends/checkpoint/RankFamilies.h"
#include "runtime/text/ByteLevel.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

using namespace moec;
using namespace moec::tokenizer;

constexpr size_t maxTokenBytes = 512; // time grows with its square; published ones have up to 128

namespace {

struct RankedToken {
  std::string bytes;
  uint32_t rank;
};

} // namespace

static int base64Digit(char letter) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t at = digits.find(letter);
  return at == digits.npos ? -1 : static_cast<int>(at);
}

static std::optional<std::string> decodeBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0)
    return std::nullopt;
  size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    int digit = i + padding >= text.size() ? 0 : base64Digit(text[i]);
    if (digit < 0)
      return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (i % 4 == 3)
      for (int shift : {16, 8, 0})
        bytes += static_cast<char>(bits >> shift);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

static Result<std::vector<RankedToken>> readLines(std::string_view text, const std::string &file) {
  std::vector<RankedToken> tokens;
  std::vector<bool> used;
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    auto malformed = [&](std::string what) {
      return Status{Code::Model, fmt::format("{}: line {}: {}", file, number, what)};
    };
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    if (line.empty())
      continue;
    size_t space = std::min(line.find(' '), line.size());
    std::optional<std::string> bytes = decodeBase64(line.substr(0, space));
    uint32_t rank = 0;
    const char *begin = line.data() + std::min(space + 1, line.size());
    const char *end = line.data() + line.size();
    auto [stop, error] = std::from_chars(begin, end, rank);
    if (!bytes || begin == end || error != std::errc() || stop != end)
      return malformed("not a token in base64, a space and a rank");
    if (bytes->size() > maxTokenBytes)
      return malformed(fmt::format("a token of {} bytes, where at most {} are supported",
                                   bytes->size(), maxTokenBytes));
    if (rank >= maxIds)
      return malformed(fmt::format("the rank {}, where less than {} is supported", rank, maxIds));
    if (rank >= used.size())
      used.resize(rank + 1);
    if (used[rank])
      return malformed(fmt::format("the rank {} stands for two tokens", rank));
    used[rank] = true;
    tokens.push_back({std::move(*bytes), rank});
  }
  return tokens;
}

/// Every way to make a token of two others.
static void addMerges(const std::vector<RankedToken> &tokens,
                      const std::unordered_map<std::string_view, uint32_t> &ranks,
                      TokenizerDescription &description) {
  for (const RankedToken &token : tokens) {
    std::string_view bytes = token.bytes;
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      auto left = ranks.find(bytes.substr(0, cut));
      if (left == ranks.end())
        continue;
      if (auto right = ranks.find(bytes.substr(cut)); right != ranks.end())
        description.merges.push_back({left->second, right->second, token.rank});
    }
  }
}

static Status addSteps(const RankFamily &family, TokenizerDescription &description) {
  Result<std::string> pattern = translateOniguruma(family.pattern);
  if (!pattern.ok())
    return {Code::Internal, pattern.status().message};
  if (family.composes)
    description.normalizer.push_back({.kind = StepKind::Nfc});
  description.preTokenizer.push_back({.kind = StepKind::Split,
                                      .flags = stepRegex,
                                      .pattern = std::move(*pattern),
                                      .first = static_cast<uint32_t>(SplitBehavior::Isolated)});
  description.preTokenizer.push_back({.kind = StepKind::MapBytes});
  description.decoder.push_back({.kind = StepKind::BytesFromText});
  return {};
}

Result<TokenizerDescription> moec::readRankFile(std::string_view text, const std::string &file,
                                                std::string_view modelType) {
  const RankFamily *family = findRankFamily(modelType);
  if (!family)
    return Status{Code::Unsupported,
                  fmt::format("{}: the pattern that cuts words for a model of type `{}` is not "
                              "known; put a tokenizer.json beside it",
                              file, modelType)};
  Result<std::vector<RankedToken>> tokens = readLines(text, file);
  if (!tokens.ok())
    return tokens.status();

  TokenizerDescription description;
  std::unordered_map<std::string_view, uint32_t> ranks;
  uint32_t base = 0;
  for (const RankedToken &token : *tokens) {
    if (!ranks.emplace(token.bytes, token.rank).second)
      return Status{Code::Model, fmt::format("{}: the ranks {} and {} stand for the same bytes",
                                             file, ranks[token.bytes], token.rank)};
    description.words.push_back({bytesToCharacters(token.bytes), token.rank});
    base = std::max(base, token.rank + 1);
  }
  for (int value = 0; value < 256; ++value) {
    char byte = static_cast<char>(value);
    if (!ranks.contains(std::string_view(&byte, 1)))
      return Status{Code::Model, fmt::format("{}: the byte 0x{:02X} has no rank", file, value)};
  }
  addMerges(*tokens, ranks, description);
  for (uint32_t rank = 0; rank < base; ++rank)
    description.ranks.push_back(rank);
  description.flags |= flagIgnoreMerges;

  std::vector<std::string> special = family->specialTokens(base);
  if (base + special.size() > maxIds)
    return Status{Code::Model,
                  fmt::format("{}: {} ranks leave no room for special tokens", file, base)};
  for (size_t i = 0; i < special.size(); ++i)
    description.added.push_back({.text = std::move(special[i]),
                                 .sought = {},
                                 .id = base + static_cast<uint32_t>(i),
                                 .special = true});
  if (family->beginsWithFirst)
    description.prefix.push_back(base);
  if (Status status = addSteps(*family, description); !status.ok())
    return status;
  return description;
}
