// What the tokenizer compiler refuses, and how it says so; and the regular expressions that it
// respells.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "frontends/checkpoint/OnigurumaPattern.h"
#include "runtime/text/Pattern.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

using namespace moec;
using nlohmann::json;

static json goodFile() {
  return json::parse(R"({"added_tokens": [{"id": 3, "content": "<s>", "special": true}],
      "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})");
}

static Status compile(const std::string &text, const std::string &config = "") {
  Result<std::vector<uint8_t>> tables =
      compileTokenizer({text, "tokenizer.json"}, {config, "tokenizer_config.json"});
  return tables.ok() ? Status{} : tables.status();
}

/// The file with the value at `pointer` changed is refused with `code`, and the message has `part`.
static void expectRefused(const char *pointer, const json &value, Code code, const char *part) {
  json file = goodFile();
  file[json::json_pointer(pointer)] = value;
  Status status = compile(file.dump());
  EXPECT_EQ(status.code, code) << pointer << ": " << status.message;
  EXPECT_NE(status.message.find(part), std::string::npos) << status.message;
  EXPECT_EQ(status.message.find("tokenizer.json"), 0u) << status.message;
}

TEST(TokenizerCompiler, TakesTheGoodFile) { EXPECT_TRUE(compile(goodFile().dump()).ok()); }

TEST(TokenizerCompiler, RefusesBrokenJson) {
  for (const char *text : {"", "{", "[]", "null", "{\"model\": 1}", "\xFF", "{\"model\":{}}"})
    EXPECT_EQ(compile(text).code, Code::Model) << text;
  EXPECT_EQ(compile(std::string(100'000, '[')).code, Code::Model);
  EXPECT_EQ(compile(goodFile().dump(), "[]").code, Code::Model);
  EXPECT_EQ(compile(goodFile().dump(), "{\"bos_token\": 1}").code, Code::Model);
}

TEST(TokenizerCompiler, NamesTheFieldOfTheModel) {
  expectRefused("/model/type", "Unigram", Code::Unsupported,
                "`model.type`: a model of type `Unigram`");
  expectRefused("/model/vocab", json::array(), Code::Model, "`model.vocab`");
  expectRefused("/model/vocab/a", -1, Code::Model, "`model.vocab.a`: -1");
  expectRefused("/model/vocab/a", 1e9, Code::Model, "`model.vocab.a`");
  expectRefused("/model/vocab/a", 1u << 31, Code::Model, "`model.vocab.a`: 2147483648");
  expectRefused("/model/vocab/a", 1, Code::Model, "the id 1 stands for two words");
  expectRefused("/model/merges/0", "ab", Code::Model, "`model.merges[0]`: not a pair");
  expectRefused("/model/merges/0", "a  b", Code::Model, "`model.merges[0]`: not a pair");
  expectRefused("/model/merges/0", json{"a", "c"}, Code::Model, "`c` is not in the vocabulary");
  expectRefused("/model/merges/0", json{"b", "a"}, Code::Model, "`ba` is not in the vocabulary");
  expectRefused("/model/merges", 3, Code::Model, "`model.merges`: number where an array");
  expectRefused("/model/unk_token", "?", Code::Model, "`model.unk_token`: `?`");
  expectRefused("/model/dropout", 0.1, Code::Unsupported, "`model.dropout`");
  expectRefused("/model/end_of_word_suffix", "</w>", Code::Unsupported,
                "`model.end_of_word_suffix`");
  expectRefused("/model/byte_fallback", 1, Code::Model, "`model.byte_fallback`: number");
}

TEST(TokenizerCompiler, NamesTheFieldOfAddedTokens) {
  expectRefused("/added_tokens/0/id", "3", Code::Model, "`added_tokens[0].id`");
  expectRefused("/added_tokens/0/content", "a", Code::Model, "`a` has the id 3, and 0");
  json file = goodFile();
  file["added_tokens"].push_back({{"id", 3}, {"content", "<t>"}});
  EXPECT_NE(compile(file.dump()).message.find("the id 3 stands for `<s>` and `<t>`"),
            std::string::npos);
}

TEST(TokenizerCompiler, NamesTheComponent) {
  json unknown = {{"type", "Wobble"}};
  for (const char *name : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    std::string pointer = std::string("/") + name;
    expectRefused(pointer.c_str(), unknown, Code::Unsupported, "type `Wobble` is not supported");
    expectRefused(pointer.c_str(), unknown, Code::Unsupported, name);
    expectRefused(pointer.c_str(), json::array(), Code::Model, name);
  }
  json sequence = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "ByteLevel"}}, unknown}}};
  expectRefused("/pre_tokenizer", sequence, Code::Unsupported, "`pre_tokenizer.pretokenizers[1]`");
  expectRefused("/normalizer", {{"type", "Precompiled"}}, Code::Unsupported, "Precompiled");
  expectRefused("/decoder", {{"type", "WordPiece"}}, Code::Unsupported, "WordPiece");
}

TEST(TokenizerCompiler, NamesThePattern) {
  auto split = [](const char *regex, const char *behavior = "Isolated") {
    return json{{"type", "Split"},
                {"pattern", {{"Regex", regex}}},
                {"behavior", behavior},
                {"invert", false}};
  };
  expectRefused("/pre_tokenizer", split("(a"), Code::Model, "`pre_tokenizer.pattern.Regex`");
  expectRefused("/pre_tokenizer", split("[a"), Code::Model, "a class without end");
  expectRefused("/pre_tokenizer", split("(a)\\1"), Code::Unsupported, "`\\1`");
  expectRefused("/pre_tokenizer", split("\\p{Wobble}"), Code::Unsupported,
                "`pre_tokenizer.pattern.Regex`");
  expectRefused("/pre_tokenizer", split("(?i:\\p{Lu})"), Code::Unsupported,
                "where case is ignored");
  expectRefused("/pre_tokenizer", split("a", "Sideways"), Code::Model, "`pre_tokenizer.behavior`");
}

TEST(TokenizerCompiler, ChecksTheIdsOfTheTemplate) {
  json processor = {
      {"type", "TemplateProcessing"},
      {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
      {"special_tokens", {{"<s>", {{"ids", {9}}}}}}};
  expectRefused("/post_processor", processor, Code::Model, "the id 9 belongs to no token");
  processor["special_tokens"] = json::object();
  expectRefused("/post_processor", processor, Code::Model, "`<s>` is not among `special_tokens`");
  processor["single"] = json::array();
  expectRefused("/post_processor", processor, Code::Unsupported, "without the text");
}

TEST(TokenizerCompiler, DirectoriesWithoutATokenizerHaveNone) {
  Result<std::optional<std::vector<uint8_t>>> none =
      compileTokenizerIn(MOEC_TEST_DIR "/golden/onnx", "");
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

/// The stretches of `text` that `regex`, in Oniguruma's spelling, matches.
static std::vector<std::string> matches(const char *regex, std::string_view text) {
  Result<std::string> translated = translateOniguruma(regex);
  EXPECT_TRUE(translated.ok()) << translated.status().message;
  if (!translated.ok())
    return {};
  Result<Pattern> pattern = Pattern::compileRegex(*translated);
  EXPECT_TRUE(pattern.ok()) << *translated << ": " << pattern.status().message;
  if (!pattern.ok())
    return {};
  Result<std::vector<Span>> spans = pattern->find(text);
  EXPECT_TRUE(spans.ok());
  std::vector<std::string> found;
  for (Span span : *spans)
    found.emplace_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

using Texts = std::vector<std::string>;

TEST(OnigurumaPattern, SpaceIsUnicodesWhiteSpace) {
  EXPECT_EQ(matches("\\s+", "a\u00A0\u3000\u0085b\u180Ec"), (Texts{"\u00A0\u3000\u0085"}));
  EXPECT_EQ(matches("[\\s]+", "a\u2003\t"), (Texts{"\u2003\t"}));
  EXPECT_EQ(matches("\\S+", "a\u00A0\u180Eb"), (Texts{"a", "\u180Eb"}));
  EXPECT_EQ(matches("[^\\S]", "a\u00A0"), (Texts{"\u00A0"}));
}

TEST(OnigurumaPattern, EscapesThatMeanSomethingElse) {
  EXPECT_EQ(matches("\\h+", "xyz 0aF g"), (Texts{"0aF"}));
  EXPECT_EQ(matches("\\v", "\n\v"), (Texts{"\v"}));
  EXPECT_EQ(matches("\\w+", "e\u0301_9-x"), (Texts{"e\u0301_9", "x"}));
  EXPECT_EQ(matches("(?m:a.b)", "a\nb"), (Texts{"a\nb"}));
  EXPECT_EQ(matches("a.b", "a\nb"), (Texts{}));
  EXPECT_EQ(matches("^b$", "a\nb\nc"), (Texts{"b"}));
  EXPECT_EQ(matches("x(?i)y|z", "xY xZ XY"), (Texts{"xY", "xZ"}));
  EXPECT_EQ(matches("a{,2}b", "aaab"), (Texts{"aab"}));
}

TEST(OnigurumaPattern, ControlCharactersAsTheyAreAndAsEscapes) {
  EXPECT_EQ(matches("[^\r\n]+", "a\r\nb"), matches("[^\\r\\n]+", "a\r\nb"));
  EXPECT_EQ(matches("[\n]", "a\nb"), (Texts{"\n"}));
}

TEST(OnigurumaPattern, ScriptsAreThatScriptAlone) {
  EXPECT_EQ(matches("\\p{Han}+", "専、々"), (Texts{"専", "々"}));
}

TEST(OnigurumaPattern, OperationsOnClasses) {
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "hello"), (Texts{"h", "ll"}));
  EXPECT_EQ(matches("[^a-z&&[^aeiou]]+", "hello!"), (Texts{"e", "o!"}));
  EXPECT_EQ(matches("[a[0-9][^\\p{L}]]+", "ab1-"), (Texts{"a", "1-"}));
  EXPECT_EQ(matches("[\\p{L}\\p{M}&&[^\\p{Han}]]+", "ab専e\u0301"), (Texts{"ab", "e\u0301"}));
  EXPECT_EQ(matches("[\\p{Lu}&&\\p{L}&&[A-C]]", "aAD"), (Texts{"A"}));
  EXPECT_EQ(matches("[]a]+", "]a["), (Texts{"]a"}));
  EXPECT_EQ(matches("[[:alpha:]]+", "a1b"), (Texts{"a", "b"}));
}

TEST(OnigurumaPattern, WhatHasNoEqualIsRefused) {
  for (const char *regex : {"\\G", "\\K", "(a)\\k<1>", "(?x:a)", "(?~a)", "a{2}?", "a{1,2}+",
                            "\\xFF", "[a&&]", "(*FAIL)", "\\X", "[[:punct:]]", "a{99999999}"}) {
    Result<std::string> translated = translateOniguruma(regex);
    ASSERT_FALSE(translated.ok()) << regex;
    EXPECT_EQ(translated.status().code, Code::Unsupported) << regex;
  }
  for (const char *regex : {"(", ")", "[", "\\", "[b-a]", "\\p{", "\\x{110000}", "(?#"}) {
    Result<std::string> translated = translateOniguruma(regex);
    ASSERT_FALSE(translated.ok()) << regex;
    EXPECT_EQ(translated.status().code, Code::Model) << regex;
  }
}
