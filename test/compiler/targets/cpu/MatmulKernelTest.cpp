// The product kernels against sums in double precision, for every level that runs here.

#include "compiler/targets/cpu/MatmulKernel.h"
#include "test/compiler/targets/cpu/KernelTest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

using namespace moec;
using mlir::Value;

namespace {

enum class Element { F32, BF16, F16 };

mlir::Type typeOf(CpuKernelBuilder &kernel, Element element) {
  if (element == Element::F32)
    return kernel.f32();
  return element == Element::BF16 ? kernel.bf16() : mlir::Type(kernel.builder.getF16Type());
}

int64_t sizeOf(Element element) { return element == Element::F32 ? 4 : 2; }

/// Writes `value` as element `index` of `bytes`; returns what it was rounded to.
float put(std::vector<uint8_t> &bytes, int64_t index, float value, Element element) {
  if (element == Element::F32) {
    std::memcpy(&bytes[index * 4], &value, 4);
    return value;
  }
  uint16_t half;
  if (element == Element::BF16) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    half = bits >> 16;
    bits &= 0xffff0000;
    std::memcpy(&value, &bits, 4);
  } else {
    const _Float16 rounded = value;
    std::memcpy(&half, &rounded, 2);
    value = rounded;
  }
  std::memcpy(&bytes[index * 2], &half, 2);
  return value;
}

/// A random product: activations [rows][depth] and weights [columns][depth], as values and as
/// packed bytes.
struct Product {
  int64_t rows, depth, columns;
  Element activation, weight;
  std::vector<uint8_t> activations, panels, stored;
  std::vector<double> exact, magnitude; // sums, and sums of absolute products, [rows][columns]

  Product(int64_t rows, int64_t depth, int64_t columns, Element activation, Element weight)
      : rows(rows), depth(depth), columns(columns), activation(activation), weight(weight),
        activations(rows * depth * sizeOf(activation)), stored(columns * depth * sizeOf(weight)),
        exact(rows * columns), magnitude(rows * columns) {
    std::mt19937 random(rows * 1000003 + depth * 1009 + columns);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> a(rows * depth), b(columns * depth);
    for (int64_t i = 0; i < rows * depth; ++i)
      a[i] = put(activations, i, uniform(random), activation);
    const bool pairs = weight != Element::F32;
    const int64_t wholeDepth = pairs ? (depth + 1) / 2 * 2 : depth;
    panels.resize(panelMatrixBytes(columns, depth, sizeOf(weight)));
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t panel = n / 48,
                      width = panel < columns / 48 ? 48 : panelColumns(columns) - columns / 48 * 48,
                      lane = n % 48;
        const int64_t at = panel * 48 * wholeDepth +
                           (pairs ? (k / 2 * width + lane) * 2 + k % 2 : k * width + lane);
        const float value = uniform(random);
        put(stored, n * depth + k, value, weight);
        b[n * depth + k] = put(panels, at, value, weight);
      }
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t n = 0; n < columns; ++n)
        for (int64_t k = 0; k < depth; ++k) {
          const double term = double(a[m * depth + k]) * b[n * depth + k];
          exact[m * columns + n] += term;
          magnitude[m * columns + n] += std::abs(term);
        }
  }

  void check(const std::vector<float> &sums, const std::string &what) const {
    for (int64_t i = 0; i < rows * columns; ++i)
      ASSERT_NEAR(sums[i], exact[i], 1e-6 * std::sqrt(double(depth)) * (magnitude[i] + 1e-3))
          << what << " row " << i / columns << " column " << i % columns;
  }
};

/// kernel(activations, rows, weights, sums, first panel, last panel, number): all panels of the
/// matrix of product `number`, sums stored as f32. One kernel for all, which are of the same types
/// and so share what takes most of the time to compile.
KernelJit productKernel(const CpuTarget &target, std::span<const Product> products,
                        lm::Layout layout) {
  return KernelJit(target, "pippiii", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
    kernel.dispatch(arguments[6], 0, int64_t(products.size()) - 1, [&](int64_t number) {
      const Product &product = products[number];
      const ActivationRows rows{.base = arguments[0],
                                .element = typeOf(kernel, product.activation),
                                .stride = kernel.integer(product.depth),
                                .count = arguments[1]};
      emitPanels(
          kernel, typeOf(kernel, product.weight), product.depth, product.columns, {arguments[2]},
          arguments[4], arguments[5],
          [&](mlir::ArrayRef<Value> panels, Value column, const PanelShape &shape) {
            emitPanelProduct(
                kernel, rows, shape, panels,
                [&](Value row, Value offset, int64_t lanes, mlir::ArrayRef<Value> sums) {
                  Value at = kernel.mul(row, kernel.integer(product.columns));
                  at = kernel.add(at, kernel.add(column, offset));
                  kernel.storeLanes(sums[0], kernel.address(arguments[3], kernel.f32(), at), lanes);
                });
          },
          layout);
    });
  });
}

std::vector<float> runProduct(const KernelJit &kernel, std::span<const Product> products,
                              size_t number, lm::Layout layout, int64_t firstRow, int64_t rows) {
  const Product &product = products[number];
  std::vector<float> sums(rows * product.columns + 16, 77);
  kernel(
      std::span(product.activations).subspan(firstRow * product.depth * sizeOf(product.activation)),
      rows, layout == lm::Layout::Panels ? product.panels : product.stored, sums, 0,
      panelCount(product.columns), number);
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(sums[rows * product.columns + i], 77) << "stored past the last column";
  sums.resize(rows * product.columns);
  return sums;
}

class MatmulKernel : public testing::TestWithParam<std::tuple<const CpuTarget *, lm::Layout>> {
protected:
  void SetUp() override {
    if (!runsHere(target))
      GTEST_SKIP() << "nothing here runs level " << target.level.str();
  }

  const CpuTarget &target = *std::get<0>(GetParam());
  const lm::Layout layout = std::get<1>(GetParam());
};

constexpr std::pair<Element, Element> elements[] = {
    {Element::F32, Element::F32},   {Element::F32, Element::BF16}, {Element::F32, Element::F16},
    {Element::BF16, Element::BF16}, {Element::BF16, Element::F16}, {Element::BF16, Element::F32}};

TEST_P(MatmulKernel, EqualsTheExactSumsWithTheSameBitsInEveryBatch) {
  for (auto [activation, weight] : elements) {
    std::vector<Product> products;
    products.emplace_back(17, 77, 70, activation, weight);
    if (activation == weight) // small and odd shapes
      for (auto [depth, columns] : {std::pair(1, 1), std::pair(7, 12), std::pair(33, 50)})
        products.emplace_back(5, depth, columns, activation, weight);
    const KernelJit kernel = productKernel(target, products, layout);
    for (size_t i = 0; i < products.size(); ++i)
      products[i].check(runProduct(kernel, products, i, layout, 0, products[i].rows),
                        "K " + std::to_string(products[i].depth) + " N " +
                            std::to_string(products[i].columns));
    const std::vector<float> all = runProduct(kernel, products, 0, layout, 0, 17);
    for (int64_t rows = 0; rows <= 17; ++rows) {
      const std::vector<float> some = runProduct(kernel, products, 0, layout, 17 - rows, rows);
      EXPECT_EQ(0, std::memcmp(some.data(), &all[(17 - rows) * 70], some.size() * sizeof(float)))
          << rows << " rows";
    }
  }
}

TEST_P(MatmulKernel, GathersRowsAndSharesThemBetweenMatrices) {
  constexpr int64_t depth = 40;
  const int32_t indices[] = {8, 0, 0, 5};
  for (Element element : {Element::F32, Element::BF16}) {
    const Product up(9, depth, 48, element, element);
    // The second matrix is compared with itself: any other weights will do.
    const std::vector<uint8_t> &weights = layout == lm::Layout::Panels ? up.panels : up.stored;
    std::vector<uint8_t> others = weights;
    std::rotate(others.begin(), others.begin() + 96, others.end());
    // kernel(activations, indices, rows, weights, others, sums, sums of others, whether gathered)
    const KernelJit kernel(
        target, "ppippppi", [&](CpuKernelBuilder &kernel, mlir::ValueRange arguments) {
          kernel.dispatch(arguments[7], 0, 1, [&](int64_t gathered) {
            const ActivationRows rows{.base = arguments[0],
                                      .element = typeOf(kernel, element),
                                      .stride = kernel.integer(depth),
                                      .count = arguments[2],
                                      .indices = gathered ? arguments[1] : Value()};
            const PanelShape shape{.element = typeOf(kernel, element),
                                   .depth = depth,
                                   .width = 48,
                                   .columns = 48,
                                   .layout = layout};
            emitPanelProduct(
                kernel, rows, shape, {arguments[3], arguments[4]},
                [&](Value row, Value column, int64_t lanes, mlir::ArrayRef<Value> sums) {
                  Value at = kernel.add(kernel.mul(row, kernel.integer(48)), column);
                  for (int i : {0, 1})
                    kernel.storeLanes(sums[i], kernel.address(arguments[5 + i], kernel.f32(), at),
                                      lanes);
                });
          });
        });
    auto run = [&](bool gathered, int64_t rows, std::vector<float> &first,
                   std::vector<float> &second) {
      first.assign(rows * 48, 0);
      second.assign(rows * 48, 0);
      kernel(up.activations, indices, rows, weights, others, first, second, gathered);
    };
    std::vector<float> first, second, gatheredFirst, gatheredSecond;
    run(false, 9, first, second);
    run(true, 4, gatheredFirst, gatheredSecond);
    up.check(first, "up");
    for (int64_t r = 0; r < 4; ++r)
      for (int64_t n = 0; n < 48; ++n) {
        EXPECT_EQ(gatheredFirst[r * 48 + n], first[indices[r] * 48 + n]);
        EXPECT_EQ(gatheredSecond[r * 48 + n], second[indices[r] * 48 + n]);
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatmulKernel,
                         testing::Combine(testing::ValuesIn(allTargets()),
                                          testing::Values(lm::Layout::Panels, lm::Layout::Rows)),
                         [](const auto &info) {
                           const bool packed = std::get<1>(info.param) == lm::Layout::Panels;
                           return std::get<0>(info.param)->level.str() +
                                  (packed ? "_panels" : "_rows");
                         });

} // namespace
