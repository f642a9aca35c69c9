// What of a model fits a GPU, and what the arena's function comes to.

#include "compiler/analysis/DeviceMemory.h"

#include "dialects/lm/LmDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace moec;

namespace {

mlir::OwningOpRef<mlir::ModuleOp> parse(const char *text) {
  static mlir::MLIRContext context;
  context.loadDialect<lm::LmDialect, mlir::func::FuncDialect, mlir::arith::ArithDialect>();
  return mlir::parseSourceString<mlir::ModuleOp>(text, &context);
}

using Layers = std::vector<int64_t>;

TEST(DeviceMemoryTest, AsManyLayersStayAsFit) {
  const std::vector<LayerExperts> equal = {{0, 100}, {1, 100}, {3, 100}, {4, 100}};
  EXPECT_EQ(layersWithoutRoom(equal, 400), Layers{});
  EXPECT_EQ(layersWithoutRoom(equal, 399), Layers{4});
  EXPECT_EQ(layersWithoutRoom(equal, 200), (Layers{3, 4}));
  EXPECT_EQ(layersWithoutRoom(equal, 99), (Layers{0, 1, 3, 4}));
  EXPECT_EQ(layersWithoutRoom(equal, -1), (Layers{0, 1, 3, 4}));
  EXPECT_EQ(layersWithoutRoom({}, -1), Layers{});
}

TEST(DeviceMemoryTest, SmallLayersStayFirst) {
  const std::vector<LayerExperts> layers = {{0, 300}, {1, 100}, {2, 200}, {3, 100}};
  EXPECT_EQ(layersWithoutRoom(layers, 699), Layers{0});
  EXPECT_EQ(layersWithoutRoom(layers, 399), (Layers{0, 2}));
  EXPECT_EQ(layersWithoutRoom(layers, 150), (Layers{0, 2, 3}));
}

TEST(DeviceMemoryTest, ExpertsAreAddedByLayerAndTheRestAlone) {
  mlir::OwningOpRef<mlir::ModuleOp> module = parse(R"(
    lm.weight @norm : !lm.weight<40xbf16> layers [0, 1, 2] from [#lm.piece<pattern = "n.{l}", rows = 40, stored = bf16>]
        packed <layout = rows, element = f32, offset = 0>
    lm.weight @up : !lm.weight<8x28x40xbf16> layers [1, 2] from [#lm.piece<pattern = "u.{l}.{e}", rows = 28, stored = bf16>]
        packed <layout = rows, element = bf16, offset = 0>
    lm.weight @bias : !lm.weight<8x28x1xbf16> vectors layers [2]
        from [#lm.piece<pattern = "b.{l}", rows = 28, rows_per_expert = 28, stored = bf16>]
        packed <layout = rows, element = f32, offset = 0>
    lm.weight @heads : !lm.weight<4x20x12xbf16> heads layers [0]
        from [#lm.piece<pattern = "h.{l}", rows = 20, rows_per_expert = 20, stored = bf16>]
        packed <layout = rows, element = bf16, offset = 0>
    module @host {
      lm.weight @down : !lm.weight<8x40x28xbf16> layers [0] from [#lm.piece<pattern = "d.{l}.{e}", rows = 40, stored = bf16>]
          packed <layout = panels, element = bf16, offset = 0>
    })");
  ASSERT_TRUE(module);
  DeviceNeeds needs = weightNeeds(*module);
  const int64_t up = 8 * 28 * 40 * 2;
  EXPECT_EQ(needs.experts, (std::vector<LayerExperts>{{1, up}, {2, up + 8 * 28 * 4}}));
  EXPECT_EQ(needs.otherWeights, 3 * 40 * 4 + 4 * 20 * 12 * 2);
  needs.cache = 1000;
  needs.arena = 50;
  EXPECT_EQ(needs.rest(), needs.otherWeights + 1050);
  EXPECT_EQ(needs.total(), needs.otherWeights + 1050 + 2 * up + 8 * 28 * 4);
}

TEST(DeviceMemoryTest, TheArenaIsWhatItsFunctionSays) {
  mlir::OwningOpRef<mlir::ModuleOp> module = parse(R"(
    func.func @moec_program_arena_bytes(%arg0: i64, %arg1: i64, %arg2: i64, %arg3: i64) -> i64 {
      %0 = arith.index_cast %arg0 : i64 to index
      %1 = arith.index_cast %arg2 : i64 to index
      %c128 = arith.constant 128 : index
      %c8 = arith.constant 8 : index
      %2 = arith.muli %c8, %0 : index
      %3 = arith.maxui %2, %1 : index
      %4 = arith.minui %3, %2 : index
      %5 = arith.ceildivui %4, %c128 : index
      %6 = arith.muli %5, %c128 : index
      %7 = arith.divui %0, %c8 : index
      %8 = arith.addi %6, %7 : index
      %9 = arith.index_cast %8 : index to i64
      return %9 : i64
    })");
  ASSERT_TRUE(module);
  EXPECT_EQ(arenaBytes(*module, /*tokens=*/100, /*sequences=*/1, /*outputs=*/1), 896 + 12);
  EXPECT_EQ(arenaBytes(*module, 1, 1, 1), 128);
  EXPECT_EQ(arenaBytes(*parse("module {}"), 1, 1, 1), std::nullopt);
}

} // namespace
