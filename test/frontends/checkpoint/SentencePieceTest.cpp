// sentencepiece's tokenizer.model: what it becomes, and what is refused.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>

using namespace moec;

// Messages of sentencepiece_model.proto, written field by field.

static std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

static std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}

static std::string bytes(int field, std::string_view value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + std::string(value);
}

static std::string real(int field, float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  std::string text = varint(static_cast<uint64_t>(field) << 3 | 5);
  for (int i = 0; i < 4; ++i)
    text += static_cast<char>(bits >> 8 * i);
  return text;
}

enum { Normal = 1, Unknown, Control, UserDefined, Unused, Byte };

static std::string piece(std::string_view text, float score = 0, int type = Normal) {
  return bytes(1, bytes(1, text) + real(2, score) + (type == Normal ? "" : number(3, type)));
}

/// A model in parts, so that a test can change one.
struct Model {
  std::string pieces = piece("<unk>", 0, Unknown) + piece("<s>", 0, Control) +
                       piece("</s>", 0, Control) + piece("[INST]", 0, Control);
  std::string trainer = number(3, 2) + number(35, 1) + number(43, ~uint64_t{0});
  std::string normalizer = bytes(1, "identity") + number(4, 0);

  Model() {
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      snprintf(text, sizeof text, "<0x%02X>", byte);
      pieces += piece(text, 0, Byte); // ids from 4
    }
    // From 260: of ab and bc the latter merges first.
    pieces += piece("bc", -1) + piece("ab", -2) + piece("\u2581a", -3) + piece("\u2581\u2581", -9) +
              piece("\u2581", -10) + piece("a", -11) + piece("b", -12) + piece("c", -13);
  }

  std::string file() const { return pieces + bytes(2, trainer) + bytes(3, normalizer); }
};

using Ids = std::vector<int32_t>;

static Result<std::vector<uint8_t>> compile(const std::string &file, const char *config = "") {
  return compileSentencePiece({file, "tokenizer.model"}, {config, "tokenizer_config.json"});
}

static Ids encode(const std::string &file, std::string_view text, const char *config = "",
                  AddSpecial special = AddSpecial::None) {
  Result<std::vector<uint8_t>> tables = compile(file, config);
  EXPECT_TRUE(tables.ok()) << tables.status().message;
  if (!tables.ok())
    return {};
  Result<Tokenizer> tokenizer = Tokenizer::open(*tables);
  EXPECT_TRUE(tokenizer.ok());
  Result<Ids> ids = tokenizer->encode(text, special);
  EXPECT_TRUE(ids.ok());
  return *ids;
}

static std::string decode(const Ids &ids) {
  Result<std::vector<uint8_t>> tables = compile(Model().file());
  return Tokenizer::open(*tables)->decode(ids, true);
}

TEST(SentencePiece, TheHighestScoreMergesFirst) {
  EXPECT_EQ(encode(Model().file(), "abc"), (Ids{262, 260}));
  EXPECT_EQ(encode(Model().file(), "a"), Ids{262});
  EXPECT_EQ(encode(Model().file(), ""), Ids{});
}

TEST(SentencePiece, OfEqualScoresTheLeftmostMergesFirst) {
  Model model;
  model.pieces += piece("ba", -0.5) + piece("cb", -0.5);
  EXPECT_EQ(encode(model.file(), "cbac"), (Ids{264, 269, 265, 267}));
}

TEST(SentencePiece, OtherCharactersAreBytes) {
  EXPECT_EQ(encode(Model().file(), "\u00e9"), (Ids{264, 4 + 0xC3, 4 + 0xA9}));
  Model model;
  model.trainer = number(3, 2);
  EXPECT_EQ(encode(model.file(), "a\u00e9!"), (Ids{262, 0})) << "unknown ones are joined";
}

TEST(SentencePiece, TextGetsASpaceInFront) {
  EXPECT_EQ(encode(Model().file(), " b[INST]b"), (Ids{263, 266, 3, 264, 266}));
  EXPECT_EQ(encode(Model().file(), "b[INST]b", R"({"legacy": false})"), (Ids{264, 266, 3, 266}));
  Model model;
  model.normalizer += number(3, 0);
  EXPECT_EQ(encode(model.file(), "b c"), (Ids{266, 264, 267}));
}

TEST(SentencePiece, DecodingTakesTheSpaceAway) {
  EXPECT_EQ(decode({264, 265, 260, 264, 266}), "abc b");
  EXPECT_EQ(decode({1, 264, 4 + 0xC3, 4 + 0xA9}), "\u00e9");
  EXPECT_EQ(decode({4 + 0xC3, 265}), "\uFFFDa");
}

TEST(SentencePiece, SpecialTokensAreThoseOfTheModelAndTheConfig) {
  Model model;
  EXPECT_EQ(encode(model.file(), "a", "", AddSpecial::PostProcessor), (Ids{1, 262}));
  EXPECT_EQ(encode(model.file(), "a", R"({"add_bos_token": false, "add_eos_token": true})",
                   AddSpecial::PostProcessor),
            (Ids{262, 2}));
  const char *config = R"({"eos_token": "[X]", "added_tokens_decoder":
      {"268": {"content": "[X]", "special": true}}})";
  EXPECT_EQ(encode(model.file(), "a[X]", config), (Ids{262, 268}));
  Result<std::vector<uint8_t>> tables = compile(model.file(), config);
  Result<Tokenizer> tokenizer = Tokenizer::open(*tables);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 268);
  EXPECT_EQ(tokenizer->pad(), std::nullopt);
  EXPECT_TRUE(tokenizer->isControl(0) && tokenizer->isControl(3));
}

TEST(SentencePiece, UserDefinedPiecesAreWordsForReaders) {
  Model model;
  model.pieces += piece("[DOC]", 0, UserDefined);
  EXPECT_EQ(encode(model.file(), "a[DOC]"), (Ids{262, 268}));
  Result<std::vector<uint8_t>> tables = compile(model.file());
  EXPECT_EQ(Tokenizer::open(*tables)->decode(Ids{268}, true), "[DOC]");
}

static void expectRefused(const std::string &file, Code code, const char *part) {
  Result<std::vector<uint8_t>> tables = compile(file);
  ASSERT_FALSE(tables.ok()) << part;
  EXPECT_EQ(tables.status().code, code) << part;
  EXPECT_NE(tables.status().message.find(part), std::string::npos) << tables.status().message;
}

TEST(SentencePiece, OtherModelsAreRefusedByName) {
  Model unigram, suffix, nfkc, mapped, removes, keeps, defaults, unused, apart;
  unigram.trainer = number(3, 1);
  expectRefused(unigram.file(), Code::Unsupported,
                "`trainer_spec.model_type`: a model of type unigram");
  defaults.trainer.clear();
  expectRefused(defaults.file(), Code::Unsupported, "a model of type unigram");
  suffix.trainer += number(24, 1);
  expectRefused(suffix.file(), Code::Unsupported, "treat_whitespace_as_suffix");
  nfkc.normalizer = bytes(1, "nmt_nfkc") + number(4, 0);
  expectRefused(nfkc.file(), Code::Unsupported, "the normalizer `nmt_nfkc`");
  mapped.normalizer += bytes(2, "x");
  expectRefused(mapped.file(), Code::Unsupported, "`normalizer_spec`");
  removes.normalizer = bytes(1, "identity");
  expectRefused(removes.file(), Code::Unsupported, "remove_extra_whitespaces");
  keeps.normalizer += number(5, 0);
  expectRefused(keeps.file(), Code::Unsupported, "escape_whitespaces");
  unused.pieces += piece("x", 0, Unused);
  expectRefused(unused.file(), Code::Unsupported, "`pieces[268]`: a piece that is not used");
  apart.pieces += piece("xa", -5);
  expectRefused(apart.file(), Code::Unsupported, "the character `x`, which is no piece");
}

TEST(SentencePiece, DamagedFilesAreRefused) {
  std::string good = Model().file();
  expectRefused("", Code::Model, "not a sentencepiece model");
  expectRefused(good.substr(0, good.size() - 1), Code::Model, "not a sentencepiece model");
  expectRefused(good + std::string(11, '\xFF'), Code::Model, "not a sentencepiece model");
  expectRefused(good + piece("a", -20), Code::Model,
                "`pieces[265]` and `pieces[268]` are both `a`");
  expectRefused(good + piece("\xFF"), Code::Model, "`pieces[268]`: no text in UTF-8");
  expectRefused(good + piece(""), Code::Model, "`pieces[268]`: no text");
  expectRefused(good + piece("x", std::bit_cast<float>(0x7FC00000)), Code::Model, "a score");
  expectRefused(good + piece("<0x1G>", 0, Byte), Code::Model, "is no byte");
  expectRefused(good + piece("x", 0, 9), Code::Model, "the type 9");
  expectRefused(good + piece(std::string(513, 'x')), Code::Model, "513 bytes");
  expectRefused(good + bytes(1, "\x0A\x7F"), Code::Model, "`pieces[268]`: a damaged message");
  Model far;
  far.trainer += number(41, 268);
  expectRefused(far.file(), Code::Model, "the special id 268 belongs to no piece");
}

TEST(SentencePiece, IsToldFromARankFileByItsFirstByte) {
  std::string directory = testing::TempDir() + "/sentencepiece";
  std::filesystem::create_directories(directory);
  std::ofstream(directory + "/tokenizer.model", std::ios::binary) << Model().file();
  Result<std::optional<std::vector<uint8_t>>> tables = compileTokenizerIn(directory, "mixtral");
  ASSERT_TRUE(tables.ok() && *tables);
  EXPECT_EQ(*Tokenizer::open(**tables)->encode("a"), (Ids{1, 262}));
}
