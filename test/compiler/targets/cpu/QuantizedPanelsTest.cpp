// Products with quantised weights against sums in double precision, for every level that this
// machine runs.

#include "compiler/targets/cpu/MatmulKernel.h"
#include "test/compiler/emit/Float8.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <cmath>
#include <cstring>
#include <ostream>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

/// What the rows are of.
enum class Activation { I8, F32, BF16 };

/// The types of a product.
struct Operands {
  QuantFormat format;
  Activation activation;

  std::string name() const {
    return std::string(traitsOf(format).name) + (activation == Activation::F32    ? "_f32"
                                                 : activation == Activation::BF16 ? "_bf16"
                                                                                  : "");
  }
};

/// Names the types where tests are listed.
void PrintTo(const Operands &operands, std::ostream *out) { *out << operands.name(); }

/// A random product: activations and quantised weights as bytes, and what they come to.
struct QuantizedProduct {
  Activation activation;
  QuantFormat format;
  int64_t rows, depth, columns;
  std::vector<uint8_t> activations, panels;
  std::vector<double> exact, magnitude; // sums, and sums of absolute products, [rows][columns]

  QuantizedProduct(Operands operands, int64_t rows, int64_t depth, int64_t columns)
      : activation(operands.activation), format(operands.format), rows(rows), depth(depth),
        columns(columns), activations(rows * rowBytes()),
        panels(quantMatrixBytes(format, columns, depth)), exact(rows * columns),
        magnitude(rows * columns) {
    const QuantTraits &traits = traitsOf(format);
    const int64_t group = quantGroup(format, depth), groups = quantGroups(format, depth);
    std::mt19937 random(depth * 1009 + columns);
    auto pick = [&](int64_t least, int64_t most) {
      return std::uniform_int_distribution<int64_t>(least, most)(random);
    };
    std::vector<double> a(rows * groups * group);
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t g = 0; g < groups; ++g) {
        // Floats are of so few bits that each fits bf16.
        const float scale =
            std::ldexp(activation == Activation::I8 ? float(pick(1, 1000)) : 1, -10);
        int32_t sum = 0;
        for (int64_t k = 0; k < group; ++k) {
          const bool exists = g * group + k < depth;
          // The largest magnitudes too, so that sums which do not fit their type show.
          const int64_t value = !exists           ? 0
                                : pick(0, 3) == 0 ? 127 - 254 * pick(0, 1)
                                                  : pick(-127, 127);
          const float element = float(value) * scale;
          if (activation == Activation::I8)
            activations[m * rowBytes() + g * (group + kBlockTailBytes) + k] = uint8_t(value);
          else if (exists) // bf16 is the upper half of f32
            std::memcpy(&activations[m * rowBytes() + (g * group + k) * elementBytes()],
                        reinterpret_cast<const uint8_t *>(&element) + 4 - elementBytes(),
                        size_t(elementBytes()));
          sum += int32_t(value);
          a[(m * groups + g) * group + k] = double(element);
        }
        if (activation != Activation::I8)
          continue;
        uint8_t *tail = &activations[m * rowBytes() + g * (group + kBlockTailBytes) + group];
        std::memcpy(tail, &scale, 4);
        std::memcpy(tail + 4, &sum, 4);
      }
    std::vector<float> shared(groups); // the scales that rows share, of the 16 at hand
    for (int64_t n = 0; n < columns; ++n) {
      const int64_t first = n / 48 * 48,
                    width = std::min<int64_t>(48, (columns - first + 15) / 16 * 16);
      for (int64_t g = 0; g < groups; ++g) {
        uint8_t *record = &panels[first * quantDepthBytes(format, depth) +
                                  g * width * quantGroupBytes(format, depth)];
        const int64_t existing = std::min(group, (depth - g * group + 3) / 4 * 4);
        uint8_t *scales =
            record + width * (traits.codes == QuantCodes::Floats8 ? existing
                                                                  : quantCodeBytes(format, depth));
        const _Float16 scale = _Float16(std::ldexp(float(pick(1, 1000)), -12));
        const int exponent = int(pick(110, 140));
        const bool sharesScale = traits.scaleRows > 1 && n % traits.scaleRows > 0;
        const float wide = shared[g] = sharesScale ? shared[g] : float(scale);
        if (traits.codes == QuantCodes::Floats4)
          scales[n - first] = uint8_t(exponent);
        else if (traits.codes == QuantCodes::Floats8)
          std::memcpy(scales + (traits.scaleRows == 1 ? 4 * (n - first)
                                                      : (n - first) / 16 * 16 + n % 4 * 4),
                      &wide, 4);
        else
          std::memcpy(scales + 2 * (n - first), &scale, 2);
        double zero = double(traits.zero);
        if (traits.hasZeros) {
          const int64_t steps = pick(0, 255);
          scales[2 * width + n - first] = uint8_t(steps);
          zero = double(steps) / 16;
        }
        for (int64_t k = 0; k < (traits.codes == QuantCodes::Floats8 ? existing : group); ++k) {
          const int64_t most = (1 << traits.bits) - 1, any = pick(0, 3) == 0 ? most : pick(0, most),
                        code =
                            traits.codes == QuantCodes::Floats8 && any % 128 == 127 ? any - 1 : any;
          auto byteOf = [&](int64_t word) -> uint8_t & {
            return record[(word * width + n - first) * 4 + k % 4];
          };
          if (traits.codes == QuantCodes::Floats8) {
            record[(k / 2 * width + n - first) * 2 + k % 2] = uint8_t(code);
          } else if (traits.bits == 8) {
            byteOf(k / 4) = uint8_t(code);
          } else { // groups of 32
            const int64_t above = traits.bits - 4, bit = k / 4 * above;
            byteOf(k / 8) |= (code & 15) << (k % 8 < 4 ? 0 : 4);
            if (above > 0)
              byteOf(4 + bit / 8) |= code >> 4 << bit % 8;
          }
          const double floats[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
          const double weight =
              traits.codes == QuantCodes::Floats4
                  ? floats[code & 7] * (code & 8 ? -1 : 1) * std::ldexp(1, exponent - 127)
              : traits.codes == QuantCodes::Floats8 ? float8(code) * double(wide)
                                                    : (double(code) - zero) * double(scale);
          for (int64_t m = 0; m < rows; ++m) {
            const double term = a[(m * groups + g) * group + k] * weight;
            exact[m * columns + n] += term;
            magnitude[m * columns + n] += std::abs(term);
          }
        }
      }
    }
  }

  int64_t elementBytes() const {
    return activation == Activation::I8 ? 1 : activation == Activation::BF16 ? 2 : 4;
  }
  int64_t rowElements() const {
    return activation == Activation::I8 ? quantizedColumns(depth, quantGroup(format, depth))
                                        : depth;
  }
  int64_t rowBytes() const { return rowElements() * elementBytes(); }
};

/// kernel(activations, rows, weights, sums, indices, number): all panels of product `number`, sums
/// stored as f32; as many as there are products stands for the last one with rows at indices. One
/// kernel for all, since the function that products of the same types share takes nearly all of the
/// time to compile.
KernelJit productKernel(const CpuTarget &target, std::span<const QuantizedProduct> products) {
  return KernelJit(target, "pipppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    kernel.builder.getContext()->loadDialect<lm::LmDialect>();
    kernel.dispatch(arguments[5], 0, int64_t(products.size()), [&](int64_t number) {
      const bool gathered = number == int64_t(products.size());
      const QuantizedProduct &product = gathered ? products.back() : products[number];
      const ActivationRows rows{.base = arguments[0],
                                .element = product.activation == Activation::I8     ? kernel.i8()
                                           : product.activation == Activation::BF16 ? kernel.bf16()
                                                                                    : kernel.f32(),
                                .stride = kernel.integer(product.rowElements()),
                                .count = arguments[1],
                                .indices = gathered ? arguments[4] : Value()};
      const auto element = lm::QuantizedType::get(kernel.builder.getContext(),
                                                  static_cast<lm::QuantFormat>(product.format));
      emitPanels(kernel, element, product.depth, product.columns, {arguments[2]}, kernel.integer(0),
                 kernel.integer(panelCount(product.columns)),
                 [&](mlir::ArrayRef<Value> panels, Value column, const PanelShape &shape) {
                   emitPanelProduct(
                       kernel, rows, shape, panels,
                       [&](Value row, Value offset, int64_t lanes, mlir::ArrayRef<Value> sums) {
                         Value at = kernel.mul(row, kernel.integer(product.columns));
                         at = kernel.add(at, kernel.add(column, offset));
                         kernel.storeLanes(sums[0], kernel.address(arguments[3], kernel.f32(), at),
                                           lanes);
                       });
                 });
    });
  });
}

/// Sums of a product by the code of number `number`.
std::vector<float> run(const KernelJit &kernel, size_t number, const QuantizedProduct &product,
                       int64_t firstRow, int64_t rows, const std::vector<int32_t> &indices = {}) {
  std::vector<float> sums(rows * product.columns + 16, 77);
  kernel(std::span(product.activations).subspan(firstRow * product.rowBytes()), rows,
         product.panels, sums, indices, number);
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(sums[rows * product.columns + i], 77) << "stored past the last column";
  sums.resize(rows * product.columns);
  return sums;
}

class QuantizedPanels : public testing::TestWithParam<std::tuple<const CpuTarget *, Operands>> {
protected:
  void SetUp() override {
    if (!runsHere(target))
      GTEST_SKIP() << "nothing here runs level " << target.level.str();
  }

  const CpuTarget &target = *std::get<0>(GetParam());
  const Operands operands = std::get<1>(GetParam());

  /// Floats by floats of 4 bits come in whole groups.
  int64_t wholeDepth(int64_t depth) const {
    const bool isWhole =
        operands.activation != Activation::I8 && operands.format == QuantFormat::Mxfp4;
    return isWhole ? roundUpTo(depth, quantGroup(operands.format, depth)) : depth;
  }
};

TEST_P(QuantizedPanels, EqualTheExactSumsInEveryBatchAndGathered) {
  constexpr int64_t most = 19;
  const struct {
    int64_t rows, depth, columns;
  } shapes[] = {{7, 1, 1}, {7, 33, 50}, {7, 64, 48}, {7, 520, 100}, {most, 300, 70}, {9, 70, 20}};
  std::vector<QuantizedProduct> products;
  for (auto [rows, depth, columns] : shapes)
    products.emplace_back(operands, rows, wholeDepth(depth), columns);
  const KernelJit kernel = productKernel(target, products);

  std::vector<std::vector<float>> all;
  for (const QuantizedProduct &product : products) {
    const std::vector<float> &sums =
        all.emplace_back(run(kernel, all.size(), product, 0, product.rows));
    for (int64_t i = 0; i < product.rows * product.columns; ++i)
      ASSERT_NEAR(sums[i], product.exact[i], 1e-5 * (product.magnitude[i] + 1e-3))
          << "K " << product.depth << " N " << product.columns << " row " << i / product.columns
          << " column " << i % product.columns;
  }

  const size_t batch = products.size() - 2, scattered = products.size() - 1;
  for (int64_t rows = 0; rows <= most; ++rows) {
    const std::vector<float> some = run(kernel, batch, products[batch], most - rows, rows);
    EXPECT_EQ(
        0, std::memcmp(some.data(), &all[batch][(most - rows) * 70], some.size() * sizeof(float)))
        << rows << " rows";
  }

  const std::vector<int32_t> indices = {8, 0, 0, 5, 7, 1, 2, 6};
  const std::vector<float> some =
      run(kernel, products.size(), products[scattered], 0, int64_t(indices.size()), indices);
  for (size_t row = 0; row < indices.size(); ++row)
    EXPECT_EQ(0,
              std::memcmp(&some[row * 20], &all[scattered][indices[row] * 20], 20 * sizeof(float)))
        << "row " << row;
}

TEST(QuantFormats, AreThoseOfTheDialect) {
  for (size_t i = 0; i < std::size(kQuantFormats); ++i) {
    EXPECT_EQ(size_t(kQuantFormats[i].format), i);
    EXPECT_EQ(lm::stringifyQuantFormat(static_cast<lm::QuantFormat>(i)).str(),
              kQuantFormats[i].name);
  }
}

/// The lowest level as if it had no instruction for integers, so that what stands for one is run.
const CpuTarget &levelWithoutDot() {
  static const CpuTarget level = [] {
    CpuTarget copy = cpuTargets().front();
    copy.level = "plain";
    copy.integerDot = IntegerDot::None;
    return copy;
  }();
  return level;
}

std::vector<Operands> allOperands() {
  std::vector<Operands> all;
  for (const QuantTraits &traits : kQuantFormats) {
    if (traits.codes != QuantCodes::Floats8)
      all.push_back({traits.format, Activation::I8});
    if (traits.codes != QuantCodes::Integers)
      for (Activation activation : {Activation::F32, Activation::BF16})
        if (traits.scaleRows == 1 ||
            activation == Activation::F32) // codes are read as those of fp8
          all.push_back({traits.format, activation});
  }
  return all;
}

std::vector<std::tuple<const CpuTarget *, Operands>> allCases() {
  std::vector<std::tuple<const CpuTarget *, Operands>> all;
  for (const Operands &operands : allOperands()) {
    if (operands.activation == Activation::I8) // of floats the code is the lowest level's
      all.emplace_back(&levelWithoutDot(), operands);
    for (const CpuTarget *target : allTargets())
      all.emplace_back(target, operands);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Levels, QuantizedPanels, testing::ValuesIn(allCases()),
                         [](const auto &info) {
                           return std::get<0>(info.param)->level.str() + "_" +
                                  std::get<1>(info.param).name();
                         });

} // namespace
