// Rows gathered by sixteens and laid out in panels, against the same by plain loops.

#include "compiler/targets/cpu/GatheredKeys.h"
#include "compiler/targets/ChosenKeys.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <cstring>
#include <limits>
#include <numeric>

using namespace moec;
using mlir::Value;

namespace {

constexpr int64_t kRows = 48; ///< of which sixteen are gathered, last ones first

class GatheredKeys : public KernelTest {};

int64_t gathered(int64_t i) { return kRows - 1 - 3 * i; }

/// The value of column `column` of row `row`, exact in bf16.
float entry(int64_t row, int64_t column) { return static_cast<float>((row * 7 + column) % 251); }

TEST_P(GatheredKeys, TransposesSixteenVectors) {
  const KernelJit kernel(
      *GetParam(), "pp", [](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
        const mlir::Type floats = kernel.lanes(kernel.f32());
        mlir::SmallVector<Value> vectors;
        for (int64_t i = 0; i < kLanes; ++i)
          vectors.push_back(kernel.load(floats, kernel.address(arguments[0], i * 64)));
        emitTranspose(kernel, vectors);
        for (int64_t i = 0; i < kLanes; ++i)
          kernel.store(vectors[i], kernel.address(arguments[1], i * 64));
      });
  std::vector<float> from(kLanes * kLanes), to(from.size());
  std::iota(from.begin(), from.end(), 0.0F);
  kernel(from, to);
  for (int64_t i = 0; i < kLanes; ++i)
    for (int64_t j = 0; j < kLanes; ++j)
      EXPECT_EQ(to[i * kLanes + j], from[j * kLanes + i]) << i << ", " << j;
}

struct Case {
  bool bf16;
  int64_t begin, end;
  bool keys, values;
};

TEST_P(GatheredKeys, LaysColumnsOut) {
  constexpr int64_t block = 32, columns = 48;
  for (const Case &c : {Case{false, 0, 37, true, true}, Case{true, 0, 37, true, true},
                        Case{true, 16, 48, true, false}, Case{false, 0, 7, false, true}}) {
    const KernelJit kernel(
        *GetParam(), "ppp", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
          const mlir::Type element = c.bf16 ? kernel.bf16() : kernel.f32();
          mlir::SmallVector<Value> rows;
          for (int64_t i = 0; i < kLanes; ++i)
            rows.push_back(kernel.address(arguments[0], gathered(i) * columns * bytesOf(element)));
          emitGatheredColumns(kernel, element, rows, c.begin, c.end,
                              c.keys ? arguments[1] : Value(), c.values ? arguments[2] : Value(),
                              block);
        });
    const int64_t bytes = c.bf16 ? 2 : 4;
    std::vector<uint8_t> memory(kRows * columns * bytes);
    for (int64_t i = 0; i < kRows * columns; ++i) {
      const float value = entry(i / columns, i % columns);
      std::memcpy(&memory[i * bytes], reinterpret_cast<const uint8_t *>(&value) + 4 - bytes, bytes);
    }
    std::vector<float> keys(columns * kLanes, -1), values(columns * block, -1);
    std::vector<float> wantedKeys = keys, wantedValues = values;
    kernel(memory, keys, values);
    for (int64_t i = 0; i < kLanes; ++i) {
      for (int64_t column = c.begin; c.keys && column < c.end; ++column)
        wantedKeys[column * kLanes + i] = entry(gathered(i), column);
      for (int64_t column = c.begin; c.values && column < (c.end + kLanes - 1) / kLanes * kLanes;
           ++column)
        wantedValues[(column / kLanes * block + i) * kLanes + column % kLanes] =
            column < c.end ? entry(gathered(i), column) : 0;
    }
    EXPECT_EQ(keys, wantedKeys) << c.end << " columns";
    EXPECT_EQ(values, wantedValues) << c.end << " columns";
  }
}

/// What a list of three at most says for the token at position 50: how many, then the first two.
TEST_P(GatheredKeys, NothingLeadsOutOfTheCache) {
  const KernelJit kernel(*GetParam(), "pp",
                         [](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
                           const ChosenKeys chosen{arguments[0], 3, kernel.integer(50)};
                           kernel.store(chosen.count(kernel), arguments[1]);
                           for (int64_t i = 0; i < 2; ++i)
                             kernel.store(chosen.position(kernel, kernel.integer(i)),
                                          kernel.address(arguments[1], 8 * (i + 1)));
                         });
  constexpr int32_t most = std::numeric_limits<int32_t>::max(),
                    least = std::numeric_limits<int32_t>::min();
  auto read = [&](std::vector<int32_t> list) {
    list.push_back(0); // a third place
    std::vector<int64_t> read(3);
    kernel(list, read);
    return read;
  };
  EXPECT_EQ(read({2, 0, 50}), (std::vector<int64_t>{2, 0, 50}));
  EXPECT_EQ(read({3, 51, -1}), (std::vector<int64_t>{3, 50, 0}));
  EXPECT_EQ(read({4, most, least}), (std::vector<int64_t>{3, 50, 0}));
  EXPECT_EQ(read({0, 7, 8}), (std::vector<int64_t>{1, 7, 8}));
  EXPECT_EQ(read({least, 7, 8}), (std::vector<int64_t>{1, 7, 8}));
}

INSTANTIATE_TEST_SUITE_P(Levels, GatheredKeys, testing::ValuesIn(allTargets()), levelName);

} // namespace
