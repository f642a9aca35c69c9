// The choice of keys against a sort of the scores, of whole numbers so that these are exact.

#include "compiler/targets/cpu/IndexKernel.h"
#include "compiler/targets/SortKey.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
  bool bf16;
  int64_t tokens, size, heads, block, chosen;
};
constexpr Case cases[] = {{false, 70, 12, 2, 32, 9},
                          {true, 150, 7, 3, 64, 40},
                          {true, 90, 32, 4, 16, 1},
                          {false, 40, 16, 1, 32, 64}};

/// One sequence: the queries and weights of one token, and the keys as values and as a paged cache.
struct Sequence {
  explicit Sequence(const Case &shape) : shape(shape) {
    std::mt19937 random(shape.size * 31 + shape.tokens);
    std::uniform_int_distribution<int> small(-2, 2);
    auto fill = [&](std::vector<float> &values, int64_t count) {
      values.resize(count);
      std::ranges::generate(values, [&] { return static_cast<float>(small(random)); });
    };
    fill(queries, shape.heads * shape.size);
    fill(weights, shape.heads);
    fill(keys, shape.tokens * shape.size);
  }

  int64_t bytes() const { return shape.bf16 ? 2 : 4; }
  int64_t depth() const { return shape.bf16 ? (shape.size + 1) / 2 * 2 : shape.size; }
  int64_t blockBytes() const { return depth() * shape.block * bytes(); }

  /// The cache's blocks backwards, with gaps, and the place of each; what is no key is 7.
  void layOut() {
    const int64_t blocks = (shape.tokens + shape.block - 1) / shape.block, pair = shape.bf16 + 1;
    table.clear();
    for (int64_t b = 0; b < blocks; ++b)
      table.push_back(static_cast<int32_t>((blocks - b) * 2));
    cache.assign((blocks * 2 + 1) * blockBytes(), 0);
    for (size_t i = 0; i < cache.size() / bytes(); ++i)
      put(i, 7);
    for (int64_t token = 0; token < shape.tokens; ++token)
      for (int64_t i = 0; i < depth(); ++i) {
        const int64_t slot = token % shape.block;
        const int64_t inPanel = (i / pair * 16 + slot % 16) * pair + i % pair;
        put(table[token / shape.block] * depth() * shape.block + slot / 16 * 16 * depth() + inPanel,
            i < shape.size ? keys[token * shape.size + i] : 0);
      }
  }

  void put(int64_t index, float value) {
    std::memcpy(&cache[index * bytes()], reinterpret_cast<const uint8_t *>(&value) + 4 - bytes(),
                bytes());
  }

  /// What the token at `position` chooses: of all the largest scores, sorted by position.
  std::vector<int32_t> expected(int64_t position) const {
    std::vector<float> scores(position + 1);
    for (int64_t p = 0; p <= position; ++p)
      for (int64_t head = 0; head < shape.heads; ++head) {
        float dot = 0;
        for (int64_t i = 0; i < shape.size; ++i)
          dot += queries[head * shape.size + i] * keys[p * shape.size + i];
        scores[p] += weights[head] * (dot < 0 ? 0 : dot);
      }
    std::vector<int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    auto isBefore = [&](int32_t a, int32_t b) {
      const bool isFirst = std::isnan(scores[a]), isSecond = std::isnan(scores[b]);
      if (isFirst != isSecond)
        return isFirst;
      return scores[a] > scores[b] || (!(scores[b] > scores[a]) && a < b);
    };
    std::ranges::sort(order, isBefore);
    order.resize(std::min<size_t>(order.size(), shape.chosen));
    std::ranges::sort(order);
    order.insert(order.begin(), static_cast<int32_t>(order.size()));
    return order;
  }

  const Case shape;
  std::vector<float> queries, weights, keys; // [head][d], [head], [token][d]
  std::vector<uint8_t> cache;
  std::vector<int32_t> table;
};

/// kernel(queries, weights, cache, table, out, scratch, position)
KernelJit indexKernel(const CpuTarget &target, const Sequence &sequence, int64_t &scratchBytes) {
  return KernelJit(target, "ppppppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    const IndexShape shape{.element = sequence.shape.bf16 ? kernel.bf16() : kernel.f32(),
                           .heads = sequence.shape.heads,
                           .size = sequence.shape.size,
                           .block = sequence.shape.block,
                           .context = sequence.shape.tokens,
                           .chosen = sequence.shape.chosen,
                           .scale = 0.25};
    scratchBytes = indexScratchBytes(shape);
    emitChooseKeys(
        kernel, shape,
        {.queries = arguments[0],
         .weights = arguments[1],
         .position = arguments[6],
         .out = arguments[4],
         .scratch = arguments[5],
         .block = [&](Value number) -> Value {
           Value place =
               kernel.load(kernel.i32(), kernel.address(arguments[3], kernel.i32(), number));
           place = mlir::arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), place);
           return kernel.addressBytes(arguments[2],
                                      kernel.mul(place, kernel.integer(sequence.blockBytes())));
         }});
  });
}

class IndexKernel : public KernelTest {
protected:
  /// Compares what the tokens at `positions` choose; what follows that is left alone.
  static void check(const KernelJit &kernel, Sequence &sequence, int64_t scratchBytes,
                    std::initializer_list<int64_t> positions) {
    sequence.layOut();
    std::vector<uint8_t> room(scratchBytes + 64);
    const auto scratch = std::span(room).subspan(
        (64 - reinterpret_cast<uintptr_t>(room.data()) % 64) % 64, scratchBytes);
    for (int64_t position : positions) {
      std::vector<int32_t> expected = sequence.expected(position);
      expected.resize(sequence.shape.chosen + 8, -1);
      std::vector<int32_t> out(expected.size(), -1);
      kernel(sequence.queries, sequence.weights, sequence.cache, sequence.table, out, scratch,
             position);
      EXPECT_EQ(out, expected) << "at position " << position << " of case with d "
                               << sequence.shape.size;
    }
  }
};

TEST_P(IndexKernel, ChoosesTheLargestScores) {
  for (const Case &shape : cases) {
    Sequence sequence(shape);
    int64_t scratch = 0;
    const KernelJit kernel = indexKernel(*GetParam(), sequence, scratch);
    EXPECT_EQ(kernel.undefined(), "");
    check(kernel, sequence, scratch,
          {0, std::min(shape.chosen, shape.tokens) - 1, std::min(shape.chosen, shape.tokens - 1),
           shape.tokens - 1});
  }
}

TEST_P(IndexKernel, TakesNansForLargest) {
  Sequence sequence(cases[0]);
  int64_t scratch = 0;
  const KernelJit kernel = indexKernel(*GetParam(), sequence, scratch);
  for (int64_t token : {3, 40, 66})
    sequence.keys[token * sequence.shape.size] = kNan;
  check(kernel, sequence, scratch, {69});
}

TEST_P(IndexKernel, ChoosesNoMoreOfNans) {
  Sequence sequence(cases[0]);
  int64_t scratch = 0;
  const KernelJit kernel = indexKernel(*GetParam(), sequence, scratch);
  std::ranges::fill(sequence.keys, kNan);
  check(kernel, sequence, scratch, {69});
}

TEST_P(IndexKernel, SortKeysOrderAsNumbersDo) {
  const KernelJit kernel(
      *GetParam(), "pp", [](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
        kernel.store(emitSortKey(kernel, kernel.load(kernel.lanes(kernel.f32()), arguments[0])),
                     arguments[1]);
      });
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> numbers = {-infinity, -1e30f, -2,    -1,  -1e-42f, -0.0f,
                                      0,         1e-42f, 1,     2,   1e30f,   3e38f,
                                      infinity,  kNan,   -kNan, kNan};
  std::vector<int32_t> keys(numbers.size());
  kernel(numbers, keys);
  for (size_t i = 1; i < numbers.size(); ++i)
    if (numbers[i - 1] < numbers[i] || (std::isnan(numbers[i]) && !std::isnan(numbers[i - 1])))
      EXPECT_LT(keys[i - 1], keys[i]) << numbers[i];
    else
      EXPECT_EQ(keys[i - 1], keys[i]) << numbers[i];
  EXPECT_GT(keys.front(), std::numeric_limits<int32_t>::min());
  EXPECT_LT(keys.back(), std::numeric_limits<int32_t>::max());
}

INSTANTIATE_TEST_SUITE_P(Levels, IndexKernel, testing::ValuesIn(allTargets()), levelName);

} // namespace
