// What a small step costs, worked out by hand.

#include "compiler/analysis/StepCost.h"

#include "dialects/lm/LmDialect.h"
#include "dialects/moe/MoeDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace moec;

namespace {

/// Three layers, of which the last has experts (which a walk visits first): 8, of which each row
/// picks 2. A product of fewer than 9 rows is another phase than that of more.
constexpr const char *kStep = R"(
lm.weight @embedding : !lm.weight<100x32xf32> layers [] from [#lm.piece<pattern = "e", rows = 100, stored = f32>] packed <layout = rows, element = f32, offset = 0>
lm.weight @product : !lm.weight<64x32xbf16> layers [0, 1] from [#lm.piece<pattern = "p.{l}", rows = 64, stored = bf16>] packed <layout = rows, element = bf16, offset = 0>
lm.weight @experts : !lm.weight<8x16x32xbf16> layers [2] from [#lm.piece<pattern = "x.{l}.{e}", rows = 16, stored = bf16>] packed <layout = rows, element = bf16, offset = 0>
lm.cache @keys layers [0, 1] heads 2 size 8 block 16 window 4 : bf16
func.func @step(%batch: !lm.batch) {
  %0 = lm.arena %batch : memref<?xi8>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2 : index
  %three = arith.constant 3 : index
  %eight = arith.constant 8 : index
  %rows = lm.token_count %batch
  %ids = lm.token_ids %batch : memref<?xi32>
  %x = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x32xf32>
  %e = lm.load_weight @embedding : <100x32xf32>
  lm.phase "embedding" tiles(%rows) rows 1 panels 0 warps 4 {
  ^bb0(%tile: index):
    lm.embedding ins(%ids, %e : memref<?xi32>, !lm.weight<100x32xf32>) outs(%x : memref<?x32xf32>)
  }
  scf.for %layer = %zero to %three step %one {
    %kind = lm.layer_kind %layer of [0, 0, 1]
    scf.index_switch %kind
    case 0 {
      %b = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x32xbf16>
      %q = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x64xf32>
      %w = lm.load_weight @product[%layer] : <64x32xbf16>
      %isFew = arith.cmpi ule, %rows, %eight : index
      scf.if %isFew {
        lm.phase "few" tiles(%rows) rows 8 panels 1 warps 4 {
        ^bb0(%tile: index):
          lm.linear ins(%b, %w : memref<?x32xbf16>, !lm.weight<64x32xbf16>) outs(%q : memref<?x64xf32>)
        }
      } else {
        lm.phase "many" tiles(%rows) rows 64 panels 1 warps 4 {
        ^bb0(%tile: index):
          lm.linear ins(%b, %w : memref<?x32xbf16>, !lm.weight<64x32xbf16>) outs(%q : memref<?x64xf32>)
        }
      }
      %a = memref.subview %q[0, 0] [%rows, 32] [1, 1] : memref<?x64xf32> to memref<?x32xf32, strided<[64, 1]>>
      lm.phase "attention" tiles(%rows) rows 0 panels 0 warps 8 {
      ^bb0(%tile: index):
        lm.attention @keys[%layer] of %batch scale 1.0 ins(%a : memref<?x32xf32, strided<[64, 1]>>) outs(%x : memref<?x32xf32>)
      }
      scf.yield
    }
    default {
      %b = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x32xbf16>
      %picks = arith.muli %rows, %two : index
      %tiles = memref.view %0[%zero][%three] : memref<?xi8> to memref<?x3xi32>
      %y = memref.view %0[%zero][%picks] : memref<?xi8> to memref<?x16xf32>
      %w = lm.load_weight @experts[%layer] : <8x16x32xbf16>
      lm.phase "grouped_matmul" tiles(%rows) rows 0 panels 4 {
      ^bb0(%tile: index):
        moe.grouped_matmul ins(%b, %w, %tiles : memref<?x32xbf16>, !lm.weight<8x16x32xbf16>, memref<?x3xi32>) outs(%y : memref<?x16xf32>)
      }
    }
  }
  return
}
// What CPUs do of the step are no kernels.
module @host {
func.func @step(%batch: !lm.batch) {
  %rows = lm.token_count %batch
  %x = lm.part_rows 0 of %batch : memref<?x32xf32>
  lm.phase "round" tiles(%rows) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.round ins(%x : memref<?x32xf32>) outs(%x : memref<?x32xf32>)
  }
  return
}
})";

constexpr const char *kPieces = R"(
lm.cache @keys layers [0] heads 2 size 8 rows block 16 : bf16
func.func @step(%batch: !lm.batch) {
  %0 = lm.arena %batch : memref<?xi8>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %rows = lm.token_count %batch
  %blocks = lm.block_count %batch
  %isShort = arith.cmpi ule, %blocks, %one : index
  %q = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x32xbf16>
  %r = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x32xf32>
  %p = memref.view %0[%zero][%rows] : memref<?xi8> to memref<?x160xf32>
  scf.if %isShort {
    lm.phase "attend_tiles" tiles(%rows) rows 0 panels 0 warps 4 {
    ^bb0(%tile: index):
      lm.attend_tiles @keys[%zero] of %batch scale 1.0 piece 64 pieces 4 ins(%q : memref<?x32xbf16>)
          outs(%q, %r : memref<?x32xbf16>, memref<?x32xf32>)
    }
  } else {
    lm.phase "attend_pieces" tiles(%rows) rows 0 panels 0 warps 4 {
    ^bb0(%tile: index):
      lm.attend_pieces @keys[%zero] of %batch scale 1.0 piece 64 pieces 4 most %one ins(%q : memref<?x32xbf16>)
          outs(%p : memref<?x160xf32>)
    }
    lm.phase "join_pieces" tiles(%rows) rows 0 panels 0 warps 4 {
    ^bb0(%tile: index):
      lm.join_pieces @keys of %batch piece 64 pieces 4 ins(%p : memref<?x160xf32>) outs(%q : memref<?x32xbf16>)
    }
  }
  return
})";

std::vector<PhaseCost> cost(const StepShape &shape, const char *step = kStep) {
  static mlir::MLIRContext context;
  context
      .loadDialect<lm::LmDialect, moe::MoeDialect, mlir::func::FuncDialect,
                   mlir::arith::ArithDialect, mlir::memref::MemRefDialect, mlir::scf::SCFDialect>();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(step, &context);
  EXPECT_TRUE(module);
  return module ? costOfStep(*module, shape) : std::vector<PhaseCost>();
}

void expect(const PhaseCost &phase, const char *name, int64_t runs, double bytes, double operations,
            bool isOnTensorCores = false) {
  EXPECT_EQ(phase.name, name);
  EXPECT_EQ(phase.runs, runs) << name;
  EXPECT_DOUBLE_EQ(phase.bytes, bytes) << name;
  EXPECT_DOUBLE_EQ(phase.operations, operations) << name;
  EXPECT_EQ(phase.isOnTensorCores, isOnTensorCores) << name;
}

TEST(StepCost, IsThatOfOneToken) {
  const std::vector<PhaseCost> phases = cost({.rows = 1, .first = 9, .outputs = 1});
  ASSERT_EQ(phases.size(), 5u);
  expect(phases[0], "embedding", 1, 4 + 128 + 128, 0); // an id, a row of the table, a row
  // In two layers: a row of 32 bf16, the matrix, a row of 64 f32.
  expect(phases[2], "few", 2, 2 * (64 + 64 * 32 * 2 + 256), 2 * 2 * 64 * 32, true);
  expect(phases[3], "many", 0, 0, 0);
  // 4 positions are seen, by 4 heads, 8 elements of a key and of a value each; two key heads.
  expect(phases[4], "attention", 2, 2 * (128 + 128 + 4 * 2 * 16 * 2), 2 * 2 * 4 * 4 * 16);
  // 2 experts of 8; the list has 3 entries of 12 bytes.
  expect(phases[1], "grouped_matmul", 1, 64 + 2 * 16 * 32 * 2 + 36 + 128, 2 * 2 * 16 * 32);
}

TEST(StepCost, IsThatOfAPrompt) {
  const std::vector<PhaseCost> phases = cost({.rows = 10, .first = 0, .outputs = 1});
  ASSERT_EQ(phases.size(), 5u);
  expect(phases[2], "few", 0, 0, 0);
  expect(phases[3], "many", 2, 2 * (640 + 64 * 32 * 2 + 2560), 2 * 2 * 10 * 64 * 32, true);
  // The rows see 1, 2, 3 and 7 times 4 positions; all 10 are read.
  expect(phases[4], "attention", 2, 2 * (1280 + 1280 + 10 * 2 * 16 * 2), 2 * 2 * 34 * 4 * 16);
  // An expert is picked by none of 10 rows with the probability (6 / 8)^10.
  expect(phases[1], "grouped_matmul", 1,
         640 + 8 * (1 - std::pow(0.75, 10)) * 16 * 32 * 2 + 36 + 1280, 2 * 20 * 16 * 32);
}

TEST(StepCost, OfPiecesIsThatOfThoseThereAre) {
  // One token at position 69: two pieces of four.
  std::vector<PhaseCost> phases = cost({.rows = 1, .first = 69, .outputs = 1}, kPieces);
  ASSERT_EQ(phases.size(), 3u);
  const double keys = 70 * 2 * 16 * 2, operations = 2 * 70 * 4 * 16, parts = 160 * 4 / 2;
  expect(phases[0], "attend_tiles", 0, 0, 0);
  expect(phases[1], "attend_pieces", 1, 64 + parts + keys, operations, true);
  expect(phases[2], "join_pieces", 1, parts + 64, 0);
  // 16 positions are one block.
  phases = cost({.rows = 1, .first = 15, .outputs = 1}, kPieces);
  expect(phases[0], "attend_tiles", 1, 64 + 64 + 128 + 16 * 2 * 16 * 2, 2 * 16 * 4 * 16, true);
}

TEST(StepCost, TakesAsLongAsWhatTakesLongest) {
  const MachineRates rates{
      .bytes = 1e12, .tensorOperations = 1e14, .otherOperations = 1e13, .secondsPerPhase = 2e-6};
  PhaseCost phase{.runs = 3, .bytes = 5e6, .operations = 1e8};
  EXPECT_DOUBLE_EQ(leastSeconds(phase, rates), 10e-6 + 6e-6); // of operations
  phase.isOnTensorCores = true;
  EXPECT_DOUBLE_EQ(leastSeconds(phase, rates), 5e-6 + 6e-6); // of bytes
  EXPECT_EQ(leastSeconds(PhaseCost(), rates), 0);
}

} // namespace
