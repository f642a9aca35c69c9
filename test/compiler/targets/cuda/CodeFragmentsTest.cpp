// What registers are made of codes: every code of every format in every place of a word, against
// what the formats say that codes stand for.

#include "compiler/targets/cuda/CodeFragments.h"
#include "compiler/analysis/BandLayout.h"
#include "test/compiler/emit/Float8.h"
#include "test/compiler/targets/cpu/KernelJit.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>

using namespace moec;
using mlir::Value;

namespace {

/// What `body` makes of each record of `width` words: `count` words.
std::vector<uint32_t>
makeOf(std::vector<uint32_t> records, size_t width, size_t count,
       std::function<std::vector<Value>(KernelBuilder &, const std::vector<Value> &)> body) {
  const KernelJit kernel(
      cpuTargets().front(), "ppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
        auto wordAt = [&](Value base, Value record, size_t size, size_t i) {
          Value at = kernel.mul(record, kernel.integer(int64_t(size)));
          return kernel.address(base, kernel.i32(), kernel.add(at, kernel.integer(int64_t(i))));
        };
        kernel.loop(kernel.integer(0), arguments[2], 1, [&](Value record) {
          std::vector<Value> words;
          for (size_t i = 0; i < width; ++i)
            words.push_back(kernel.load(kernel.i32(), wordAt(arguments[0], record, width, i)));
          const std::vector<Value> made = body(kernel, words);
          for (size_t i = 0; i < count; ++i)
            kernel.store(made[i], wordAt(arguments[1], record, count, i));
        });
      });
  std::vector<uint32_t> out(records.size() / width * count);
  kernel(records, out, int64_t(records.size() / width));
  return out;
}

/// The bf16 element in half `half` of a pair.
double element(uint32_t pair, int half) { return std::bit_cast<float>(pair >> (16 * half) << 16); }

uint32_t byteOf(uint32_t word, int byte) { return word >> (8 * byte) & 255; }

class CodeFragments : public testing::Test {
protected:
  void SetUp() override {
    if (!runsHere(cpuTargets().front()))
      GTEST_SKIP() << "nothing here runs level " << cpuTargets().front().level.str();
  }
};

/// Words that have every byte in every place.
std::vector<uint32_t> allBytes() {
  std::vector<uint32_t> words;
  for (uint32_t i = 0; i < 256; ++i)
    words.push_back(i | (i + 91) % 256 << 8 | (i + 17) % 256 << 16 | (i + 160) % 256 << 24);
  return words;
}

TEST_F(CodeFragments, OfFp8AreTheNumbersOfCodes) {
  const std::vector<uint32_t> words = allBytes();
  const std::vector<uint32_t> pairs =
      makeOf(words, 1, 2, [](KernelBuilder &kernel, const std::vector<Value> &own) {
        const std::array<Value, 2> made = emitFloat8Pairs(kernel, own[0]);
        return std::vector<Value>(made.begin(), made.end());
      });
  for (size_t i = 0; i < words.size(); ++i)
    for (int byte = 0; byte < 4; ++byte) {
      const double found = element(pairs[2 * i + size_t(byte % 2)], byte / 2);
      const double wanted = float8(byteOf(words[i], byte));
      EXPECT_EQ(found, wanted) << "code " << byteOf(words[i], byte) << " in byte " << byte;
      EXPECT_EQ(std::signbit(found), std::signbit(wanted));
    }
}

TEST_F(CodeFragments, OfMxfp4AreTheNumbersOfCodesTimesScales) {
  const double floats[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  std::vector<uint32_t> records;
  // Exponents of which the products are in the range of bf16: from denormals to the largest.
  for (uint32_t exponents : {0x7f807e01u, 0xfc030264u, 0x00c8457fu, 0x01fc0002u})
    for (uint32_t word : allBytes())
      records.insert(records.end(), {word, exponents});
  for (int number = 0; number < 4; ++number) {
    const std::vector<uint32_t> pairs =
        makeOf(records, 2, 4, [&](KernelBuilder &kernel, const std::vector<Value> &own) {
          Value scale = emitFloat4Scale(kernel, own[1], number);
          std::vector<Value> made;
          for (int64_t j = 0; j < 4; ++j)
            made.push_back(emitFloat4Pair(kernel, own[0], j, scale));
          return made;
        });
    for (size_t i = 0; i < pairs.size(); ++i)
      for (int half = 0; half < 2; ++half) {
        const uint32_t word = records[i / 4 * 2], exponent = byteOf(records[i / 4 * 2 + 1], number);
        const uint32_t code = word >> (16 * half + 4 * (i % 4)) & 15;
        const double scale = exponent ? std::ldexp(1, int(exponent) - 127) : 0;
        EXPECT_EQ(element(pairs[i], half), floats[code & 7] * (code & 8 ? -1 : 1) * scale)
            << "code " << code << " number " << i % 4 << " of half " << half << ", exponent "
            << exponent;
      }
  }
}

/// The codes of a chunk in the order of a band: words of low bits, then those of the others.
std::vector<uint32_t> wordsOf(QuantFormat format, const std::vector<uint32_t> &codes) {
  std::vector<uint8_t> row(size_t(bandRowBytes(format, kQuantChunk)));
  for (int64_t k = 0; k < kQuantChunk; ++k) {
    const uint32_t code = codes[size_t(k)] ^ uint32_t(bandTurned(format));
    const BandCode low = bandCode(format, k);
    row[size_t(low.byte)] |= uint8_t((code & 15) << low.bit);
    if (quantBitsAbove(format) > 0) {
      const BandCode above = bandCodeAbove(format, kQuantChunk, k);
      row[size_t(above.byte)] |= uint8_t(code >> 4 << above.bit);
    }
  }
  std::vector<uint32_t> words;
  for (size_t i = 0; i + 4 <= row.size(); i += 4)
    words.push_back(row[i] | row[i + 1] << 8 | row[i + 2] << 16 | uint32_t(row[i + 3]) << 24);
  return words;
}

TEST_F(CodeFragments, OfIntegersAreCodesLessTheirMiddle) {
  for (QuantFormat format :
       {QuantFormat::Int4, QuantFormat::Int4Asymmetric, QuantFormat::Int5, QuantFormat::Int6}) {
    const auto count = uint32_t(1) << traitsOf(format).bits;
    const auto above = size_t(quantBitsAbove(format));
    std::vector<uint32_t> records, codes; // of each lane the word, those above, and t
    for (uint32_t first = 0; first < count; ++first) {
      std::vector<uint32_t> chunk;
      for (uint32_t k = 0; k < kQuantChunk; ++k)
        chunk.push_back((first + 5 * k) % count);
      const std::vector<uint32_t> words = wordsOf(format, chunk);
      for (uint32_t t = 0; t < 4; ++t) {
        records.push_back(words[t]);
        records.insert(records.end(), words.begin() + 4, words.begin() + 4 + ptrdiff_t(above));
        records.push_back(t);
        for (uint32_t part : {0, 16})
          codes.insert(codes.end(), chunk.begin() + part + 4 * t, chunk.begin() + part + 4 * t + 4);
      }
    }
    const std::vector<uint32_t> made =
        makeOf(records, above + 2, 2, [&](KernelBuilder &kernel, const std::vector<Value> &own) {
          const std::array<Value, 2> found =
              emitIntegers(kernel, format, own[0], llvm::ArrayRef(own).slice(1, above), own.back());
          return std::vector<Value>(found.begin(), found.end());
        });
    ASSERT_EQ(4 * made.size(), codes.size());
    for (size_t i = 0; i < codes.size(); ++i)
      EXPECT_EQ(int8_t(byteOf(made[i / 4], int(i % 4))),
                (int64_t(codes[i]) - int64_t(count / 2)) * integerUnit(format))
          << traitsOf(format).name << " code " << codes[i] << " of lane " << i / 8 % 4;
  }
}

} // namespace
