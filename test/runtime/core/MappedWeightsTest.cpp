// Pieces of the manifest become addresses; files that are not those of the compile are refused.

#include "runtime/core/MappedWeights.h"
#include "runtime/core/Digest.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;
namespace fs = std::filesystem;

/// Two files of tensors whose every byte is their number.
struct Mapped : ScratchFolder {
  std::vector<ManifestSource> sources;
  std::vector<ManifestPiece> pieces;

  Mapped() {
    auto tensor = [](std::string name, DataType type, std::vector<int64_t> shape, uint8_t fill) {
      size_t bytes = static_cast<size_t>(dataTypeBits(type) / 8);
      for (int64_t size : shape)
        bytes *= static_cast<size_t>(size);
      return TestTensor{std::move(name), type, std::move(shape), std::vector<uint8_t>(bytes, fill)};
    };
    writeTensors(path("a.safetensors"), {tensor("l.0.e.0", DataType::BF16, {2, 4}, 1),
                                         tensor("l.0.e.1", DataType::BF16, {2, 4}, 2),
                                         tensor("l.2.e.0", DataType::BF16, {2, 4}, 3)});
    TestTensor fused = tensor("fused", DataType::F32, {2, 6, 1}, 0);
    for (size_t row = 0; row < 12; ++row)
      std::fill_n(fused.bytes.begin() + static_cast<ptrdiff_t>(4 * row), 4,
                  static_cast<uint8_t>(100 + row));
    writeTensors(path("b.safetensors"), {tensor("l.2.e.1", DataType::BF16, {2, 4}, 4), fused,
                                         tensor("norm", DataType::F32, {4}, 5)});
    pieces = {{.name = "experts",
               .pattern = "l.{l}.e.{e}",
               .layers = {0, 2},
               .matricesPerLayer = 2,
               .stored = "BF16",
               .shape = {2, 4}},
              {.name = "norm", .pattern = "norm", .stored = "F32", .shape = {4}},
              {.name = "up",
               .pattern = "fused",
               .matricesPerLayer = 2,
               .stored = "F32",
               .shape = {3, 1},
               .firstRow = 3,
               .rowsPerMatrix = 6}};
    record();
  }
  void record() {
    sources.clear();
    for (const char *name : {"a.safetensors", "b.safetensors"}) {
      Result<File> file = File::open(path(name));
      uint64_t start = SafetensorsHeader::read(*file)->dataStart();
      sources.push_back({name, file->size(), digestText(*sampleDigest(*file, start))});
    }
  }
  Result<MappedWeights> open(bool followLinks = false) const {
    return MappedWeights::open(pieces, sources, path(), followLinks);
  }
};

TEST(MappedWeights, PointsAtEveryPieceInOrder) {
  Mapped model;
  Result<MappedWeights> weights = model.open();
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  std::vector<int> first;
  for (const uint8_t *pointer : weights->pointers())
    first.push_back(*pointer);
  EXPECT_EQ(first, (std::vector<int>{1, 2, 3, 4, 5, 103, 109}));
  EXPECT_EQ(weights->paths().size(), 2u);
  EXPECT_EQ(weights->bytes(), model.sources[0].bytes + model.sources[1].bytes);
}

TEST(MappedWeights, RefusesFilesThatAreNotThoseOfTheCompile) {
  Mapped model;
  std::string bytes = model.read("a.safetensors");
  std::string changed = bytes;
  changed.back() ^= 1;
  model.write("a.safetensors", changed);
  EXPECT_FAILS(model.open(), Code::Mismatch,
               "a.safetensors: was changed after the program was compiled");
  model.write("a.safetensors", bytes.substr(0, 20));
  EXPECT_FAILS(model.open(), Code::Mismatch, "a.safetensors: holds 20 bytes");
  fs::remove(model.path("a.safetensors"));
  EXPECT_FAILS(model.open(), Code::Mismatch, "--model-dir");
  model.write("elsewhere/a", bytes);
  fs::create_symlink("/proc/self/exe", model.path("a.safetensors"));
  EXPECT_FAILS(model.open(), Code::Mismatch, "--follow-links");
  EXPECT_FAILS(MappedWeights::open(model.pieces, model.sources, model.path("none"), false),
               Code::Mismatch, "none");
}

TEST(MappedWeights, FollowsLinksByTheRuleOfTheCompile) {
  Mapped model;
  ScratchFolder elsewhere;
  fs::rename(model.path("a.safetensors"), elsewhere.path("a.safetensors"));
  fs::create_symlink(elsewhere.path("a.safetensors"), model.path("a.safetensors"));
  EXPECT_FAILS(model.open(), Code::Mismatch, "compiling with --follow-links permits that");
  EXPECT_TRUE(model.open(/*followLinks=*/true).ok());
}

TEST(MappedWeights, RefusesPiecesThatTheFilesDoNotHold) {
  auto open = [](auto change) {
    Mapped model;
    change(model);
    return model.open();
  };
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].pattern = "nrom"; }), Code::Mismatch,
               "tensor `nrom` is missing");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[0].matricesPerLayer = 3; }), Code::Mismatch,
               "tensor `l.0.e.2` is missing");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].stored = "F16"; }), Code::Mismatch,
               "tensor `norm` is F32");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].stored = "F4"; }), Code::Mismatch, "piece `norm`");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].shape = {}; }), Code::Mismatch, "piece `norm`");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].shape = {5}; }), Code::Mismatch,
               "wants 5 rows from row 0");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[1].firstRow = 1; }), Code::Mismatch, "from row 1 on");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[2].matricesPerLayer = 3; }), Code::Mismatch,
               "from row 15 on");
  EXPECT_FAILS(open([](Mapped &m) { m.pieces[2].rowsPerMatrix = INT64_MAX; }), Code::Mismatch,
               "wants 3 rows");
}

TEST(MappedWeights, RefusesElementsThatAreNotAligned) {
  Mapped model;
  writeTensors(model.path("a.safetensors"),
               {{"byte", DataType::I8, {1}, {0}}, {"x", DataType::F32, {1}, {1, 2, 3, 4}}});
  model.record();
  model.pieces = {{.name = "x", .pattern = "x", .stored = "F32", .shape = {1}}};
  EXPECT_FAILS(model.open(), Code::Unsupported, "compile with --weights=pack");
}
