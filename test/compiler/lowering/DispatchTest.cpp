// The plan of the experts' rows, also of picks that are no experts.

#include "compiler/lowering/Lowerings.h"
#include "test/compiler/lowering/MemRefOf.h"
#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <limits>

using namespace moec;
using mlir::Value;

namespace {

constexpr int64_t kTokens = 3, kPicked = 2, kExperts = 4, kTileRows = 2;

struct Plan {
  std::vector<int32_t> rows = std::vector<int32_t>(kTokens * kPicked, -1), inverse = rows,
                       offsets = std::vector<int32_t>(kExperts + 1, -1),
                       tiles = std::vector<int32_t>(3 * (1 + kExperts + 3), -1);

  bool operator==(const Plan &) const = default;
};

/// The plan for the picks of three tokens, two of four experts each.
Plan dispatch(const std::vector<int32_t> &picks) {
  const KernelJit kernel(
      cpuTargets().front(), "ppppp", [](KernelBuilder &kernel, mlir::ValueRange arguments) {
        auto ids = [&](int64_t number, llvm::ArrayRef<int64_t> shape) {
          return memrefOf(kernel, arguments[number], kernel.i32(), shape);
        };
        auto op = moe::DispatchOp::create(kernel.builder, kernel.loc, mlir::TypeRange(),
                                          kernel.builder.getI64IntegerAttr(kTileRows),
                                          ids(0, {kTokens, kPicked}), ids(1, {kTokens * kPicked}),
                                          ids(2, {kTokens * kPicked}), ids(3, {kExperts + 1}),
                                          ids(4, {1 + kExperts + 3, 3}));
        lowerDispatch(kernel, op, {kernel.integer(0), 0});
        op.erase();
      });
  Plan plan;
  kernel(picks, plan.rows, plan.inverse, plan.offsets, plan.tiles);
  return plan;
}

class Dispatch : public testing::Test {
protected:
  void SetUp() override {
    if (!runsHere(cpuTargets().front()))
      GTEST_SKIP() << "nothing here runs level " << cpuTargets().front().level.str();
  }
};

TEST_F(Dispatch, SortsPicksByExpertAndCutsThemIntoTiles) {
  const Plan plan = dispatch({2, 0, 2, 3, 0, 2});
  EXPECT_EQ(plan.rows, (std::vector<int32_t>{0, 2, 0, 1, 2, 1}));
  EXPECT_EQ(plan.inverse, (std::vector<int32_t>{2, 0, 3, 5, 1, 4}));
  EXPECT_EQ(plan.offsets, (std::vector<int32_t>{0, 2, 2, 5, 6}));
  EXPECT_EQ(std::vector<int32_t>(plan.tiles.begin(), plan.tiles.begin() + 15),
            (std::vector<int32_t>{4, 0, 0, 0, 0, 2, 2, 2, 2, 2, 4, 1, 3, 5, 1}));
  EXPECT_EQ(plan.tiles[15], -1);
}

// Tiles say what weights are read.
TEST_F(Dispatch, NoTileIsOfAnExpertThatThereIsNot) {
  constexpr int32_t most = std::numeric_limits<int32_t>::max(),
                    least = std::numeric_limits<int32_t>::min();
  EXPECT_TRUE(dispatch({4, 1, -1, most, 2, least}) == dispatch({3, 1, 0, 3, 2, 0}));
}

} // namespace
