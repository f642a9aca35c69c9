// Every golden tokenizer against the ids and texts that the reference implementation gave.

#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/core/File.h"
#include "runtime/core/Json.h"
#include "runtime/text/Tokenizer.h"
#include "runtime/text/Utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

using namespace moec;
using nlohmann::json;

namespace {

/// A golden directory's tokenizer, and its cases.
struct GoldenTokenizer {
  std::vector<uint8_t> tables;
  json cases;
};

} // namespace

static std::vector<std::string> goldenDirectories() {
  std::vector<std::string> directories;
  std::error_code error;
  for (const auto &entry : std::filesystem::directory_iterator(MOEC_TEST_DIR "/golden", error))
    if (std::filesystem::exists(entry.path() / "tokenizer_cases.json"))
      directories.push_back(entry.path().string());
  std::sort(directories.begin(), directories.end());
  return directories;
}

static GoldenTokenizer load(const std::string &directory) {
  GoldenTokenizer golden;
  Result<std::optional<std::vector<uint8_t>>> tables = compileTokenizerIn(directory, "");
  EXPECT_TRUE(tables.ok()) << tables.status().message;
  if (tables.ok() && *tables)
    golden.tables = **tables;
  Result<std::string> text = readFile(directory + "/tokenizer_cases.json", 1 << 20);
  EXPECT_TRUE(text.ok());
  if (text.ok())
    golden.cases = json::parse(*text, nullptr, false);
  return golden;
}

/// Runs `check` on every case of every golden tokenizer.
template <typename Check> static void forEachCase(Check check) {
  std::vector<std::string> directories = goldenDirectories();
  ASSERT_GE(directories.size(), 20u) << "the golden data are not in " MOEC_TEST_DIR "/golden";
  for (const std::string &directory : directories) {
    SCOPED_TRACE(directory);
    GoldenTokenizer golden = load(directory);
    Result<Tokenizer> tokenizer = Tokenizer::open(golden.tables);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message;
    ASSERT_TRUE(golden.cases.is_array() && !golden.cases.empty());
    for (const json &row : golden.cases) {
      SCOPED_TRACE(row.dump());
      check(*tokenizer, row);
    }
  }
}

static void expectIds(const Tokenizer &tokenizer, const json &row, const char *key,
                      AddSpecial special) {
  Result<std::vector<int32_t>> ids = tokenizer.encode(row["text"].get<std::string>(), special);
  ASSERT_TRUE(ids.ok()) << ids.status().message;
  EXPECT_EQ(*ids, row[key].get<std::vector<int32_t>>()) << key;
}

TEST(TokenizerGolden, TextsBecomeTheReferenceIds) {
  forEachCase([](const Tokenizer &tokenizer, const json &row) {
    if (row.contains("text"))
      expectIds(tokenizer, row, "ids", AddSpecial::None);
  });
}

TEST(TokenizerGolden, ThePostProcessorAddsTheReferenceIds) {
  forEachCase([](const Tokenizer &tokenizer, const json &row) {
    if (row.contains("text"))
      expectIds(tokenizer, row, "ids_with_special", AddSpecial::PostProcessor);
  });
}

TEST(TokenizerGolden, TheFlagsOfTheConfigAddTheReferenceIds) {
  forEachCase([](const Tokenizer &tokenizer, const json &row) {
    if (row.contains("text"))
      expectIds(tokenizer, row, "ids_with_flags", AddSpecial::Flags);
  });
}

TEST(TokenizerGolden, IdsBecomeTheReferenceTexts) {
  forEachCase([](const Tokenizer &tokenizer, const json &row) {
    std::vector<int32_t> ids = row["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, /*skipSpecial=*/true),
              row["decoded_skip_special"].get<std::string>());
  });
}

/// Added tokens that stand in a text keep their ids; what lies between them is made of other
/// tokens.
TEST(TokenizerGolden, AddedTokensAreFoundByTheirText) {
  for (const std::string &directory : goldenDirectories()) {
    SCOPED_TRACE(directory);
    GoldenTokenizer golden = load(directory);
    Result<Tokenizer> tokenizer = Tokenizer::open(golden.tables);
    ASSERT_TRUE(tokenizer.ok());
    Result<std::string> text = readFile(directory + "/tokenizer.json", 1 << 20);
    ASSERT_TRUE(text.ok());
    json file = json::parse(*text, nullptr, false);
    for (const json &token : file["added_tokens"]) {
      std::string content = token["content"].get<std::string>();
      int32_t id = token["id"].get<int32_t>();
      EXPECT_EQ(tokenizer->addedToken(content), id);
      EXPECT_EQ(tokenizer->tokenText(id), content);
      EXPECT_EQ(tokenizer->isControl(id), token["special"].get<bool>());
      Result<std::vector<int32_t>> ids = tokenizer->encode("x" + content + "x", AddSpecial::None);
      ASSERT_TRUE(ids.ok());
      EXPECT_EQ(std::count(ids->begin(), ids->end(), id), 1) << content;
    }
  }
}

/// What a stream gives, piece after piece, is what decode gives at once, and each piece is whole
/// UTF-8.
TEST(TokenizerGolden, StreamsGiveTheSameTextInPieces) {
  forEachCase([](const Tokenizer &tokenizer, const json &row) {
    TextStream stream(tokenizer, /*skipSpecial=*/false);
    std::string text;
    for (int32_t id : row["ids"].get<std::vector<int32_t>>()) {
      std::string piece = stream.push(id);
      EXPECT_TRUE(utf8::isValid(piece));
      text += piece;
    }
    text += stream.finish();
    EXPECT_EQ(text, row["decoded"].get<std::string>());
  });
}

TEST(TokenizerGolden, TheSameFilesGiveTheSameBytes) {
  for (const std::string &directory : goldenDirectories())
    EXPECT_EQ(load(directory).tables, load(directory).tables) << directory;
}
