// SHA-256 against published values, and which changes of a file its sampled digest sees.

#include "runtime/core/Digest.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

static std::string sha256(HashCode code, std::string_view text, size_t piece = SIZE_MAX) {
  Hasher hasher(code);
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size())))
    hasher.add(text.substr(0, piece));
  return digestText(hasher.finish());
}

TEST(Digest, HasThePublishedValues) {
  for (HashCode code : {HashCode::Fastest, HashCode::Portable}) {
    EXPECT_EQ(sha256(code, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256(code, "abc"),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256(code, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    std::string million(1'000'000, 'a');
    EXPECT_EQ(sha256(code, million),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    for (size_t piece : {1, 63, 64, 65, 1000})
      EXPECT_EQ(sha256(code, std::string_view(million).substr(0, 5000), piece),
                sha256(code, std::string_view(million).substr(0, 5000)));
  }
}

TEST(Digest, TextRoundTrips) {
  Hasher hasher;
  Digest digest = hasher.finish();
  EXPECT_EQ(parseDigest(digestText(digest)), digest);
  EXPECT_EQ(parseDigest("abc"), std::nullopt);
  EXPECT_EQ(parseDigest(std::string(64, 'g')), std::nullopt);
}

TEST(Digest, FieldsDoNotRunIntoEachOther) {
  Hasher a, b;
  a.addField("ab");
  a.addField("c");
  b.addField("a");
  b.addField("bc");
  EXPECT_NE(a.finish(), b.finish());
}

static Digest sample(const ScratchFolder &folder, const std::string &bytes) {
  Result<File> file = File::open(folder.write("f", bytes));
  Result<Digest> digest = sampleDigest(*file, 10);
  EXPECT_TRUE(digest.ok());
  return *digest;
}

TEST(Digest, EveryByteOfASmallFileCounts) {
  ScratchFolder folder;
  std::string bytes(1 << 20, 'x');
  Digest before = sample(folder, bytes);
  EXPECT_EQ(sample(folder, bytes), before);
  for (size_t place : {0, 9, 10, 500'000, (1 << 20) - 1}) {
    std::string changed = bytes;
    changed[place] ^= 1;
    EXPECT_NE(sample(folder, changed), before) << place;
  }
  EXPECT_NE(sample(folder, bytes + "x"), before);
}

TEST(Digest, HeaderSizeEndsAndSpreadBlocksOfALargeFileCount) {
  ScratchFolder folder;
  std::string bytes(5 << 20, 'x');
  Digest before = sample(folder, bytes);
  size_t stride = ((5 << 20) - 10 - (64 << 10)) / 15;
  for (size_t place : {size_t(0), size_t(9), size_t(10), 10 + stride, 10 + 7 * stride + 65'535,
                       size_t(5 << 20) - 1}) {
    std::string changed = bytes;
    changed[place] ^= 1;
    EXPECT_NE(sample(folder, changed), before) << place;
  }
  EXPECT_NE(sample(folder, bytes + "x"), before);
}

TEST(Digest, TakesFilesThatEndInTheirHeader) {
  ScratchFolder folder;
  EXPECT_NE(sample(folder, "short"), sample(folder, "shorT"));
  EXPECT_NE(sample(folder, ""), sample(folder, "x"));
}
