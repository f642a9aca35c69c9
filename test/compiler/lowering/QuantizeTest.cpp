// What lm.quantize makes of rows, by its definition in double precision.

#include "compiler/lowering/Lowerings.h"
#include "test/compiler/lowering/MemRefOf.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <cmath>
#include <cstring>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

class Quantize : public KernelTest {};

// 70 columns in blocks of 32: two whole ones, and one of six elements and what fills it up.
TEST_P(Quantize, BlocksAreCloseToTheRow) {
  constexpr int64_t rows = 3, columns = 70, block = 32, blocks = 3;
  constexpr int64_t rowBytes = quantizedColumns(columns, block);
  std::mt19937 random(7);
  std::vector<float> input(rows * columns);
  for (float &x : input) // of many sizes
    x = std::ldexp(std::uniform_real_distribution<float>(-1, 1)(random),
                   std::uniform_int_distribution<int>(-12, 12)(random));
  std::fill_n(input.begin(), block, 0.0f);
  const KernelJit kernel(*GetParam(), "pp", [&](KernelBuilder &kernel, mlir::ValueRange arguments) {
    auto op = lm::QuantizeOp::create(kernel.builder, kernel.loc, mlir::TypeRange(), block,
                                     memrefOf(kernel, arguments[0], kernel.f32(), {rows, columns}),
                                     memrefOf(kernel, arguments[1], kernel.i8(), {rows, rowBytes}));
    lowerQuantize(kernel, op, {kernel.integer(0), /*rows=*/0});
    op.erase();
  });
  std::vector<int8_t> out(rows * rowBytes + 1, 99);
  kernel(input, out);
  EXPECT_EQ(out.back(), 99) << "written past the last row";
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t count = std::min(block, columns - b * block);
      const float *from = &input[row * columns + b * block];
      const int8_t *codes = &out[row * rowBytes + b * (block + kBlockTailBytes)];
      float scale, largest = 0;
      int32_t sum, expected = 0;
      std::memcpy(&scale, codes + block, 4);
      std::memcpy(&sum, codes + block + 4, 4);
      for (int64_t i = 0; i < count; ++i)
        largest = std::max(largest, std::abs(from[i]));
      EXPECT_FLOAT_EQ(scale, largest / 127);
      for (int64_t i = 0; i < block; ++i) {
        expected += codes[i];
        if (i < count) // half a step, and a little for rounding
          EXPECT_NEAR(double(scale) * codes[i], from[i], largest / 253)
              << "row " << row << " column " << b * block + i;
        else
          EXPECT_EQ(codes[i], 0) << "fills up";
      }
      EXPECT_EQ(sum, expected);
    }
}

INSTANTIATE_TEST_SUITE_P(Levels, Quantize, testing::ValuesIn(allTargets()), levelName);

} // namespace
