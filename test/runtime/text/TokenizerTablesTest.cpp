// Tables that are damaged are refused, or give wrong answers: they never make a call read outside
// them.

#include "runtime/text/TokenizerTables.h"
#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

using namespace moec;
using namespace moec::tokenizer;

static std::vector<uint8_t> goodTables() {
  Result<std::optional<std::vector<uint8_t>>> tables =
      compileTokenizerIn(MOEC_TEST_DIR "/golden/deepseek_v3", "");
  EXPECT_TRUE(tables.ok() && *tables);
  return tables.ok() && *tables ? **tables : std::vector<uint8_t>();
}

static Code openedCode(const std::vector<uint8_t> &tables) {
  Result<Tokenizer> tokenizer = Tokenizer::open(tables);
  return tokenizer.ok() ? Code::Ok : tokenizer.status().code;
}

TEST(TokenizerTables, OfAnotherKindOrVersionAreRefused) {
  std::vector<uint8_t> tables = goodTables();
  ASSERT_GT(tables.size(), sizeof(Header));
  EXPECT_EQ(openedCode(tables), Code::Ok);
  EXPECT_EQ(openedCode({}), Code::Mismatch);
  std::vector<uint8_t> other = tables;
  other[0] = 'x';
  EXPECT_EQ(openedCode(other), Code::Mismatch);
  other = tables;
  ++reinterpret_cast<Header *>(other.data())->version;
  EXPECT_EQ(openedCode(other), Code::Mismatch);
}

TEST(TokenizerTables, CutShortAreRefused) {
  std::vector<uint8_t> tables = goodTables();
  for (size_t size : {size_t{8}, sizeof(Header) - 1, sizeof(Header), tables.size() - 8}) {
    std::vector<uint8_t> cut(tables.begin(), tables.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(openedCode(cut), Code::Mismatch) << size;
  }
}

TEST(TokenizerTables, SectionsMustLieInside) {
  std::vector<uint8_t> tables = goodTables();
  for (size_t section = 0; section < numSections; ++section)
    for (uint64_t value : {uint64_t{1} << 62, ~uint64_t{0}, uint64_t{tables.size()} + 8}) {
      std::vector<uint8_t> moved = tables, grown = tables;
      reinterpret_cast<Header *>(moved.data())->sections[section].offset = value;
      reinterpret_cast<Header *>(grown.data())->sections[section].count = value;
      EXPECT_EQ(openedCode(moved), Code::Mismatch) << section;
      EXPECT_EQ(openedCode(grown), Code::Mismatch) << section;
    }
}

TEST(TokenizerTables, IdsOfTheHeaderMustExist) {
  std::vector<uint8_t> tables = goodTables();
  Header *header = reinterpret_cast<Header *>(tables.data());
  header->bos = static_cast<int32_t>(header->ids);
  EXPECT_EQ(openedCode(tables), Code::Mismatch);
}

TEST(TokenizerTables, FlippedBytesNeverCrash) {
  std::vector<uint8_t> tables = goodTables();
  std::mt19937 random(7);
  std::vector<int32_t> ids;
  for (int32_t id = -2; id < 400; ++id)
    ids.push_back(id);
  for (int round = 0; round < 400; ++round) {
    std::vector<uint8_t> damaged = tables;
    for (int i = 0; i < 8; ++i)
      damaged[sizeof(Header) + random() % (damaged.size() - sizeof(Header))] =
          static_cast<uint8_t>(random());
    Result<Tokenizer> tokenizer = Tokenizer::open(damaged);
    if (!tokenizer.ok())
      continue;
    Result<std::vector<int32_t>> encoded =
        tokenizer->encode("Hello <｜User｜> 123 専 \n zzz", AddSpecial::PostProcessor);
    if (encoded.ok())
      for (int32_t id : *encoded)
        EXPECT_TRUE(id >= 0 && static_cast<uint32_t>(id) < tokenizer->numIds());
    (void)tokenizer->decode(ids);
  }
}

TEST(TokenizerTables, HoldNoPointers) {
  std::vector<uint8_t> tables = goodTables(), elsewhere = tables;
  Result<Tokenizer> tokenizer = Tokenizer::open(elsewhere);
  ASSERT_TRUE(tokenizer.ok());
  Result<std::vector<int32_t>> before = tokenizer->encode("some text");
  std::vector<uint8_t> moved(tables.size() + 8);
  std::memcpy(moved.data() + 8, tables.data(), tables.size());
  Result<Tokenizer> second = Tokenizer::open(std::span(moved).subspan(8));
  ASSERT_TRUE(second.ok() && before.ok());
  EXPECT_EQ(*second->encode("some text"), *before);
}
