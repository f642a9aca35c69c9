// Small tokenizers of every kind, whose ids can be worked out on paper.

#include "runtime/text/Tokenizer.h"
#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Utf8.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

using namespace moec;
using nlohmann::json;
using Ids = std::vector<int32_t>;

namespace {

/// A tokenizer with the tables it stands on.
class Built {
public:
  explicit Built(const json &file, const json &config = json::object()) {
    std::string text = file.dump(), configText = config.dump();
    Result<std::vector<uint8_t>> compiled =
        compileTokenizer({text, "tokenizer.json"}, {configText, "tokenizer_config.json"});
    EXPECT_TRUE(compiled.ok()) << compiled.status().message;
    if (!compiled.ok())
      return;
    tables = std::move(*compiled);
    Result<Tokenizer> opened = Tokenizer::open(tables);
    EXPECT_TRUE(opened.ok()) << opened.status().message;
    if (opened.ok())
      tokenizer.emplace(std::move(*opened));
  }

  Ids encode(std::string_view text, AddSpecial special = AddSpecial::None) const {
    if (!tokenizer)
      return {-1};
    Result<Ids> ids = tokenizer->encode(text, special);
    EXPECT_TRUE(ids.ok()) << ids.status().message;
    return ids.ok() ? *ids : Ids{-1};
  }
  std::string decode(const Ids &ids, bool skipSpecial = false) const {
    return tokenizer ? tokenizer->decode(ids, skipSpecial) : "no tokenizer";
  }

  std::optional<Tokenizer> tokenizer;

private:
  std::vector<uint8_t> tables;
};

} // namespace

/// A tokenizer.json with the words numbered from 0 in the order given.
static json makeFile(const std::vector<std::string> &words,
                     const std::vector<std::pair<std::string, std::string>> &merges = {}) {
  json vocab = json::object();
  for (size_t i = 0; i < words.size(); ++i)
    vocab[words[i]] = i;
  json pairs = json::array();
  for (const auto &[left, right] : merges)
    pairs.push_back(json::array({left, right}));
  return {{"added_tokens", json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", pairs}}}};
}

static json addedToken(int id, const char *content, const json &more = json::object()) {
  json token = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  token.update(more);
  return token;
}

static json split(const json &pattern, const char *behavior, bool invert = false) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
}

/// The words that a pre-tokenizer makes of `text`: every word is a token, characters outside are
/// not.
static std::vector<std::string> wordsOf(const json &preTokenizer, const std::string &text,
                                        const std::vector<std::string> &words) {
  json file = makeFile(words);
  file["pre_tokenizer"] = preTokenizer;
  file["model"]["ignore_merges"] = true;
  Built built(file);
  std::vector<std::string> found;
  for (int32_t id : built.encode(text))
    found.emplace_back(*built.tokenizer->tokenText(id));
  return found;
}

TEST(Bpe, LowestRankFirst) {
  // "abc": b+c has the lower rank, so a+bc, although a+b stands further left.
  Built built(makeFile({"a", "b", "c", "bc", "ab", "abc"}, {{"b", "c"}, {"a", "b"}, {"a", "bc"}}));
  EXPECT_EQ(built.encode("abc"), (Ids{5}));
  EXPECT_EQ(built.encode("ab"), (Ids{4}));
  EXPECT_EQ(built.encode("abbc"), (Ids{4, 3}));
}

TEST(Bpe, OfEqualRanksTheLeftmost) {
  Built built(makeFile({"a", "aa"}, {{"a", "a"}}));
  EXPECT_EQ(built.encode("aaa"), (Ids{1, 0}));
  EXPECT_EQ(built.encode("aaaaa"), (Ids{1, 1, 0}));
}

TEST(Bpe, MergesAreSpelledAsTextOrAsPairs) {
  json pairs = makeFile({"a", "b", "ab"}, {{"a", "b"}});
  json text = pairs;
  text["model"]["merges"] = json::array({"#version: 0.2", "a b"});
  EXPECT_EQ(Built(pairs).encode("ab"), (Ids{2}));
  EXPECT_EQ(Built(text).encode("ab"), (Ids{2}));
}

TEST(Bpe, AWholeWordMaySkipTheMerges) {
  json file = makeFile({"a", "b", "c", "abc"});
  EXPECT_EQ(Built(file).encode("abc"), (Ids{0, 1, 2}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(Built(file).encode("abc"), (Ids{3}));
}

TEST(Bpe, UnknownCharactersVanishFuseOrStay) {
  json file = makeFile({"a", "?"});
  EXPECT_EQ(Built(file).encode("xaxx"), (Ids{0}));
  file["model"]["unk_token"] = "?";
  EXPECT_EQ(Built(file).encode("xaxx"), (Ids{1, 0, 1, 1}));
  file["model"]["fuse_unk"] = true;
  EXPECT_EQ(Built(file).encode("xaxx"), (Ids{1, 0, 1}));
}

TEST(Bpe, BytesStandInWhereAllOfThemAreThere) {
  json file = makeFile({"a", "?", "<0xC3>", "<0xA9>"});
  file["model"]["unk_token"] = "?";
  file["model"]["byte_fallback"] = true;
  EXPECT_EQ(Built(file).encode("aé"), (Ids{0, 2, 3}));
  EXPECT_EQ(Built(file).encode("è"), (Ids{1})); // C3 is there, A8 is not
}

TEST(Bpe, ALongWordTakesNoQuadraticTime) {
  json file = makeFile({"a", "aa", "aaaa", "b", "ab"}, {{"a", "a"}, {"aa", "aa"}, {"a", "b"}});
  Built built(file);
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(built.encode(std::string(400'000, 'a')), Ids(100'000, 2));
  std::string mixed;
  for (int i = 0; i < 200'000; ++i)
    mixed += "ab";
  EXPECT_EQ(built.encode(mixed), Ids(200'000, 4));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(AddedTokens, LeftmostThenLongest) {
  json file = makeFile({"<", "a", "b", ">"});
  file["added_tokens"] =
      json::array({addedToken(4, "<a"), addedToken(5, "<a>"), addedToken(6, "a>b")});
  Built built(file);
  EXPECT_EQ(built.encode("<a>b"), (Ids{5, 2}));
  EXPECT_EQ(built.encode("<ab"), (Ids{4, 2}));
  EXPECT_EQ(built.encode("ba>b<"), (Ids{2, 6, 0}));
  EXPECT_EQ(built.encode("<<a>>"), (Ids{0, 5, 3}));
}

TEST(AddedTokens, StripTheSpaceAround) {
  json file = makeFile({"a", " "});
  file["added_tokens"] =
      json::array({addedToken(2, "<l>", {{"lstrip", true}}),
                   addedToken(3, "<r>", {{"rstrip", true}}), addedToken(4, "<n>")});
  Built built(file);
  EXPECT_EQ(built.encode("a  <l>  a"), (Ids{0, 2, 1, 1, 0}));
  EXPECT_EQ(built.encode("a  <r> \n a"), (Ids{0, 1, 1, 3, 0}));
  EXPECT_EQ(built.encode("a <n> a"), (Ids{0, 1, 4, 1, 0}));
  EXPECT_EQ(built.encode("<r>  <l>"), (Ids{3, 2}));
}

TEST(AddedTokens, SingleWordsTouchNoWord) {
  json file = makeFile({"a", "x", " ", "é"});
  file["added_tokens"] = json::array({addedToken(4, "xx", {{"single_word", true}})});
  Built built(file);
  EXPECT_EQ(built.encode("xx a"), (Ids{4, 2, 0}));
  EXPECT_EQ(built.encode("xxa"), (Ids{1, 1, 0}));
  EXPECT_EQ(built.encode("éxx"), (Ids{3, 1, 1}));
  EXPECT_EQ(built.encode(" xx "), (Ids{2, 4, 2}));
}

/// Raw tokens go first, before the normalizer; normalized ones are sought in what it made.
TEST(AddedTokens, RawAndNormalized) {
  json file = makeFile({"a", "b"});
  file["normalizer"] = {{"type", "Lowercase"}};
  file["added_tokens"] =
      json::array({addedToken(2, "AB"), addedToken(3, "BA", {{"normalized", true}})});
  Built built(file);
  EXPECT_EQ(built.encode("AB"), (Ids{2}));
  EXPECT_EQ(built.encode("ab"), (Ids{0, 1}));
  EXPECT_EQ(built.encode("bA"), (Ids{3}));
  EXPECT_EQ(built.encode("BABA"), (Ids{1, 2, 0}));
}

TEST(AddedTokens, ThousandsCostNoMoreThanAFew) {
  json file = makeFile({"a", "<"});
  for (int i = 0; i < 4000; ++i)
    file["added_tokens"].push_back(addedToken(2 + i, ("<" + std::to_string(i) + ">").c_str()));
  Built built(file);
  std::string text;
  for (int i = 0; i < 50'000; ++i)
    text += "a<a<3999>";
  Ids ids = built.encode(text);
  EXPECT_EQ(ids.size(), 200'000u);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2 + 3999), 50'000);
}

/// An added token may take an id of the vocabulary: it is shown, but words still become that id.
TEST(AddedTokens, MayRenameAnId) {
  json file = makeFile({"a", "b"});
  file["added_tokens"] = json::array({addedToken(1, "<s>")});
  Built built(file);
  EXPECT_EQ(built.encode("ab<s>"), (Ids{0, 1, 1}));
  EXPECT_EQ(built.decode({0, 1}), "a<s>");
  EXPECT_EQ(built.decode({0, 1}, /*skipSpecial=*/true), "a");
  EXPECT_TRUE(built.tokenizer->isControl(1));
  EXPECT_EQ(built.tokenizer->addedToken("<s>"), 1);
  EXPECT_EQ(built.tokenizer->addedToken("b"), std::nullopt);
}

/// The first text of each family: Prepend acts on every piece, Metaspace `first` on that at offset
/// 0.
TEST(Metaspace, OldAndNewFilesDifferBehindSpecialTokens) {
  json file = makeFile({"▁", "a", "<0x20>"});
  file["added_tokens"] = json::array({addedToken(3, "<s>")});
  json old = file;
  old["normalizer"] = {{"type", "Sequence"},
                       {"normalizers",
                        {{{"type", "Prepend"}, {"prepend", "▁"}},
                         {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}};
  EXPECT_EQ(Built(old).encode("a<s>a"), (Ids{0, 1, 3, 0, 1}));
  EXPECT_EQ(Built(old).encode(" a"), (Ids{0, 0, 1}));
  EXPECT_EQ(Built(old).encode(""), (Ids{}));
  json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"split", false}};
  json with = file;
  with["pre_tokenizer"] = metaspace;
  with["pre_tokenizer"]["prepend_scheme"] = "first";
  EXPECT_EQ(Built(with).encode("a<s>a"), (Ids{0, 1, 3, 1}));
  EXPECT_EQ(Built(with).encode("<s>a"), (Ids{3, 1}));
  EXPECT_EQ(Built(with).encode(" a"), (Ids{0, 1})); // begins with it already
  with["pre_tokenizer"]["prepend_scheme"] = "always";
  EXPECT_EQ(Built(with).encode("a<s>a"), (Ids{0, 1, 3, 0, 1}));
  with["pre_tokenizer"]["prepend_scheme"] = "never";
  EXPECT_EQ(Built(with).encode("a<s>a"), (Ids{1, 3, 1}));
  with["pre_tokenizer"] = metaspace;
  with["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(Built(with).encode("a<s>a"), (Ids{0, 1, 3, 0, 1}));
  with["pre_tokenizer"]["add_prefix_space"] = false;
  EXPECT_EQ(Built(with).encode("a"), (Ids{1}));
}

TEST(Metaspace, SplitsBeforeItsCharacter) {
  json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  EXPECT_EQ(wordsOf(metaspace, "ab c", {"▁ab", "▁c", "▁ab▁c"}),
            (std::vector<std::string>{"▁ab", "▁c"}));
  metaspace["split"] = false;
  EXPECT_EQ(wordsOf(metaspace, "ab c", {"▁ab", "▁c", "▁ab▁c"}),
            (std::vector<std::string>{"▁ab▁c"}));
}

TEST(PreTokenizer, SplitBehaviors) {
  const std::vector<std::string> words = {"a",  "b",  "-",   "--",  "a-", "-b",
                                          "b-", "-a", "a--", "--b", "a-b"};
  json dash = {{"String", "-"}};
  using Words = std::vector<std::string>;
  EXPECT_EQ(wordsOf(split(dash, "Removed"), "a--b", words), (Words{"a", "b"}));
  EXPECT_EQ(wordsOf(split(dash, "Isolated"), "a--b", words), (Words{"a", "-", "-", "b"}));
  EXPECT_EQ(wordsOf(split(dash, "MergedWithPrevious"), "a--b", words), (Words{"a-", "-", "b"}));
  EXPECT_EQ(wordsOf(split(dash, "MergedWithNext"), "a--b", words), (Words{"a", "-", "-b"}));
  EXPECT_EQ(wordsOf(split(dash, "Contiguous"), "a--b", words), (Words{"a", "--", "b"}));
  EXPECT_EQ(wordsOf(split(dash, "Removed", /*invert=*/true), "a--b", words), (Words{"-", "-"}));
  EXPECT_EQ(wordsOf(split({{"Regex", "-+"}}, "Isolated"), "a--b", words), (Words{"a", "--", "b"}));
}

TEST(PreTokenizer, SimpleKinds) {
  const std::vector<std::string> words = {"a", "1", "2", "12", "!", "a12", "!!", "Ⅻ", "。"};
  using Words = std::vector<std::string>;
  EXPECT_EQ(wordsOf({{"type", "Digits"}, {"individual_digits", true}}, "a12", words),
            (Words{"a", "1", "2"}));
  EXPECT_EQ(wordsOf({{"type", "Digits"}, {"individual_digits", false}}, "a12", words),
            (Words{"a", "12"}));
  EXPECT_EQ(wordsOf({{"type", "Punctuation"}}, "a!!。", words), (Words{"a", "!", "!", "。"}));
  EXPECT_EQ(wordsOf({{"type", "Whitespace"}}, " a12 \u3000!!a", words), (Words{"a12", "!!", "a"}));
  EXPECT_EQ(wordsOf({{"type", "WhitespaceSplit"}}, "a\u00A0 12", words), (Words{"a", "12"}));
}

TEST(PreTokenizer, ByteLevelHasThePatternOfGpt2) {
  json byteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const std::vector<std::string> words = {"a", "Ġa", "Ġ", "'s", "ĠĠ", "1", "Ġa's1", "Ċ", "Ã©"};
  using Words = std::vector<std::string>;
  EXPECT_EQ(wordsOf(byteLevel, "a  a's1", words), (Words{"a", "Ġ", "Ġa", "'s", "1"}));
  EXPECT_EQ(wordsOf(byteLevel, "é\n", words), (Words{"Ã©", "Ċ"}));
  byteLevel["add_prefix_space"] = true;
  EXPECT_EQ(wordsOf(byteLevel, "a", words), (Words{"Ġa"}));
  EXPECT_EQ(wordsOf(byteLevel, " a", words), (Words{"Ġa"}));
  byteLevel["use_regex"] = false;
  EXPECT_EQ(wordsOf(byteLevel, "a's1", words), (Words{"Ġa's1"}));
}

/// Letters from the Han script alone, and none of them among other letters: classes with && and
/// \p{Han}.
TEST(PreTokenizer, SetOperationsOfKimi) {
  json kimi = split({{"Regex", "[\\p{Han}]+|[\\p{L}\\p{M}&&[^\\p{Han}]]+|[、]"}}, "Isolated");
  EXPECT_EQ(wordsOf(kimi, "ab专家c、家", {"ab", "专家", "c", "、", "家", "ab专家c", "、家"}),
            (std::vector<std::string>{"ab", "专家", "c", "、", "家"}));
}

/// A line without spaces, as one match of a pattern that repeats a group, and of one that repeats a
/// class.
TEST(PreTokenizer, LongLines) {
  std::string line(300'000, 'a');
  for (const char *regex : {"(?:a|b)+", "[a-z]+", "(?:[a-z&&[^b]])+", "(?i:A|b)+c|a+"}) {
    json file = makeFile({"a", "aa"}, {{"a", "a"}});
    file["pre_tokenizer"] = split({{"Regex", regex}}, "Isolated");
    EXPECT_EQ(Built(file).encode(line), Ids(150'000, 1)) << regex;
  }
}

TEST(Normalizer, UnicodeForms) {
  const std::string composed = "\u00E9", decomposed = "e\u0301", ligature = "\uFB01";
  auto idsWith = [&](const char *type, const std::string &text) {
    json file = makeFile({"e", "\u0301", "\u00E9", "f", "i", "\uFB01"});
    file["normalizer"] = {{"type", type}};
    return Built(file).encode(text);
  };
  EXPECT_EQ(idsWith("NFC", decomposed), (Ids{2}));
  EXPECT_EQ(idsWith("NFC", ligature), (Ids{5}));
  EXPECT_EQ(idsWith("NFD", composed), (Ids{0, 1}));
  EXPECT_EQ(idsWith("NFKC", ligature + decomposed), (Ids{3, 4, 2}));
  EXPECT_EQ(idsWith("NFKD", ligature + composed), (Ids{3, 4, 0, 1}));
  EXPECT_EQ(idsWith("Lowercase", "E\u00C9"), (Ids{0, 2}));
  EXPECT_EQ(idsWith("StripAccents", decomposed), (Ids{0}));
  EXPECT_EQ(idsWith("Strip", " \u3000e\n"), (Ids{0}));
}

TEST(PostProcessor, TemplatesNest) {
  json file = makeFile({"a", "<s>", "</s>", "<x>"});
  auto wrap = [](const char *before, int beforeId, const char *after, int afterId) {
    return json{{"type", "TemplateProcessing"},
                {"single",
                 {{{"SpecialToken", {{"id", before}, {"type_id", 0}}}},
                  {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                  {{"SpecialToken", {{"id", after}, {"type_id", 0}}}}}},
                {"special_tokens",
                 {{before, {{"id", before}, {"ids", {beforeId}}}},
                  {after, {{"id", after}, {"ids", {afterId}}}}}}};
  };
  file["post_processor"] = {
      {"type", "Sequence"},
      {"processors",
       {{{"type", "ByteLevel"}}, wrap("<s>", 1, "</s>", 2), wrap("<x>", 3, "</s>", 2)}}};
  Built built(file);
  EXPECT_EQ(built.encode("a", AddSpecial::PostProcessor), (Ids{3, 1, 0, 2, 2}));
  EXPECT_EQ(built.encode("", AddSpecial::PostProcessor), (Ids{3, 1, 2, 2}));
  EXPECT_EQ(built.encode("a", AddSpecial::None), (Ids{0}));
}

TEST(PostProcessor, FlagsOfTheConfig) {
  json file = makeFile({"a", "<s>", "</s>"});
  json config = {{"bos_token", "<s>"},
                 {"eos_token", {{"content", "</s>"}}},
                 {"pad_token", nullptr},
                 {"add_bos_token", true},
                 {"add_eos_token", true}};
  Built built(file, config);
  EXPECT_EQ(built.encode("a", AddSpecial::Flags), (Ids{1, 0, 2}));
  EXPECT_EQ(built.encode("a", AddSpecial::PostProcessor), (Ids{0}));
  EXPECT_EQ(built.tokenizer->bos(), 1);
  EXPECT_EQ(built.tokenizer->eos(), 2);
  EXPECT_EQ(built.tokenizer->pad(), std::nullopt);
}

/// The decoder of the Llama 2 family.
static json llamaDecoder() {
  return {{"type", "Sequence"},
          {"decoders",
           {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
            {{"type", "ByteFallback"}},
            {{"type", "Fuse"}},
            {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
}

TEST(Decoder, RunsOfBytesAreTextOrAllBroken) {
  json file = makeFile({"▁a", "<0xC3>", "<0xA9>", "b"});
  file["decoder"] = llamaDecoder();
  Built built(file);
  EXPECT_EQ(built.decode({0, 1, 2, 3}), "aéb");
  EXPECT_EQ(built.decode({0, 0}), "a a");
  EXPECT_EQ(built.decode({3, 1, 3}), "b\uFFFDb");
  EXPECT_EQ(built.decode({1, 2, 1}), "\uFFFD\uFFFD\uFFFD");
}

TEST(Decoder, ByteLevelMakesBrokenPartsVisible) {
  json file = makeFile({"ð", "Ł", "ĻĤ", "a", "<é>", "Ġa"});
  file["decoder"] = {{"type", "ByteLevel"}};
  file["added_tokens"] = json::array({addedToken(6, "専")});
  Built built(file);
  EXPECT_EQ(built.decode({0, 1, 2}), "🙂"); // F0 9F 99 82
  EXPECT_EQ(built.decode({0, 1, 3}), "\uFFFDa");
  EXPECT_EQ(built.decode({2}), "\uFFFD\uFFFD");
  EXPECT_EQ(built.decode({3, 5, 6}), "a a専");
}

TEST(Decoder, MetaspaceDropsTheFirstSpaces) {
  json file = makeFile({"▁a", "b▁"});
  file["decoder"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  EXPECT_EQ(Built(file).decode({0, 0, 1}), "a ab ");
  file["decoder"]["prepend_scheme"] = "never";
  EXPECT_EQ(Built(file).decode({0, 1}), " ab ");
}

TEST(Decoder, WithoutOneThereAreSpaces) {
  json file = makeFile({"a", "b"});
  file["decoder"] = nullptr;
  EXPECT_EQ(Built(file).decode({0, 1, 0}), "a b a");
}

TEST(Decoder, StripsBothEndsOfEachToken) {
  json file = makeFile({"xxaxx", "x", "ax"});
  file["decoder"] = {
      {"type", "Sequence"},
      {"decoders",
       {{{"type", "Fuse"}}, {{"type", "Strip"}, {"content", "x"}, {"start", 1}, {"stop", 2}}}}};
  EXPECT_EQ(Built(file).decode({0, 1}), "xax");
  EXPECT_EQ(Built(file).decode({2, 2}), "axa");
}

TEST(Decoder, IdsWithoutTextGiveNothing) {
  json file = makeFile({"a"});
  file["added_tokens"] = json::array({addedToken(5, "<s>")});
  Built built(file);
  EXPECT_EQ(built.decode({0, 3, 77, -1, 0}), "aa");
  EXPECT_EQ(built.tokenizer->tokenText(3), std::nullopt);
  EXPECT_FALSE(built.tokenizer->isControl(77));
  EXPECT_EQ(built.tokenizer->numIds(), 6u);
}

TEST(TextStream, HoldsBackWhatMayStillChange) {
  json file = makeFile({"ð", "Ł", "ĻĤ", "a"});
  file["decoder"] = {{"type", "ByteLevel"}};
  Built built(file);
  TextStream stream(*built.tokenizer);
  EXPECT_EQ(stream.push(3), "a");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(1), "");
  EXPECT_EQ(stream.push(2), "🙂");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(TextStream, LeavesOutControlTokens) {
  json file = makeFile({"▁a", "b"});
  file["decoder"] = llamaDecoder();
  file["added_tokens"] =
      json::array({addedToken(2, "<s>"), addedToken(3, "<t>", {{"special", false}})});
  Built built(file);
  TextStream stream(*built.tokenizer);
  EXPECT_EQ(stream.push(2), "");
  EXPECT_EQ(stream.push(0), "a"); // the first text there is: its space falls away
  EXPECT_EQ(stream.push(3), "<t>");
  EXPECT_EQ(stream.push(0), " a");
  EXPECT_EQ(stream.finish(), "");
}

/// A byte-level tokenizer with a token per byte gives every text back.
TEST(RoundTrip, OfTheTrapList) {
  json file = makeFile({});
  int id = 0, further = 256;
  for (int byte = 0; byte < 256; ++byte) {
    bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    std::string character;
    utf8::append(character, static_cast<char32_t>(printable ? byte : further++));
    file["model"]["vocab"][character] = id++;
  }
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  file["decoder"] = {{"type", "ByteLevel"}};
  file["added_tokens"] = json::array({addedToken(256, "<|im_start|>")});
  Built built(file);
  for (const std::string &text :
       {std::string(), std::string(" "), std::string("     "), std::string("\t\tx\t"),
        std::string("a\r\nb\r\n"), std::string("1234567"), std::string("専 каждый עברית"),
        std::string("e\u0301\u0323"), std::string("👩‍💻🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        std::string("x<|im_start|>x"), std::string("a\0b", 3), std::string(100'000, 'q')}) {
    Ids ids = built.encode(text);
    EXPECT_EQ(built.decode(ids), text);
  }
  EXPECT_EQ(built.encode("x<|im_start|>x"), (Ids{'x', 256, 'x'}));
}

TEST(Encode, RefusesWhatIsNoText) {
  Built built(makeFile({"a"}));
  for (std::string text : {"a\xFF", "\xC3", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\x80"}) {
    Result<Ids> ids = built.tokenizer->encode(text);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.status().code, Code::Usage);
  }
}
