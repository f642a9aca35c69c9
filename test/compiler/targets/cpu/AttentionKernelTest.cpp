// The attention kernel against a softmax in double precision, and its independence of tiles and
// chunks.

#include "compiler/targets/cpu/AttentionKernel.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>
#include <cstring>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

constexpr int64_t kTileRows = 8;

float roundToBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  std::memcpy(&value, &bits, 4);
  return value;
}

/// Of queries, and of the cache.
enum Elements { F32, Bf16, F32ByBf16 };

struct Case {
  Elements elements;
  int64_t tokens, size, group, window, block;
  int64_t values = 0; ///< size of a value; 0: that of a key
  int64_t chunk = 0;
  bool latent = false, sinks = false, bf16Sinks = false;

  int64_t valueSize() const { return values ? values : size; }
};
constexpr Case cases[] = {{F32, 40, 12, 2, 0, 32},
                          {Bf16, 40, 12, 2, 0, 32},
                          {F32, 135, 64, 4, 0, 128},
                          {Bf16, 70, 128, 8, 0, 64},
                          {Bf16, 35, 7, 1, 0, 16},
                          {F32, 70, 16, 1, 5, 32},
                          {Bf16, 150, 16, 3, 140, 128},
                          {F32, 33, 80, 1, 32, 32},
                          {F32ByBf16, 40, 64, 4, 0, 32},
                          {F32ByBf16, 70, 7, 3, 50, 64},
                          {F32, 70, 24, 2, 0, 32, 40},
                          {Bf16, 70, 24, 2, 0, 32, 10},
                          {F32, 70, 16, 2, 0, 32, 0, 20},
                          {Bf16, 70, 16, 1, 0, 64, 0, 32},
                          {F32, 70, 16, 3, 0, 32, 0, 0, false, true},
                          {Bf16, 70, 16, 3, 9, 32, 0, 0, false, true},
                          {F32, 70, 16, 3, 0, 32, 0, 0, false, true, true},
                          {F32, 70, 36, 4, 0, 32, 20, 0, true},
                          {Bf16, 70, 37, 4, 0, 32, 21, 0, true},
                          {F32ByBf16, 70, 64, 3, 0, 64, 48, 0, true}};

/// One sequence: queries of `group` heads and the keys and values of one head, as values and as a
/// paged cache.
struct Sequence {
  bool bf16, bf16Queries, bf16Sinks;
  int64_t tokens, size, valueSize, group, window, chunk, block, valueWidth, keyDepth;
  bool latent;
  std::vector<float> queries, keys, values; // [token][head][d], [token][d], [token][value]
  std::vector<float> sinks;                 // [head], or none
  std::vector<uint8_t> sinkBytes;
  std::vector<uint8_t> queryBytes, cache; // the cache's blocks in a shuffled order
  std::vector<int32_t> table;             // the place of each block

  explicit Sequence(const Case &c)
      : bf16(c.elements != F32), bf16Queries(c.elements == Bf16), bf16Sinks(c.bf16Sinks),
        tokens(c.tokens), size(c.size), valueSize(c.valueSize()), group(c.group), window(c.window),
        chunk(c.chunk), block(c.block), valueWidth((valueSize + 15) / 16 * 16),
        keyDepth(bf16 ? (size + 1) / 2 * 2 : size), latent(c.latent) {
    std::mt19937 random(size * 31 + tokens);
    std::normal_distribution<float> normal;
    auto fill = [&](std::vector<float> &values, int64_t count, bool rounds) {
      values.resize(count);
      for (float &value : values)
        value = rounds ? roundToBf16(normal(random)) : normal(random);
    };
    fill(queries, tokens * group * size, bf16Queries);
    fill(keys, tokens * size, bf16);
    fill(values, tokens * valueSize, bf16);
    for (int64_t token = 0; latent && token < tokens; ++token)
      std::copy_n(&keys[token * size], valueSize, &values[token * valueSize]);
    if (c.sinks)
      fill(sinks, group, bf16Sinks);
    sinkBytes.resize(sinks.size() * (bf16Sinks ? 2 : 4));
    for (size_t i = 0; i < sinks.size(); ++i)
      put(sinkBytes, i, sinks[i], bf16Sinks ? 2 : 4);
    queryBytes.resize(queries.size() * queryElementBytes());
    for (size_t i = 0; i < queries.size(); ++i)
      put(queryBytes, i, queries[i], queryElementBytes());
    const int64_t blocks = (tokens + block - 1) / block;
    for (int64_t b = 0; b < blocks; ++b)
      table.push_back((blocks - b) * 2); // backwards, with gaps
    cache.resize((blocks * 2 + 1) * blockBytes());
    for (size_t i = 0; i < cache.size() / bytes(); ++i)
      put(cache, i, 7, bytes()); // what an earlier owner left
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t slot = 0; slot < block; ++slot)
        for (int64_t i = 0; i < std::max(valueWidth, keyDepth); ++i) {
          const int64_t token = b * block + slot, base = table[b] * blockBytes() / bytes();
          const bool exists = token < tokens;
          // Panels of 16 keys, and of 16 columns of values.
          const int64_t pair = bf16 ? 2 : 1;
          auto inPanel = [&](int64_t depth, int64_t column) {
            return (depth / pair * 16 + column % 16) * pair + depth % pair;
          };
          if (i < keyDepth && (exists || i >= size))
            put(cache, base + slot / 16 * 16 * keyDepth + inPanel(i, slot),
                i < size ? keys[token * size + i] : 0, bytes());
          if (!latent && i < valueWidth && (exists || i >= valueSize))
            put(cache, base + keyDepth * block + i / 16 * 16 * block + inPanel(slot, i),
                i < valueSize ? values[token * valueSize + i] : 0, bytes());
        }
  }

  int64_t bytes() const { return bf16 ? 2 : 4; } // of an element of the cache
  int64_t queryElementBytes() const { return bf16Queries ? 2 : 4; }
  int64_t blockBytes() const { return (keyDepth + (latent ? 0 : valueWidth)) * block * bytes(); }
  int64_t outRow() const { return group * valueSize; }

  static void put(std::vector<uint8_t> &to, int64_t index, float value, int64_t bytes) {
    std::memcpy(&to[index * bytes], reinterpret_cast<const uint8_t *>(&value) + 4 - bytes, bytes);
  }

  double scale() const { return 1 / std::sqrt(double(size)); }

  std::vector<double> exact() const {
    std::vector<double> out(tokens * outRow());
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t h = 0; h < group; ++h) {
        const int64_t first = chunk    ? t / chunk * chunk
                              : window ? std::max<int64_t>(0, t - window + 1)
                                       : 0;
        std::vector<double> weights;
        double peak = sinks.empty() ? -1e300 : sinks[h];
        for (int64_t k = first; k <= t; ++k) {
          double score = 0;
          for (int64_t i = 0; i < size; ++i)
            score += double(queries[(t * group + h) * size + i]) * keys[k * size + i];
          weights.push_back(score * scale());
          peak = std::max(peak, weights.back());
        }
        double total = sinks.empty() ? 0 : std::exp(sinks[h] - peak);
        for (double &weight : weights)
          total += weight = std::exp(weight - peak);
        for (int64_t k = first; k <= t; ++k)
          for (int64_t i = 0; i < valueSize; ++i)
            out[(t * group + h) * valueSize + i] +=
                weights[k - first] / total * values[k * valueSize + i];
      }
    return out;
  }
};

/// kernel(queries, cache, table, out, scratch, first, rows, sinks): all tokens, in tiles of `rows`
/// of which the first has `first`, at most as many; the result is f32. The loop over the tiles is
/// the kernel's, since an emulator starts anew for each call.
KernelJit attentionKernel(const CpuTarget &target, const Sequence &sequence,
                          int64_t &scratchBytes) {
  return KernelJit(target, "pppppiip", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    const AttentionShape shape{.element = sequence.bf16 ? kernel.bf16() : kernel.f32(),
                               .queries = sequence.bf16Queries ? kernel.bf16() : kernel.f32(),
                               .size = sequence.size,
                               .values = sequence.valueSize,
                               .latent = sequence.latent,
                               .group = sequence.group,
                               .block = sequence.block,
                               .rows = kTileRows,
                               .window = sequence.window,
                               .chunk = sequence.chunk,
                               .scale = sequence.scale()};
    scratchBytes = attentionScratchBytes(shape);
    Value first = arguments[5], rows = arguments[6], tokens = kernel.integer(sequence.tokens);
    Value stride = kernel.integer(sequence.group * sequence.size),
          outStride = kernel.integer(sequence.outRow());
    auto block = [&](Value number) -> AttentionBlock {
      Value place = kernel.load(kernel.i32(), kernel.address(arguments[2], kernel.i32(), number));
      place = mlir::arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), place);
      Value keys = kernel.addressBytes(arguments[1],
                                       kernel.mul(place, kernel.integer(sequence.blockBytes())));
      return {keys, kernel.address(keys, sequence.keyDepth * sequence.block * sequence.bytes())};
    };
    Value others = kernel.add(kernel.sub(tokens, first), kernel.sub(rows, kernel.integer(1)));
    Value tiles = kernel.add(kernel.div(others, rows), kernel.integer(1));
    kernel.loop(kernel.integer(0), tiles, 1, [&](Value tile) {
      Value end = kernel.add(first, kernel.mul(tile, rows));
      Value begin = kernel.max(kernel.sub(end, rows), kernel.integer(0));
      emitAttention(
          kernel, shape,
          {.queries = kernel.address(arguments[0], shape.queries, kernel.mul(begin, stride)),
           .queryStride = stride,
           .sinks = sequence.sinks.empty() ? Value() : arguments[7],
           .sinkElement = sequence.bf16Sinks ? kernel.bf16() : kernel.f32(),
           .out = kernel.address(arguments[3], kernel.f32(), kernel.mul(begin, outStride)),
           .outElement = kernel.f32(),
           .outStride = outStride,
           .rows = kernel.sub(kernel.min(end, tokens), begin),
           .position = begin,
           .scratch = arguments[4],
           .block = block});
    });
  });
}

/// The result for all tokens, in tiles of `tileRows` of which the first has `first`.
std::vector<float> run(const KernelJit &kernel, const Sequence &sequence, int64_t scratchBytes,
                       int64_t first, int64_t tileRows) {
  std::vector<float> out(sequence.tokens * sequence.outRow());
  std::vector<uint8_t> scratch(scratchBytes + 64);
  const auto aligned = std::span(scratch).subspan(
      (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64, scratchBytes);
  kernel(sequence.queryBytes, sequence.cache, sequence.table, out, aligned, first, tileRows,
         sequence.sinkBytes);
  return out;
}

class AttentionKernel : public KernelTest {};

TEST_P(AttentionKernel, EqualsTheSoftmaxOfAllScoresWithTheSameBitsInEveryTile) {
  for (const Case &c : cases) {
    const Sequence sequence(c);
    int64_t scratch = 0;
    const KernelJit kernel = attentionKernel(*GetParam(), sequence, scratch);
    EXPECT_EQ(kernel.undefined(), "");
    const std::vector<float> out = run(kernel, sequence, scratch, 8, 8);
    const std::vector<double> exact = sequence.exact();
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_NEAR(out[i], exact[i], sequence.bf16 ? 8e-3 : 3e-6)
          << "token " << i / (c.valueSize() * c.group) << " of case with d " << c.size
          << ", elements " << c.elements;
    for (auto [first, rows] : {std::pair(1, 1), std::pair(3, 8), std::pair(2, 7)})
      EXPECT_EQ(out, run(kernel, sequence, scratch, first, rows))
          << "d " << c.size << " tiles of " << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionKernel, testing::ValuesIn(allTargets()), levelName);

} // namespace
