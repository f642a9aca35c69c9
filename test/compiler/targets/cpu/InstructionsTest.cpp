// What the instructions of each level compute, against loops after their manual: by the machine, or
// by the plain code that stands for them.

#include "test/compiler/targets/cpu/KernelTest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

class Instructions : public KernelTest {
protected:
  const CpuTarget &target = *GetParam();
  std::mt19937 random{7};

  std::vector<uint8_t> bytes(size_t count) {
    std::vector<uint8_t> values(count);
    for (uint8_t &value : values)
      value = uint8_t(random());
    for (size_t i = 0; i < count; i += 5) // so that what does not fit shows
      values[i] = random() % 2 ? 0xff : 0x80;
    return values;
  }

  /// Of small and large exponents, with zeros and denormals among them.
  std::vector<uint16_t> halves(size_t count) {
    std::vector<uint16_t> values(count);
    for (uint16_t &value : values) {
      const int exponent = random() % 4 == 0 ? int(random() % 3) : 50 + int(random() % 40);
      value = uint16_t(random() % 2 << 15 | exponent << 7 | random() % 128);
    }
    return values;
  }

  std::vector<float> floats(size_t count) {
    std::vector<float> values(count);
    for (float &value : values) {
      const uint32_t exponent = random() % 3 == 0 ? 0 : 1 + random() % 60;
      const uint32_t bits = (random() % 2) << 31 | exponent << 23 | random() % (1 << 23);
      std::memcpy(&value, &bits, 4);
    }
    return values;
  }
};

float widen(uint16_t half) {
  const uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

/// A denormal as zero of its sign.
float flush(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? value * 0 : value; }

float flushingFma(uint16_t a, uint16_t b, float sum) {
  return flush(std::fma(flush(widen(a)), flush(widen(b)), flush(sum)));
}

template <typename T> bool sameBits(const std::vector<T> &a, const std::vector<T> &b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

TEST_P(Instructions, DotPairsOfBf16) {
  if (!target.hasBf16Dot() || target.arch != "x86_64")
    GTEST_SKIP() << "the level has no instruction for that, or one with another order";
  const std::vector<float> sums = floats(16);
  const std::vector<uint16_t> a = halves(32), b = halves(32);
  std::vector<float> wanted(16), found(16);
  for (int i = 0; i < 16; ++i)
    wanted[i] = flushingFma(a[2 * i], b[2 * i], flushingFma(a[2 * i + 1], b[2 * i + 1], sums[i]));
  KernelJit kernel(target, "pppp", [](CpuKernelBuilder &kernel, mlir::ValueRange given) {
    const mlir::Type pairs = kernel.lanes(kernel.bf16(), 2 * kLanes);
    Value sum = kernel.load(kernel.lanes(kernel.f32()), given[0]);
    sum = kernel.bf16Dot(sum, kernel.load(pairs, given[1]), kernel.load(pairs, given[2]));
    kernel.store(sum, given[3]);
  });
  kernel(sums, a, b, found);
  EXPECT_TRUE(sameBits(found, wanted));
}

TEST_P(Instructions, DotBytes) {
  const std::vector<uint8_t> a = bytes(64), b = bytes(64);
  const std::vector<int32_t> sums(16, 1000);
  std::vector<int32_t> found(16), wanted(sums);
  if (target.integerDot == IntegerDot::Bytes) {
    for (int i = 0; i < 64; ++i)
      wanted[i / 4] += int32_t(a[i]) * int8_t(b[i]);
    KernelJit kernel(target, "pppp", [](CpuKernelBuilder &kernel, mlir::ValueRange given) {
      const mlir::Type bytes = kernel.lanes(kernel.i8(), 4 * kLanes);
      Value sum = kernel.load(kernel.lanes(kernel.i32()), given[0]);
      kernel.store(kernel.byteDot(sum, kernel.load(bytes, given[1]), kernel.load(bytes, given[2])),
                   given[3]);
    });
    kernel(sums, a, b, found);
  } else if (target.integerDot == IntegerDot::Words) {
    // Pairs of bytes saturate; their sums are multiplied by pairs of words.
    for (int i = 0; i < 64; i += 2) {
      const int32_t pair = int32_t(a[i]) * int8_t(b[i]) + int32_t(a[i + 1]) * int8_t(b[i + 1]);
      int16_t word;
      std::memcpy(&word, &b[i], 2);
      wanted[i / 4] += std::clamp(pair, -32768, 32767) * int32_t(word);
    }
    KernelJit kernel(target, "pppp", [](CpuKernelBuilder &kernel, mlir::ValueRange given) {
      const mlir::Type bytes = kernel.lanes(kernel.i8(), 4 * kLanes);
      Value sum = kernel.load(kernel.lanes(kernel.i32()), given[0]);
      Value a = kernel.load(bytes, given[1]), b = kernel.load(bytes, given[2]);
      kernel.store(kernel.wordDot(sum, kernel.bytePairs(a, b), b), given[3]);
    });
    kernel(sums, a, b, found);
  } else {
    GTEST_SKIP() << "the level has no instruction for that";
  }
  EXPECT_EQ(found, wanted);
}

TEST_P(Instructions, LookUpBytes) {
  std::array<uint8_t, 16> table;
  for (uint8_t &entry : table)
    entry = uint8_t(random());
  std::vector<uint8_t> indices(64), found(64), wanted(64);
  for (int i = 0; i < 64; ++i) {
    indices[i] = random() % 16;
    wanted[i] = table[indices[i]];
  }
  KernelJit kernel(target, "pp", [&](CpuKernelBuilder &kernel, mlir::ValueRange given) {
    Value read = kernel.load(kernel.lanes(kernel.i8(), 4 * kLanes), given[0]);
    kernel.store(kernel.lookUp(table, read), given[1]);
  });
  kernel(indices, found);
  EXPECT_EQ(found, wanted);
}

/// Adds to [rows][16] sums of which rows lie 80 bytes apart, as do all others.
constexpr int64_t kStride = 80;

KernelJit matrixKernel(const CpuTarget &target, int64_t depthBytes, bool integers) {
  return KernelJit(target, "ippp", [=](CpuKernelBuilder &kernel, mlir::ValueRange given) {
    Value rows = mlir::arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i16(), given[0]);
    auto size = [&](int64_t value) { return kernel.integer(kernel.i16(), value); };
    Value stride = kernel.integer(kStride), depth = size(depthBytes), line = size(64);
    Value sums = kernel.matrixLoad({rows, line}, given[1], stride);
    Value a = kernel.matrixLoad({rows, depth}, given[2], stride);
    Value b = kernel.matrixLoad({size(depthBytes / 4), line}, given[3], stride);
    // Twice, so that a loop carries the sums.
    sums = kernel.loop(kernel.integer(0), kernel.integer(2), 1, sums,
                       [&](Value, mlir::ValueRange now) {
                         return mlir::SmallVector<Value>{
                             kernel.matrixDot({rows, line}, depth, now[0], a, b, integers)};
                       })[0];
    kernel.matrixStore({rows, line}, sums, given[1], stride);
  });
}

TEST_P(Instructions, MultiplyMatricesOfBf16) {
  if (!target.hasMatrices())
    GTEST_SKIP() << "the level has no matrix registers";
  const std::vector<uint16_t> a = halves(16 * kStride / 2), b = halves(16 * kStride / 2);
  for (auto [rows, depthBytes] : {std::pair(16, 64), std::pair(5, 32), std::pair(1, 64)}) {
    std::vector<float> found = floats(16 * kStride / 4), wanted = found;
    for (int time = 0; time < 2; ++time)
      for (int m = 0; m < rows; ++m)
        for (int n = 0; n < 16; ++n) {
          float first = 0, second = 0;
          for (int k = 0; k < depthBytes / 4; ++k) {
            const uint16_t *left = &a[m * kStride / 2 + 2 * k],
                           *right = &b[k * kStride / 2 + 2 * n];
            first = flushingFma(left[0], right[0], first);
            second = flushingFma(left[1], right[1], second);
          }
          float &sum = wanted[m * kStride / 4 + n];
          sum = flush(flush(sum) + flush(first + second));
        }
    matrixKernel(target, depthBytes, /*integers=*/false)(rows, found, a, b);
    EXPECT_TRUE(sameBits(found, wanted)) << rows << " rows";
  }
}

TEST_P(Instructions, MultiplyMatricesOfBytes) {
  if (!target.hasMatrices())
    GTEST_SKIP() << "the level has no matrix registers";
  const std::vector<uint8_t> a = bytes(16 * kStride), b = bytes(16 * kStride);
  for (auto [rows, depthBytes] : {std::pair(16, 64), std::pair(5, 32), std::pair(1, 64)}) {
    std::vector<int32_t> found(16 * kStride / 4, 1000), wanted = found;
    for (int m = 0; m < rows; ++m)
      for (int n = 0; n < 16; ++n)
        for (int k = 0; k < depthBytes; ++k)
          wanted[m * kStride / 4 + n] +=
              2 * int32_t(int8_t(a[m * kStride + k])) * b[k / 4 * kStride + 4 * n + k % 4];
    matrixKernel(target, depthBytes, /*integers=*/true)(rows, found, a, b);
    EXPECT_EQ(found, wanted) << rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Instructions, testing::ValuesIn(allTargets()), levelName);

} // namespace
