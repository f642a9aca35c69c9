// Products whose lowering does more than hand rows to the kernel, against plain loops.

#include "compiler/lowering/Lowerings.h"
#include "runtime/core/PackedLayout.h"
#include "test/compiler/lowering/MemRefOf.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <random>

using namespace moec;
using mlir::Value;

namespace {

class Products : public KernelTest {};

struct HeadCase {
  int64_t rows, heads, width, depth, tileRows;
  bool plain;
};

/// Whole numbers, so that sums are exact in any order.
std::vector<float> numbers(std::mt19937 &random, int64_t count) {
  std::uniform_int_distribution<int> small(-4, 4);
  std::vector<float> values(count);
  for (float &value : values)
    value = static_cast<float>(small(random));
  return values;
}

// Tiles are blocks of rows, in each the panels of one head after the other.
TEST_P(Products, EachHeadIsMultipliedWithItsOwnMatrix) {
  for (const HeadCase &c : {HeadCase{5, 3, 20, 12, 2, false}, HeadCase{3, 2, 100, 7, 8, false},
                            HeadCase{1, 4, 16, 33, 8, false}, HeadCase{3, 2, 5, 7, 0, true}}) {
    const KernelJit kernel(
        *GetParam(), "pppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
          Value input = memrefOf(kernel, arguments[0], kernel.f32(), {c.rows, c.heads * c.depth}),
                weight = memrefOf(kernel, arguments[1], kernel.f32(), {c.heads, c.width, c.depth}),
                out = memrefOf(kernel, arguments[2], kernel.f32(), {c.rows, c.heads * c.width});
          kernel.loop(kernel.integer(0), arguments[3], 1, [&](Value index) {
            auto op = lm::HeadLinearOp::create(kernel.builder, kernel.loc, mlir::TypeRange(), input,
                                               weight, out);
            if (c.plain)
              lowerHeadLinearPlainly(kernel, op);
            else
              lowerHeadLinear(kernel, op, {index, c.tileRows});
            op.erase();
          });
        });
    EXPECT_EQ(kernel.undefined(), "");
    std::mt19937 random(c.width * 31 + c.depth);
    const std::vector<float> input = numbers(random, c.rows * c.heads * c.depth),
                             weight = numbers(random, c.heads * c.width * c.depth);
    std::vector<float> out(c.rows * c.heads * c.width, -1), expected(out.size());
    for (int64_t row = 0; row < c.rows; ++row)
      for (int64_t i = 0; i < c.heads * c.width; ++i)
        for (int64_t k = 0; k < c.depth; ++k)
          expected[row * c.heads * c.width + i] +=
              input[(row * c.heads + i / c.width) * c.depth + k] * weight[i * c.depth + k];
    const int64_t blocks = c.plain ? 1 : (c.rows + c.tileRows - 1) / c.tileRows;
    kernel(input, weight, out, c.plain ? 1 : blocks * c.heads * panelCount(c.width));
    EXPECT_EQ(out, expected) << c.heads << " heads of " << c.width << " x " << c.depth
                             << (c.plain ? ", plainly" : "");
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Products, testing::ValuesIn(allTargets()), levelName);

} // namespace
