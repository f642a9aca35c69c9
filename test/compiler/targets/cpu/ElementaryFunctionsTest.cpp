// The elementary functions against libm in double precision, as vectors and as scalars.

#include "compiler/targets/ElementaryFunctions.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <cmath>
#include <functional>
#include <limits>

using namespace moec;
using mlir::Value;

namespace {

using Emit = std::function<llvm::SmallVector<Value>(CpuKernelBuilder &, Value)>;

class ElementaryFunctions : public KernelTest {
protected:
  /// The first (or second) result of `emit` for each input; both vector and scalar code, which must
  /// agree.
  std::vector<float> run(std::vector<float> inputs, const Emit &emit, int which = 0) {
    const int64_t count = inputs.size();
    inputs.resize((count + kLanes - 1) / kLanes * kLanes);
    std::vector<float> outputs(inputs.size()), scalars(inputs.size());
    for (bool vector : {true, false}) {
      KernelJit kernel(
          *GetParam(), "ppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
            mlir::Type type = vector ? mlir::Type(kernel.lanes(kernel.f32())) : kernel.f32();
            kernel.loop(kernel.integer(0), arguments[2], vector ? kLanes : 1, [&](Value i) {
              Value x = kernel.load(type, kernel.address(arguments[0], kernel.f32(), i));
              kernel.store(emit(kernel, x)[which], kernel.address(arguments[1], kernel.f32(), i));
            });
          });
      EXPECT_EQ(kernel.undefined(), "") << "calls a library";
      kernel(inputs, vector ? outputs : scalars, inputs.size());
    }
    outputs.resize(count);
    for (int64_t i = 0; i < count; ++i)
      EXPECT_TRUE(outputs[i] == scalars[i] || std::isnan(outputs[i]))
          << "vector and scalar differ at " << inputs[i];
    return outputs;
  }
};

std::vector<float> range(float first, float last, int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i <= count; ++i)
    values.push_back(first + (last - first) * i / count);
  return values;
}

constexpr float infinity = std::numeric_limits<float>::infinity();

template <Value (*emit)(KernelBuilder &, Value)>
llvm::SmallVector<Value> one(CpuKernelBuilder &kernel, Value x) {
  return {emit(kernel, x)};
}

TEST_P(ElementaryFunctions, ExpIsExactToTwoTenMillionths) {
  const std::vector<float> x = range(-87, 88.7f, 20000), y = run(x, one<emitExp>);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(y[i] / std::exp(double(x[i])), 1, 2e-7) << x[i];
}

TEST_P(ElementaryFunctions, ExpOfSpecialValues) {
  const std::vector<float> y =
      run({0, -0.0f, -infinity, infinity, 89, -105, -std::numeric_limits<float>::max(), NAN},
          one<emitExp>);
  EXPECT_EQ(y[0], 1);
  EXPECT_EQ(y[1], 1);
  EXPECT_EQ(y[2], 0);
  EXPECT_EQ(y[3], infinity);
  EXPECT_EQ(y[4], infinity);
  EXPECT_EQ(y[5], 0);
  EXPECT_EQ(y[6], 0);
  EXPECT_TRUE(std::isnan(y[7]));
}

TEST_P(ElementaryFunctions, Exp2OfMinusIsExactToTwoTenMillionths) {
  const std::vector<float> x = range(-126, 0, 20000), y = run(x, one<emitExp2OfMinus>);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(y[i] / std::exp2(double(x[i])), 1, 2e-7) << x[i];
  const std::vector<float> special =
      run({0, -0.0f, -130, -std::numeric_limits<float>::max(), NAN}, one<emitExp2OfMinus>);
  EXPECT_EQ(special[0], 1);
  EXPECT_EQ(special[1], 1);
  EXPECT_EQ(special[2], std::exp2(-126.0f));
  EXPECT_EQ(special[3], std::exp2(-126.0f));
  EXPECT_TRUE(std::isnan(special[4]));
}

TEST_P(ElementaryFunctions, LogIsExactToAMillionth) {
  std::vector<float> x = range(1e-3f, 3, 20000);
  for (float large : {1e-30f, 0.70710677f, 0.70710683f, 1.4142135f, 1281.0f, 16777216.0f, 1e30f})
    x.push_back(large);
  const std::vector<float> l = run(x, one<emitLog>);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(l[i], std::log(double(x[i])), 1e-6 * std::abs(std::log(double(x[i])))) << x[i];
  EXPECT_EQ(run({1.0f}, one<emitLog>)[0], 0);
}

TEST_P(ElementaryFunctions, SigmoidAndSilu) {
  const std::vector<float> x = range(-80, 80, 20000), s = run(x, one<emitSigmoid>),
                           t = run(x, one<emitSilu>);
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = 1 / (1 + std::exp(-double(x[i])));
    ASSERT_NEAR(s[i] / exact, 1, 1e-6) << x[i];
    ASSERT_NEAR(t[i], x[i] * exact, 1e-6 * std::abs(x[i] * exact)) << x[i];
  }
  EXPECT_EQ(run({-1e30f}, one<emitSilu>)[0], 0);
}

TEST_P(ElementaryFunctions, ErfAndGelu) {
  const std::vector<float> x = range(-6, 6, 20000), e = run(x, one<emitErf>),
                           g = run(x, one<emitGelu>), t = run(x, one<emitGeluTanh>);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(e[i], std::erf(double(x[i])), 2e-7) << x[i];
    ASSERT_NEAR(g[i], x[i] * (1 + std::erf(x[i] * M_SQRT1_2)) / 2, 1e-6) << x[i];
    const double y = double(x[i]), inside = std::sqrt(2 / M_PI) * (y + 0.044715 * y * y * y);
    ASSERT_NEAR(t[i], y * (1 + std::tanh(inside)) / 2, 1e-6) << x[i];
  }
  EXPECT_EQ(run({infinity, -1e30f}, one<emitErf>), (std::vector<float>{1, -1}));
  EXPECT_EQ(run({1e30f, 0}, one<emitGeluTanh>), (std::vector<float>{1e30f, 0}));
}

TEST_P(ElementaryFunctions, RsqrtRoundsRootAndQuotient) {
  const std::vector<float> x = range(1e-6f, 1e6f, 5000), y = run(x, one<emitRsqrt>);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_EQ(y[i], 1.0f / std::sqrt(x[i])) << x[i];
}

TEST_P(ElementaryFunctions, SineAndCosineOfLargeAngles) {
  std::vector<float> x = range(-10, 10, 5000);
  for (float position : {4095.0f, 32767.0f, 131071.0f, 1000000.0f, 9999999.0f})
    for (int i = 0; i < 64; ++i) { // the angles of rotary embeddings
      x.push_back(position * std::pow(10000.0f, -i / 64.0f));
      x.push_back(-x.back());
    }
  const Emit emit = [](CpuKernelBuilder &kernel, Value angle) {
    const SinCos both = emitSinCos(kernel, angle);
    return llvm::SmallVector<Value>{both.sine, both.cosine};
  };
  const std::vector<float> sine = run(x, emit, 0), cosine = run(x, emit, 1);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(sine[i], std::sin(double(x[i])), 1e-7) << x[i];
    ASSERT_NEAR(cosine[i], std::cos(double(x[i])), 1e-7) << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, ElementaryFunctions, testing::ValuesIn(allTargets()), levelName);

} // namespace
