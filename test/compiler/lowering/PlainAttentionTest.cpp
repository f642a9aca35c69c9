// The plain choice of the largest keys, and that NaNs among the scores overflow nothing.

#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/SortKey.h"
#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <limits>

using namespace moec;
using mlir::Value;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kMost = 3;

/// What is written for `scores`, of which three are chosen, into eight places of -1.
std::vector<int32_t> choose(const std::vector<float> &scores) {
  const KernelJit kernel(
      cpuTargets().front(), "pppi", [](KernelBuilder &kernel, mlir::ValueRange arguments) {
        kernel.loop(kernel.integer(0), arguments[3], 1, [&](Value at) {
          Value score = kernel.load(kernel.f32(), kernel.address(arguments[0], kernel.f32(), at));
          kernel.store(emitSortKey(kernel, score), kernel.address(arguments[1], kernel.i32(), at));
        });
        chooseLargestPlainly(kernel, arguments[1], arguments[3], kMost, arguments[2]);
      });
  std::vector<int32_t> keys(scores.size()), out(8, -1);
  kernel(scores, keys, out, static_cast<int64_t>(scores.size()));
  return out;
}

class PlainAttention : public testing::Test {
protected:
  void SetUp() override {
    if (!runsHere(cpuTargets().front()))
      GTEST_SKIP() << "nothing here runs level " << cpuTargets().front().level.str();
  }
};

TEST_F(PlainAttention, ChoosesTheLargestAndOfEqualOnesTheFirst) {
  EXPECT_EQ(choose({1, 5, 2, -0.0F, 2, 2}), (std::vector<int32_t>{3, 1, 2, 4, -1, -1, -1, -1}));
  EXPECT_EQ(choose({-1, 0.0F, -0.0F, 0, 0}), (std::vector<int32_t>{3, 1, 2, 3, -1, -1, -1, -1}));
}

TEST_F(PlainAttention, ChoosesAllOfAFew) {
  EXPECT_EQ(choose({4, 6}), (std::vector<int32_t>{2, 0, 1, -1, -1, -1, -1, -1}));
}

TEST_F(PlainAttention, ChoosesNoMoreWhereScoresAreNans) {
  EXPECT_EQ(choose({1, kNan, 3, 2, kNan}), (std::vector<int32_t>{3, 1, 2, 4, -1, -1, -1, -1}));
  EXPECT_EQ(choose({1, kNan, kNan, kNan, 9, kNan, kNan}),
            (std::vector<int32_t>{3, 1, 2, 3, -1, -1, -1, -1}));
}

} // namespace
