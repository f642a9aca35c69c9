// Each page of a matrix has a node: that whose threads read its panels.

#include "runtime/core/WeightPlacement.h"

#include "runtime/core/File.h"
#include "runtime/cpu/NodeMemory.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

NodeUse twoNodes(NumaPolicy policy, std::vector<int64_t> threads = {1, 1}) {
  NodeUse use;
  use.policy = policy;
  use.nodes = {{0, {0}}, {0, {1}}};
  if (policy == NumaPolicy::Split)
    use.split = {use.nodes, std::move(threads)};
  return use;
}

struct Part {
  int64_t begin, end;
  size_t node;
  bool operator==(const Part &) const = default;
};

std::vector<Part> partsOf(const PanelMatrix &matrix, const NodeUse &use) {
  std::vector<Part> parts;
  forEachPart(matrix, use, [&](const uint8_t *begin, const uint8_t *end, size_t node) {
    parts.push_back({begin - matrix.base, end - matrix.base, node});
  });
  return parts;
}

const uint8_t *at(uint64_t address) {
  return reinterpret_cast<const uint8_t *>(address); // NOLINT(performance-no-int-to-ptr)
}

TEST(WeightPlacement, PanelsGoWhereTheirTilesAre) {
  // Seven panels, the last of them narrower: of as many tiles the first node has three.
  PanelMatrix matrix{at(1 << 30), 6500, 1000};
  EXPECT_EQ(partsOf(matrix, twoNodes(NumaPolicy::Split)),
            (std::vector<Part>{{0, 3000, 0}, {3000, 6500, 1}}));
  EXPECT_EQ(partsOf(matrix, twoNodes(NumaPolicy::Split, {3, 1})),
            (std::vector<Part>{{0, 5000, 0}, {5000, 6500, 1}}));
  Team team(4, {3, 1});
  for (int64_t thread = 0; thread < 4; ++thread)
    team.join(thread, 1, 0);
  int64_t end = 0;
  EXPECT_EQ(team.claim(3, 7, 7, end), 5);
  // A matrix of one panel is one node's.
  EXPECT_EQ(partsOf({at(1 << 30), 700, 1000}, twoNodes(NumaPolicy::Split)),
            (std::vector<Part>{{0, 0, 0}, {0, 700, 1}}));
}

TEST(WeightPlacement, LargePagesByTurns) {
  constexpr int64_t large = 2 << 20;
  // By their place among the weights: the address differs from run to run.
  PanelMatrix matrix{at((INT64_C(9) << 20) + 64), 5 << 20, 1000, (INT64_C(8) << 20) + 4096};
  EXPECT_EQ(partsOf(matrix, twoNodes(NumaPolicy::Interleave)),
            (std::vector<Part>{{0, large - 4096, 0},
                               {large - 4096, 2 * large - 4096, 1},
                               {2 * large - 4096, 5 << 20, 0}}));
}

TEST(WeightPlacement, ReadsEachPageOnce) {
  ScratchFolder folder;
  constexpr int64_t page = 4096;
  if (sysconf(_SC_PAGESIZE) != page)
    GTEST_SKIP() << "counts pages of 4 KiB";
  folder.write("weights", std::string(40 * page, 'x'));
  Result<File> file = File::open(folder.path("weights"), Code::Mismatch);
  ASSERT_TRUE(file.ok());
  Result<MappedFile> mapped = MappedFile::map(*file);
  ASSERT_TRUE(mapped.ok());
  // Neighbours, so that each page but the first begins in one of them.
  std::vector<PanelMatrix> matrices;
  for (int64_t begin = 64; begin < 40 * page; begin += 9000)
    matrices.push_back({mapped->data() + begin, std::min<int64_t>(9000, 40 * page - begin), 700});
  for (NumaPolicy policy : {NumaPolicy::Split, NumaPolicy::Interleave}) {
    NodeUse use = twoNodes(policy, {2, 1}); // both of which are node 0, which each machine has
    Result<std::unique_ptr<Threads>> threads = Threads::start(3, use.split);
    ASSERT_TRUE(threads.ok());
    WeightPlacement placement = placeWeights(matrices, use, **threads);
    if (!placement.error)
      EXPECT_EQ(placement.placedBytes, 39 * page);
    EXPECT_EQ(placement.strayBytes, 0);
  }
}

TEST(WeightPlacement, MatricesOfThePackedForm) {
  class Packed final : public Weights {
  public:
    const uint8_t *packed() const override { return at(1 << 20); }
    std::vector<std::string> files() const override { return {}; }
    uint64_t bytes() const override { return 0; }
    Status verify(const std::function<void(double)> &) const override { return {}; }
  };
  Manifest manifest;
  manifest.weights.panels = {
      {.offset = 64, .matrices = 2, .matrixBytes = 1024, .panelBytes = 768},
      {.offset = 4096, .matrices = 1, .matrixBytes = 100, .panelBytes = 100}};
  std::vector<PanelMatrix> matrices = panelMatrices(manifest, Packed());
  ASSERT_EQ(matrices.size(), 3u);
  EXPECT_EQ(matrices[1].base, at((1 << 20) + 64 + 1024));
  EXPECT_EQ(matrices[1].panels(), 2);
  EXPECT_EQ(matrices[2].base, at((1 << 20) + 4096));
}

TEST(WeightPlacement, MatricesWhereTheyWereStored) {
  class Mapped final : public Weights {
  public:
    const uint8_t *const *pieces() const override { return table; }
    std::vector<std::string> files() const override { return {}; }
    uint64_t bytes() const override { return 0; }
    Status verify(const std::function<void(double)> &) const override { return {}; }
    const uint8_t *table[6] = {at(100), at(200), at(300), at(400), at(500), at(600)};
  };
  Manifest manifest;
  manifest.weights.pieces = {
      {.name = "norm", .pattern = "n", .stored = "F32", .shape = {40}},
      {.name = "up",
       .pattern = "{l}{e}",
       .layers = {0, 2},
       .matricesPerLayer = 2,
       .stored = "BF16",
       .shape = {100, 40},
       .isMultiplied = true},
      {.name = "embedding", .pattern = "e", .stored = "BF16", .shape = {100, 40}}};
  std::vector<PanelMatrix> matrices = panelMatrices(manifest, Mapped());
  ASSERT_EQ(matrices.size(), 4u); // without the vector and the table
  EXPECT_EQ(matrices[3].base, at(500));
  EXPECT_EQ(matrices[3].bytes, 100 * 40 * 2);
  EXPECT_EQ(matrices[3].panels(), 3);
  EXPECT_EQ(matrices[3].before, 3 * 100 * 40 * 2);
}

} // namespace
