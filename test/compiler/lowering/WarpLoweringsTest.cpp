// What is lowered for the warps of a GPU, run with the lanes of a CPU: their number and what they
// are is the builder's.

#include "compiler/analysis/WarpTiles.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/SortKey.h"
#include "compiler/targets/cuda/MmaAttention.h"
#include "runtime/core/PackedLayout.h"
#include "runtime/core/Step.h"
#include "test/compiler/lowering/MemRefOf.h"
#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class WarpLowerings : public testing::Test {
protected:
  void SetUp() override {
    if (!runsHere(cpuTargets().front()))
      GTEST_SKIP() << "nothing here runs level " << cpuTargets().front().level.str();
  }
};

/// Whole numbers, so that sums are exact in any order.
std::vector<float> numbers(std::mt19937 &random, int64_t count) {
  std::uniform_int_distribution<int> small(-4, 4);
  std::vector<float> values(count);
  for (float &value : values)
    value = static_cast<float>(small(random));
  return values;
}

/// The largest of `logits` from `first` on, by emitLargest().
std::vector<moec_largest> largest(const std::vector<float> &logits, int64_t first, int64_t count) {
  const KernelJit kernel(
      cpuTargets().front(), "ppii", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
        emitLargest(kernel, arguments[0], arguments[2], arguments[3], count, arguments[1]);
      });
  std::vector<moec_largest> out(count);
  kernel(logits, out, first, static_cast<int64_t>(logits.size()));
  return out;
}

// Of what is no number, and of infinity, the first is the largest; zeros are equal; columns that
// are not there are -1.
TEST_F(WarpLowerings, RecordTheLargestInOrder) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  auto idsOf = [](const std::vector<float> &logits, int64_t first, int64_t count) {
    std::vector<int32_t> ids;
    for (const moec_largest &entry : largest(logits, first, count)) {
      ids.push_back(entry.id);
      if (entry.id >= 0)
        EXPECT_TRUE(logits[entry.id] == entry.logit || std::isnan(entry.logit)) << entry.id;
    }
    return ids;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(idsOf({9, 9, 1, 5, 2, 5}, 2, 3), (Ids{3, 5, 4}));
  EXPECT_EQ(idsOf({-1, -0.0F, 0, -0.0F}, 0, 4), (Ids{1, 2, 3, 0}));
  EXPECT_EQ(idsOf({3, kInfinity, kNan, kInfinity, -kInfinity}, 0, 5), (Ids{1, 2, 3, 0, 4}));
  EXPECT_EQ(idsOf({4, -kInfinity}, 0, 3), (Ids{0, 1, -1}));
  std::mt19937 random(3);
  for (int64_t size : {17, 512}) { // more than the lanes, with many that are equal
    const std::vector<float> logits = numbers(random, size);
    Ids wanted(size);
    std::iota(wanted.begin(), wanted.end(), 0);
    std::sort(wanted.begin(), wanted.end(), [&](int32_t a, int32_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    wanted.resize(9);
    EXPECT_EQ(idsOf(logits, 0, 9), wanted);
  }
}

/// How long the pieces of a row are at each of `positions`.
std::vector<int64_t> pieceLengths(const MmaAttentionShape &shape, std::vector<int64_t> positions) {
  const KernelJit kernel(
      cpuTargets().front(), "pi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
        kernel.loop(kernel.integer(0), arguments[1], 1, [&](Value at) {
          Value entry = kernel.address(arguments[0], kernel.i64(), at);
          kernel.store(emitPieceLength(kernel, shape, kernel.load(kernel.i64(), entry)), entry);
        });
      });
  kernel(positions, static_cast<int64_t>(positions.size()));
  return positions;
}

TEST_F(WarpLowerings, PiecesOfARowAreNoMoreThanSixtyFour) {
  // Those of a row at the last position of so many whole pieces, and of the next row.
  EXPECT_EQ(pieceLengths({.piece = 64}, {0, 64 * 64 - 1, 64 * 64, 64 * 128 - 1, 64 * 128}),
            (std::vector<int64_t>{64, 64, 128, 128, 256}));
  EXPECT_EQ(AttentionPieces(64, 0, 0, 1000).most, 16);
  EXPECT_EQ(AttentionPieces(64, 0, 0, 1 << 20).most, 64);
}

TEST_F(WarpLowerings, PiecesOfAWindowAreAlikeAtAllPositions) {
  EXPECT_EQ(pieceLengths({.window = 128, .piece = 64}, {0, 1 << 20}),
            (std::vector<int64_t>{64, 64}));
  // 128 positions that begin inside a piece are in three.
  EXPECT_EQ(AttentionPieces(64, 128, 0, 1 << 20).most, 3);
  // 64 pieces of 64 hold all that begins with one, but not all else.
  EXPECT_EQ(pieceLengths({.chunk = 64 * 64, .piece = 64}, {0, 1 << 20}),
            (std::vector<int64_t>{128, 128}));
}

struct HeadCase {
  int64_t rows, heads, width, depth;
};

// Widths that no tile of columns divides, and depths that no vector does.
TEST_F(WarpLowerings, MultiplyEachHeadWithItsOwnMatrix) {
  for (const HeadCase &c :
       {HeadCase{5, 3, 20, 12}, HeadCase{3, 2, 102, 7}, HeadCase{1, 4, 3, 33}}) {
    const KernelJit kernel(
        cpuTargets().front(), "pppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
          Value input = memrefOf(kernel, arguments[0], kernel.f32(), {c.rows, c.heads * c.depth}),
                weight = memrefOf(kernel, arguments[1], kernel.f32(), {c.heads, c.width, c.depth}),
                out = memrefOf(kernel, arguments[2], kernel.f32(), {c.rows, c.heads * c.width});
          kernel.loop(kernel.integer(0), arguments[3], 1, [&](Value index) {
            auto op = lm::HeadLinearOp::create(kernel.builder, kernel.loc, mlir::TypeRange(), input,
                                               weight, out);
            lowerHeadLinearByWarp(kernel, op, {index, 1});
            op.erase();
          });
        });
    std::mt19937 random(c.width * 31 + c.depth);
    const std::vector<float> input = numbers(random, c.rows * c.heads * c.depth),
                             weight = numbers(random, c.heads * c.width * c.depth);
    std::vector<float> out(c.rows * c.heads * c.width, -1), expected(out.size());
    for (int64_t row = 0; row < c.rows; ++row)
      for (int64_t i = 0; i < c.heads * c.width; ++i)
        for (int64_t k = 0; k < c.depth; ++k)
          expected[row * c.heads * c.width + i] +=
              input[(row * c.heads + i / c.width) * c.depth + k] * weight[i * c.depth + k];
    kernel(input, weight, out, c.rows * c.heads * warpPanels(c.width));
    EXPECT_EQ(out, expected) << c.heads << " heads of " << c.width << " x " << c.depth;
  }
}

} // namespace
