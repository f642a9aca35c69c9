// Packed files are opened only whole, undamaged, and by the program that they were made for.

#include "runtime/core/PackedFile.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

/// A packed file of two chunks.
struct Sample : ScratchFolder {
  PackedHeader header;
  std::string bytes;

  Sample() {
    std::string blob(256, 'b');
    std::vector<PackedChunk> chunks;
    for (auto [begin, size] : {std::pair<size_t, size_t>{0, 192}, {192, 64}}) {
      Hasher hasher;
      hasher.add(std::string_view(blob).substr(begin, size));
      chunks.push_back({size, hasher.finish()});
    }
    std::vector<uint8_t> table = packedChunkTable(chunks);
    header.blobBytes = blob.size();
    header.chunks = chunks.size();
    header.plan.fill(1);
    header.sources.fill(2);
    Hasher hasher;
    hasher.add(table);
    header.table = hasher.finish();
    auto page = header.bytes();
    bytes.assign(page.begin(), page.end());
    bytes += blob;
    bytes.append(table.begin(), table.end());
  }
  std::string digest() const { return packedWeightsDigest(header.plan, header.sources); }
  Result<PackedFile> open(const std::string &contents) const {
    return PackedFile::open(write("w", contents), digest(), header.blobBytes);
  }
};

TEST(PackedFile, OpensAndVerifies) {
  Sample sample;
  ASSERT_EQ(sample.bytes.size(), sample.header.fileBytes());
  Result<PackedFile> file = sample.open(sample.bytes);
  ASSERT_TRUE(file.ok()) << file.status().message;
  EXPECT_EQ(file->data()[0], 'b');
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->data()) % 4096, 0u);
  EXPECT_TRUE(file->verify({}).ok());
}

TEST(PackedFile, RefusesFilesThatAreNot) {
  Sample sample;
  EXPECT_FAILS(sample.open(""), Code::Mismatch, "holds 0 bytes, too few");
  EXPECT_FAILS(sample.open(sample.bytes.substr(0, 4095)), Code::Mismatch, "too few");
  EXPECT_FAILS(sample.open(std::string(5000, 'x')), Code::Mismatch,
               "is not a file of packed weights");
  EXPECT_FAILS(sample.open(sample.bytes.substr(0, sample.bytes.size() - 1)), Code::Mismatch,
               "holds 4431 bytes, wanted 4432");
  EXPECT_FAILS(sample.open(sample.bytes + "x"), Code::Mismatch, "holds 4433 bytes, wanted 4432");
  EXPECT_FAILS(sample.open(sample.bytes.substr(0, 4096)), Code::Mismatch, "wanted 4432");
  for (size_t place : {16, 24, 31, 32, 64, 96, 128}) {
    std::string damaged = sample.bytes;
    damaged[place] ^= 0x40;
    EXPECT_FAILS(sample.open(damaged), Code::Mismatch, "damaged header");
  }
  std::string future = sample.bytes;
  future[8] = 2;
  EXPECT_FAILS(sample.open(future), Code::Mismatch, "has format 2, wanted 1");
  EXPECT_FAILS(PackedFile::open(sample.path("none"), sample.digest(), 256), Code::Mismatch,
               "none: cannot be opened");
  EXPECT_FAILS(PackedFile::open(sample.path(), sample.digest(), 256), Code::Mismatch, "directory");
}

TEST(PackedFile, RefusesAnotherProgramsWeights) {
  Sample sample;
  sample.write("w", sample.bytes);
  Digest other = sample.header.sources;
  other[0] ^= 1;
  std::string path = sample.path("w");
  EXPECT_FAILS(PackedFile::open(path, packedWeightsDigest(sample.header.plan, other), 256),
               Code::Mismatch, "holds the weights of another program");
  EXPECT_FAILS(PackedFile::open(path, "", 256), Code::Mismatch, "another program");
  EXPECT_FAILS(PackedFile::open(path, sample.digest(), 192), Code::Mismatch, "another program");
}

TEST(PackedFile, VerifyFindsAnyChangedByte) {
  Sample sample;
  for (size_t place : {4096, 4096 + 191, 4096 + 255}) {
    std::string damaged = sample.bytes;
    damaged[place] ^= 1;
    EXPECT_FAILS(sample.open(damaged)->verify({}), Code::Mismatch,
                 "are not those that were packed");
  }
  std::string damaged = sample.bytes;
  damaged[4096 + 256] ^= 1;
  EXPECT_FAILS(sample.open(damaged)->verify({}), Code::Mismatch, "table of digests is damaged");
}

TEST(PackedFile, MayBePartOfAProgram) {
  Sample sample;
  std::vector<uint8_t> bytes(sample.bytes.begin(), sample.bytes.end());
  auto open = [&] { return PackedFile::embedded(bytes, "prog", sample.digest(), 256); };
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(open()->data(), bytes.data() + 4096);
  EXPECT_TRUE(open()->verify({}).ok());
  bytes[4096 + 200] ^= 1;
  EXPECT_FAILS(open()->verify({}), Code::Mismatch,
               "prog: bytes 192 to 256 of the weights are not those that were packed");
  bytes.pop_back();
  EXPECT_FAILS(open(), Code::Mismatch, "prog: holds 4431 bytes, wanted 4432; compile the model");
}

TEST(PackedFile, SourceDigestsDependOnNameOrderAndDigest) {
  Digest a = {}, b = {};
  b[0] = 1;
  std::vector<SourceDigest> sources = {{"x", 1, a}, {"y", 1, b}};
  Digest digest = packSourcesDigest(sources);
  EXPECT_EQ(packSourcesDigest(sources), digest);
  EXPECT_NE(packSourcesDigest({{"x", 1, b}, {"y", 1, a}}), digest);
  EXPECT_NE(packSourcesDigest({{"z", 1, a}, {"y", 1, b}}), digest);
  EXPECT_NE(packSourcesDigest({{"y", 1, b}, {"x", 1, a}}), digest);
}
