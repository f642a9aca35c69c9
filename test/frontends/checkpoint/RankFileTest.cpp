// tiktoken rank files: what they become with the pattern and special tokens of a family, and what
// is refused.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

using namespace moec;

static std::string base64(std::string_view bytes) {
  const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j)
      text += j <= count ? digits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

/// Every byte with its value as rank, then `more` from 256 on.
static std::string rankFile(const std::vector<std::string> &more = {}) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte)
    text += base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
  for (size_t i = 0; i < more.size(); ++i)
    text += base64(more[i]) + " " + std::to_string(256 + i) + "\n";
  return text;
}

static Result<std::vector<uint8_t>> compile(const std::string &ranks, const char *modelType,
                                            const char *config = "") {
  return compileRankFile({ranks, "tiktoken.model"}, {config, "tokenizer_config.json"}, modelType);
}

using Ids = std::vector<int32_t>;

static Ids encode(const std::vector<uint8_t> &tables, std::string_view text,
                  AddSpecial special = AddSpecial::None) {
  Result<Tokenizer> tokenizer = Tokenizer::open(tables);
  EXPECT_TRUE(tokenizer.ok());
  Result<Ids> ids = tokenizer->encode(text, special);
  EXPECT_TRUE(ids.ok());
  EXPECT_EQ(tokenizer->decode(*ids), text);
  return *ids;
}

/// The words that the pattern of a family cuts `text` into: every word of a few bytes is a token.
static Ids words(const char *modelType, const std::vector<std::string> &tokens,
                 std::string_view text) {
  Result<std::vector<uint8_t>> tables = compile(rankFile(tokens), modelType);
  EXPECT_TRUE(tables.ok()) << tables.status().message;
  return tables.ok() ? encode(*tables, text) : Ids();
}

TEST(RankFile, TheLowestRankMergesFirst) {
  // "bc" before "ab": abc is a + bc, which make no token.
  EXPECT_EQ(words("qwen2_moe", {"bc", "ab"}, "abc"), (Ids{'a', 256}));
  EXPECT_EQ(words("qwen2_moe", {"ab", "bc"}, "abc"), (Ids{256, 'c'}));
}

TEST(RankFile, OfEqualRanksTheLeftmostMergesFirst) {
  EXPECT_EQ(words("qwen2_moe", {"aa", "ab", "aab"}, "aaab"), (Ids{256, 257}));
}

TEST(RankFile, AWholeWordIsItsToken) {
  EXPECT_EQ(words("gpt_oss", {"abcd"}, "abcd"), Ids{256}) << "though no merges lead there";
}

TEST(RankFile, PartsOfCharactersAreTokens) {
  EXPECT_EQ(words("gpt_oss", {}, "\u00e9"), (Ids{0xC3, 0xA9}));
  EXPECT_EQ(words("gpt_oss", {"\xE4\xB8"}, "\u4e2d"), (Ids{256, 0xAD}));
}

TEST(RankFile, FamiliesCutDigitsAndContractionsTheirWay) {
  EXPECT_EQ(words("qwen3_moe", {"12", "123"}, "1234"), (Ids{'1', '2', '3', '4'}));
  EXPECT_EQ(words("gpt_oss", {"12", "123"}, "1234"), (Ids{257, '4'}));
  EXPECT_EQ(words("llama4", {"it", "'s", "it's"}, "it's"), Ids{258});
  EXPECT_EQ(words("qwen3_moe", {"it", "'s", "it's"}, "it's"), (Ids{256, 257}));
}

TEST(RankFile, QwenComposesCharacters) {
  Result<std::vector<uint8_t>> tables = compile(rankFile(), "qwen3_moe");
  ASSERT_TRUE(tables.ok());
  Result<Tokenizer> tokenizer = Tokenizer::open(*tables);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(*tokenizer->encode("e\u0301"), (Ids{0xC3, 0xA9}));
}

TEST(RankFile, KimiKeepsHanCharactersApart) {
  std::vector<std::string> tokens = {"a\u4e2d", "\u4e2d\u6587", "ab"};
  EXPECT_EQ(words("kimi_k2", tokens, "ab\u4e2d\u6587ab"), (Ids{258, 257, 258}));
  EXPECT_EQ(words("gpt_oss", {"a\u4e2d"}, "a\u4e2d"), Ids{256});
  EXPECT_EQ(words("kimi_k2", {"a\u4e2d"}, "a\u4e2d"), (Ids{'a', 0xE4, 0xB8, 0xAD}));
  EXPECT_EQ(words("deepseek_v3", {"a\u4e2d"}, "a\u4e2d"), (Ids{'a', 0xE4, 0xB8, 0xAD}));
}

TEST(RankFile, SpecialTokensFollowTheRanks) {
  Result<std::vector<uint8_t>> gptOss = compile(rankFile({"ab"}), "gpt_oss");
  ASSERT_TRUE(gptOss.ok());
  EXPECT_EQ(encode(*gptOss, "ab<|start|>ab").size(), 3u);
  Result<Tokenizer> tokenizer = Tokenizer::open(*gptOss);
  EXPECT_EQ(tokenizer->addedToken("<|startoftext|>"), 257);
  EXPECT_EQ(tokenizer->addedToken("<|return|>"), 261);
  EXPECT_EQ(tokenizer->addedToken("<|reserved_260|>"), 260);
  EXPECT_EQ(tokenizer->addedToken("<|call|>"), 271);
  EXPECT_EQ(tokenizer->addedToken("<|endofprompt|>"), 277);
  EXPECT_EQ(tokenizer->numIds(), 278u);

  Result<std::vector<uint8_t>> llama = compile(rankFile(), "llama4_text");
  ASSERT_TRUE(llama.ok());
  Result<Tokenizer> llamaTokenizer = Tokenizer::open(*llama);
  EXPECT_EQ(llamaTokenizer->numIds(), 256u + 2048u);
  for (auto [name, at] :
       {std::pair("<|begin_of_text|>", 0), std::pair("<|header_start|>", 5),
        std::pair("<|eot|>", 8), std::pair("<|python_start|>", 16),
        std::pair("<|finetune_right_pad|>", 18), std::pair("<|image_start|>", 80),
        std::pair("<|patch|>", 92), std::pair("<|reasoning_thinking_end|>", 1143)})
    EXPECT_EQ(llamaTokenizer->addedToken(name), 256 + at) << name;
  EXPECT_EQ(llamaTokenizer->prefix(), Ids{256}) << "<|begin_of_text|>";
}

TEST(RankFile, TheConfigNamesSpecialTokens) {
  const char *config = R"({"bos_token": "[BOS]", "eos_token": {"content": "[EOS]"},
      "added_tokens_decoder": {"256": {"content": "[BOS]", "special": true},
        "257": {"content": "[EOS]", "special": true},
        "259": {"content": "<think>", "special": false, "normalized": false},
        "900": {"content": "[far]", "special": true}}})";
  Result<std::vector<uint8_t>> tables = compile(rankFile(), "kimi_k2", config);
  ASSERT_TRUE(tables.ok()) << tables.status().message;
  Result<Tokenizer> tokenizer = Tokenizer::open(*tables);
  EXPECT_EQ(tokenizer->bos(), 256);
  EXPECT_EQ(tokenizer->eos(), 257);
  EXPECT_EQ(*tokenizer->encode("[EOS]a<think>[far]<|reserved_token_258|>"),
            (Ids{257, 'a', 259, 900, 258}));
  EXPECT_TRUE(tokenizer->isControl(257));
  EXPECT_FALSE(tokenizer->isControl(259));
}

static void expectRefused(const std::string &ranks, Code code, const char *part,
                          const char *modelType = "qwen3_moe", const char *config = "") {
  Result<std::vector<uint8_t>> tables = compile(ranks, modelType, config);
  ASSERT_FALSE(tables.ok()) << part;
  EXPECT_EQ(tables.status().code, code) << part;
  EXPECT_NE(tables.status().message.find(part), std::string::npos) << tables.status().message;
}

TEST(RankFile, DamagedOnesAreRefusedByLine) {
  const char *form = "not a token in base64, a space and a rank";
  for (const char *line : {"YQ", "YQ==", "YQ== ", "YQ== x", "YQ== 1 2", "Y*== 300", "= 300",
                           "YQ== -1", " 300", "YQ==  300", "Y=Q= 300"})
    expectRefused(rankFile() + line + "\n", Code::Model, form);
  expectRefused("\xFF\n", Code::Model, "tiktoken.model: line 1");
  expectRefused(rankFile() + "\nYWI= 300\nYWM= 300\n", Code::Model,
                "line 259: the rank 300 stands for two tokens");
  expectRefused(rankFile() + "YQ== 300\n", Code::Model, "the ranks 97 and 300 stand for the same");
  expectRefused(rankFile() + "YWI= 16777216\n", Code::Model, "line 257: the rank 16777216");
  expectRefused(rankFile() + "YWI= 16777215\n", Code::Model, "leave no room");
  expectRefused(rankFile({std::string(513, 'x')}), Code::Model, "line 257: a token of 513 bytes");
  expectRefused("YQ== 0\n", Code::Model, "the byte 0x00 has no rank");
  expectRefused("", Code::Model, "the byte 0x00 has no rank");
}

TEST(RankFile, UnknownFamiliesAndBadConfigsAreRefused) {
  expectRefused(rankFile(), Code::Unsupported, "a model of type `mixtral`", "mixtral");
  expectRefused(rankFile(), Code::Unsupported, "put a tokenizer.json beside it", "");
  expectRefused(rankFile(), Code::Model, "`added_tokens_decoder.x`: `x` is no id", "kimi_k2",
                R"({"added_tokens_decoder": {"x": {"content": "a"}}})");
  expectRefused(
      rankFile(), Code::Model, "`[A]` has the ids 256 and 257", "kimi_k2",
      R"({"added_tokens_decoder": {"256": {"content": "[A]"}, "257": {"content": "[A]"}}})");
  expectRefused(rankFile(), Code::Model, "`added_tokens_decoder`: no object", "kimi_k2",
                R"({"added_tokens_decoder": [1]})");
  expectRefused(rankFile(), Code::Model, "tokenizer_config.json", "kimi_k2", "[]");
}

TEST(RankFile, IsTakenWhereTokenizerJsonIsAbsent) {
  std::string directory = testing::TempDir() + "/rank_file";
  for (const char *name : {"tiktoken.model", "tokenizer.model", "qwen.tiktoken"}) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    std::ofstream(directory + "/" + name, std::ios::binary) << rankFile({"ab"});
    Result<std::optional<std::vector<uint8_t>>> tables = compileTokenizerIn(directory, "qwen3_moe");
    ASSERT_TRUE(tables.ok() && *tables) << name;
    EXPECT_EQ(encode(**tables, "ab"), Ids{256});
    std::ofstream(directory + "/tokenizer.json") << "{}";
    EXPECT_FALSE(compileTokenizerIn(directory, "qwen3_moe").ok()) << "tokenizer.json comes first";
  }
}
