// What kernels are made of: rounding and widening of 16-bit elements, masked lanes, trees over
// lanes.

#include "test/compiler/targets/cpu/KernelTest.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

using namespace moec;
using mlir::Value;

namespace {

class Kernels : public KernelTest {
protected:
  /// `inputs` rounded to bf16 (or f16) and widened again, as vectors and as scalars, which must
  /// agree.
  std::vector<float> roundTrip(std::vector<float> inputs, bool bf16) {
    inputs.resize((inputs.size() + kLanes - 1) / kLanes * kLanes);
    std::vector<float> results[2];
    for (int64_t lanes : {kLanes, int64_t(1)}) {
      KernelJit kernel(
          *GetParam(), "ppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
            mlir::Type type = lanes > 1 ? mlir::Type(kernel.lanes(kernel.f32())) : kernel.f32();
            mlir::Type element = bf16 ? kernel.bf16() : mlir::Type(kernel.builder.getF16Type());
            kernel.loop(kernel.integer(0), arguments[2], lanes, [&](Value i) {
              Value x = kernel.load(type, kernel.address(arguments[0], kernel.f32(), i));
              // Through memory, or the two conversions would be folded.
              kernel.store(kernel.round(element, x), kernel.address(arguments[1], kernel.f32(), i));
              Value rounded = kernel.load(lanes > 1 ? mlir::Type(kernel.lanes(element)) : element,
                                          kernel.address(arguments[1], kernel.f32(), i));
              kernel.store(kernel.widen(rounded), kernel.address(arguments[1], kernel.f32(), i));
            });
          });
      std::vector<float> &result = results[lanes == 1];
      result.resize(inputs.size());
      kernel(inputs, result, inputs.size());
    }
    EXPECT_EQ(0, std::memcmp(results[0].data(), results[1].data(), inputs.size() * 4))
        << "vector and scalar differ";
    return results[0];
  }
};

float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

TEST_P(Kernels, RoundToBf16ToNearestEven) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<uint32_t, uint32_t>> cases = {
      {0x3f800000, 0x3f800000}, {0x3f808000, 0x3f800000}, {0x3f808001, 0x3f810000},
      {0x3f818000, 0x3f820000}, {0xbf807fff, 0xbf800000}, {0x7f7fffff, 0x7f800000},
      {0x80000000, 0x80000000}, {0x00800000, 0x00800000}};
  std::vector<float> inputs;
  for (auto [bits, rounded] : cases)
    inputs.push_back(fromBits(bits));
  inputs.insert(inputs.end(), {infinity, -infinity, NAN, fromBits(0x7f800001)});
  const std::vector<float> results = roundTrip(inputs, /*bf16=*/true);
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(results[i], fromBits(cases[i].second)) << std::hex << cases[i].first;
  EXPECT_EQ(results[8], infinity);
  EXPECT_EQ(results[9], -infinity);
  EXPECT_TRUE(std::isnan(results[10]));
  EXPECT_TRUE(std::isnan(results[11]));
}

TEST_P(Kernels, RoundToF16) {
  const std::vector<float> results =
      roundTrip({1, 1.00048828125f, 1.0005f, 65520, 1e-8f}, /*bf16=*/false);
  EXPECT_EQ(results[0], 1);
  EXPECT_EQ(results[1], 1); // half a place, to even
  EXPECT_EQ(results[2], 1.0009765625f);
  EXPECT_EQ(results[3], std::numeric_limits<float>::infinity());
  EXPECT_EQ(results[4], 0);
}

TEST_P(Kernels, TouchOnlyTheLanesThatExist) {
  for (bool bf16 : {false, true})
    for (int64_t count : {1, 7, 15, 16}) {
      KernelJit kernel(*GetParam(), "pp",
                       [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
                         mlir::Type element = bf16 ? kernel.bf16() : kernel.f32();
                         Value read = kernel.loadLanes(element, arguments[0], count);
                         kernel.storeLanes(read, arguments[1], count);
                         // All lanes, to see that the others are zero.
                         kernel.store(read, kernel.address(arguments[1], 16 * bytesOf(element)));
                       });
      const int64_t bytes = bf16 ? 2 : 4;
      std::vector<uint8_t> from(16 * bytes, 1), to(32 * bytes, 2), wanted(32 * bytes, 2);
      std::fill_n(wanted.begin(), count * bytes, 1);
      std::fill_n(wanted.begin() + 16 * bytes, 16 * bytes, 0);
      std::fill_n(wanted.begin() + 16 * bytes, count * bytes, 1);
      kernel(from, to);
      EXPECT_EQ(to, wanted) << count << (bf16 ? " bf16" : " f32");
    }
}

TEST_P(Kernels, FoldLanes) {
  KernelJit kernel(*GetParam(), "pp", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    Value read = kernel.load(kernel.lanes(kernel.f32()), arguments[0]);
    kernel.store(kernel.sumOfLanes(read), arguments[1]);
    kernel.store(kernel.maxOfLanes(read), kernel.address(arguments[1], 4));
  });
  std::vector<float> from(16), to(2);
  std::iota(from.begin(), from.end(), -20.0f);
  kernel(from, to);
  EXPECT_EQ(to, (std::vector<float>{-200, -5}));
}

TEST_P(Kernels, DispatchRunsTheCaseOrNothing) {
  KernelJit kernel(*GetParam(), "pi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    kernel.dispatch(arguments[1], 2, 4,
                    [&](int64_t value) { kernel.store(kernel.integer(value), arguments[0]); });
  });
  for (int64_t value = 0; value < 7; ++value) {
    int64_t stored = -1;
    kernel(std::span(&stored, 1), value);
    EXPECT_EQ(stored, value >= 2 && value <= 4 ? value : -1);
  }
}

TEST_P(Kernels, CallsOfOneNameShareAFunction) {
  int bodies = 0;
  KernelJit kernel(*GetParam(), "pi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    for (int64_t i : {0, 1}) {
      Value to = kernel.address(arguments[0], 8 * i);
      kernel.call("twice", {to, arguments[1]},
                  [&](CpuKernelBuilder &inside, mlir::ValueRange given) {
                    ++bodies;
                    inside.store(inside.add(given[1], given[1]), given[0]);
                  });
    }
  });
  std::vector<int64_t> stored(2);
  kernel(stored, 21);
  EXPECT_EQ(stored, (std::vector<int64_t>{42, 42}));
  EXPECT_EQ(bodies, 1);
}

TEST_P(Kernels, ScratchIsTakenOnceAndAligned) {
  KernelJit kernel(*GetParam(), "p", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    kernel.loop(kernel.integer(0), kernel.integer(2), 1, [&](Value i) {
      kernel.store(kernel.scratch(100), kernel.address(arguments[0], kernel.pointer(), i));
    });
  });
  std::vector<uintptr_t> places(2);
  kernel(places);
  EXPECT_EQ(places[0], places[1]);
  EXPECT_EQ(places[0] % 64, 0u);
}

INSTANTIATE_TEST_SUITE_P(Levels, Kernels, testing::ValuesIn(allTargets()), levelName);

TEST(CpuTargets, AreFoundByName) {
  EXPECT_EQ((*findCpuTarget("avx2"))->processor, "x86-64-v3");
  const Result<const CpuTarget *> unknown = findCpuTarget("pentium");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().code, Code::Usage);
  EXPECT_NE(unknown.status().message.find("'pentium'; wanted native, a level (avx2, avx512, "),
            std::string::npos)
      << unknown.status().message;
}

TEST(CpuTargets, ACpuByNameHasItsBestLevel) {
  for (auto [name, level] :
       {std::pair("haswell", "avx2"), std::pair("znver3", "avx2"), std::pair("knl", "avx2"),
        std::pair("skylake-avx512", "avx512"), std::pair("znver4", "avx512bf16"),
        std::pair("x86-64-v3", "avx2"), std::pair("x86-64-v4", "avx512"),
        std::pair("cooperlake", "avx512bf16"), std::pair("sapphirerapids", "amx"),
        std::pair("neoverse-n1", "neon"), std::pair("apple-m1", "neon"),
        std::pair("neoverse-v2", "neonbf16"), std::pair("apple-m2", "neonbf16")}) {
    const Result<const CpuTarget *> found = findCpuTarget(name);
    ASSERT_TRUE(found.ok()) << found.status().message;
    EXPECT_EQ((*found)->level, level) << name;
  }
  const Status old = findCpuTarget("ivybridge").status();
  EXPECT_EQ(old.code, Code::Unsupported);
  EXPECT_NE(old.message.find("the CPU 'ivybridge' lacks what level 'avx2' needs: avx2 bmi bmi2 "
                             "fma lzcnt movbe"),
            std::string::npos)
      << old.message;
}

TEST(CpuTargets, SeveralComeInTheTablesOrderEachOnce) {
  const Result<std::vector<const CpuTarget *>> found =
      findCpuTargets("znver4,avx2,sapphirerapids,haswell");
  ASSERT_TRUE(found.ok()) << found.status().message;
  EXPECT_EQ(levelNames(*found), "avx2,avx512bf16,amx");
  const Status mixed = findCpuTargets("avx2,neoverse-n1").status();
  EXPECT_EQ(mixed.code, Code::Usage);
  EXPECT_EQ(mixed.message, "a program is for one architecture: level 'avx2' is for x86_64, level "
                           "'neon' for aarch64");
  for (const char *names : {"", "avx2,", "avx2,,avx512", "avx2 avx512"})
    EXPECT_EQ(findCpuTargets(names).status().code, Code::Usage) << names;
}

TEST(CpuTargets, NativeIsOneThatRunsHere) {
  const Result<const CpuTarget *> native = findCpuTarget("native");
  if (!native.ok())
    GTEST_SKIP() << native.status().message;
  EXPECT_TRUE(runsHere(**native));
}

TEST(CpuTargets, ALevelNeedsAllThatThoseBelowDo) {
  auto names = [](llvm::StringRef level) {
    std::string text;
    for (const CpuFeature &feature : (*findCpuTarget(level))->needed())
      text += (text.empty() ? "" : " ") + feature.cpuinfo.str();
    return text;
  };
  EXPECT_EQ(names("avx512vnni"), "avx avx2 bmi1 bmi2 f16c fma abm movbe popcnt avx512f avx512bw "
                                 "avx512cd avx512dq avx512vl avx512_vnni");
  EXPECT_EQ(names("neonbf16"), "asimd asimddp bf16 i8mm");
}

} // namespace
