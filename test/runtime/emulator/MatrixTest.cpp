// Matrix instructions against the manual's tables of which lane holds what.

#include "runtime/emulator/SmallFloats.h"
#include "test/runtime/emulator/KernelRun.h"
#include "test/runtime/emulator/MatrixLayouts.h"

#include <array>
#include <bit>
#include <cmath>
#include <sstream>

using namespace moec::emulator;

namespace {
struct Place {
  uint32_t lane, element;
};
/// Of each element of a matrix where it is held.
using Layout = std::vector<std::vector<Place>>;
using Matrix = std::vector<std::vector<double>>;
/// The registers of each lane.
using Fragments = std::array<std::array<uint32_t, 4>, 32>;
} // namespace

static Layout parse(const char *text) {
  Layout layout;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<Place> row;
    char dot = 0;
    for (Place place; words >> place.lane >> dot >> place.element;)
      row.push_back(place);
    if (!row.empty())
      layout.push_back(row);
  }
  return layout;
}

static Matrix numbers(const Layout &like, int factor, int least, int span) {
  Matrix matrix;
  for (size_t i = 0; i < like.size(); ++i) {
    matrix.emplace_back();
    for (size_t j = 0; j < like[0].size(); ++j)
      matrix[i].push_back(least + int(i * like[0].size() + j) * factor % span);
  }
  return matrix;
}

/// Small whole numbers are the same in every type.
static uint32_t encode(double value, MatrixType type) {
  switch (type) {
  case MatrixType::BF16:
    return std::bit_cast<uint32_t>(float(value)) >> 16;
  case MatrixType::F16:
    return encodeHalf(float(value));
  case MatrixType::TF32: // what lies below its 19 bits does not count
    return std::bit_cast<uint32_t>(float(value)) | 0x1fff;
  case MatrixType::F32:
    return std::bit_cast<uint32_t>(float(value));
  case MatrixType::E4M3:
  case MatrixType::E5M2:
    for (uint32_t code = 0; code < 256; ++code)
      if ((type == MatrixType::E4M3 ? decodeE4M3(uint8_t(code))
                                    : decodeHalf(uint16_t(code << 8))) == float(value))
        return code;
    ADD_FAILURE() << value << " is no float of 8 bits";
    return 0;
  default:
    return uint32_t(int32_t(value)) & (type == MatrixType::S32 ? UINT32_MAX : 0xff);
  }
}

static uint32_t bitsOf(MatrixType type) {
  switch (type) {
  case MatrixType::F16:
  case MatrixType::BF16:
    return 16;
  case MatrixType::TF32:
  case MatrixType::F32:
  case MatrixType::S32:
    return 32;
  default:
    return 8;
  }
}

static Fragments distribute(const Matrix &matrix, const Layout &layout, MatrixType type) {
  Fragments fragments{};
  const uint32_t bits = bitsOf(type);
  for (size_t i = 0; i < matrix.size(); ++i)
    for (size_t j = 0; j < matrix[i].size(); ++j) {
      const auto [lane, element] = layout[i][j];
      fragments[lane][element * bits / 32] |= encode(matrix[i][j], type) << element * bits % 32;
    }
  return fragments;
}

static double decode(uint32_t bits, MatrixType type) {
  return type == MatrixType::F32   ? std::bit_cast<float>(bits)
         : type == MatrixType::F16 ? decodeHalf(uint16_t(bits))
                                   : int32_t(bits);
}

static void checkProduct(const char *textA, const char *textB, MatrixType typeA, MatrixType typeB,
                         MatrixType sums, bool isUnsigned = false) {
  const Layout layoutA = parse(textA), layoutB = parse(textB), layoutC = parse(kSums16x8);
  const size_t k = layoutB.size();
  ASSERT_EQ(layoutA.size(), 16u);
  ASSERT_EQ(layoutA[0].size(), k);
  const Matrix a = numbers(layoutA, 7, isUnsigned ? 0 : -8, 16),
               b = numbers(layoutB, 5, isUnsigned ? 0 : -8, 16), c = numbers(layoutC, 3, -50, 100);
  const Fragments partsA = distribute(a, layoutA, typeA), partsB = distribute(b, layoutB, typeB),
                  partsC = distribute(c, layoutC, sums);
  Fragments partsD{};
  KernelRun run({.seed = 1});
  ASSERT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           const uint32_t lane = thread.index();
                           moec_emulator_multiply(thread.self, uint32_t(k),
                                                  matrixTypes(typeA, typeB, sums, sums, false),
                                                  partsA[lane].data(), partsB[lane].data(),
                                                  partsC[lane].data(), partsD[lane].data(), 1);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
  const uint32_t bits = bitsOf(sums);
  for (size_t i = 0; i < 16; ++i)
    for (size_t j = 0; j < 8; ++j) {
      double wanted = c[i][j];
      for (size_t l = 0; l < k; ++l)
        wanted += a[i][l] * b[l][j];
      const auto [lane, element] = layoutC[i][j];
      EXPECT_EQ(decode(partsD[lane][element * bits / 32] >> element * bits % 32, sums), wanted)
          << i << ", " << j;
    }
}

TEST(Matrix, ProductsOf16Bits) {
  checkProduct(kA16x16of16, kB16x8of16, MatrixType::BF16, MatrixType::BF16, MatrixType::F32);
  checkProduct(kA16x16of16, kB16x8of16, MatrixType::F16, MatrixType::F16, MatrixType::F32);
  checkProduct(kA16x16of16, kB16x8of16, MatrixType::F16, MatrixType::F16, MatrixType::F16);
  checkProduct(kA16x8of16, kB8x8of16, MatrixType::BF16, MatrixType::BF16, MatrixType::F32);
  checkProduct(kA16x8of16, kB8x8of16, MatrixType::F16, MatrixType::F16, MatrixType::F32);
}

TEST(Matrix, ProductsOfTf32) {
  checkProduct(kA16x8of32, kB8x8of32, MatrixType::TF32, MatrixType::TF32, MatrixType::F32);
  checkProduct(kA16x4of32, kB4x8of32, MatrixType::TF32, MatrixType::TF32, MatrixType::F32);
}

TEST(Matrix, ProductsOf8Bits) {
  checkProduct(kA16x32of8, kB32x8of8, MatrixType::S8, MatrixType::S8, MatrixType::S32);
  checkProduct(kA16x32of8, kB32x8of8, MatrixType::U8, MatrixType::U8, MatrixType::S32, true);
  checkProduct(kA16x16of8, kB16x8of8, MatrixType::S8, MatrixType::S8, MatrixType::S32);
  checkProduct(kA16x32of8, kB32x8of8, MatrixType::E4M3, MatrixType::E4M3, MatrixType::F32);
}

TEST(Matrix, SumsOfIntegersSaturateOrWrap) {
  for (bool saturate : {true, false}) {
    KernelRun run;
    uint32_t result = 0;
    ASSERT_TRUE(
        run.launch(32,
                   [&](const KernelThread &thread) {
                     const uint32_t ones[4] = {0x01010101, 0x01010101, 0x01010101, 0x01010101},
                                    most[4] = {0x7fffffff, 0, 0, 0};
                     uint32_t sums[4];
                     moec_emulator_multiply(thread.self, 32,
                                            matrixTypes(MatrixType::S8, MatrixType::S8,
                                                        MatrixType::S32, MatrixType::S32, saturate),
                                            ones, ones, most, sums, 1);
                     if (thread.index() == 0)
                       result = sums[0];
                   })
            .ok());
    EXPECT_EQ(result, saturate ? 0x7fffffffu : 0x8000001fu);
  }
}

/// Four matrices, one after another in memory; element (i, j) of matrix m is 100 m + 8 i + j.
static void checkMove(bool isStore, bool transposed) {
  const Layout layout = parse(transposed ? kTransposed8x8 : kMatrix8x8);
  KernelRun run({.seed = 2});
  Fragments parts{};
  std::array<uint16_t, 256> found{};
  run.gpu.addBuffer({found.data(), sizeof found});
  auto number = [](size_t m, size_t i, size_t j) { return uint32_t(100 * m + 8 * i + j); };
  if (isStore)
    for (size_t m = 0; m < 4; ++m)
      for (size_t i = 0; i < 8; ++i)
        for (size_t j = 0; j < 8; ++j)
          parts[layout[i][j].lane][m] |= number(m, i, j) << 16 * layout[i][j].element;
  ASSERT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<uint16_t *>(thread.shared());
                           const uint32_t lane = thread.index();
                           // Lane 8 m + r gives the address of row r of matrix m.
                           uint16_t *row = shared + 8 * lane;
                           if (isStore)
                             moec_emulator_store_matrix(thread.self, row, 4, transposed,
                                                        parts[lane].data(), 1);
                           else {
                             for (uint32_t j = 0; j < 8; ++j)
                               thread.store(row + j, uint16_t(number(lane / 8, lane % 8, j)), 2);
                             thread.barrier(3);
                             moec_emulator_load_matrix(thread.self, row, 4, transposed,
                                                       parts[lane].data(), 4);
                           }
                           thread.barrier(5);
                           for (uint32_t j = 0; j < 8; ++j)
                             thread.store(&found[8 * lane + j], thread.load(row + j, 6), 7);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
  for (size_t m = 0; m < 4; ++m)
    for (size_t i = 0; i < 8; ++i)
      for (size_t j = 0; j < 8; ++j) {
        if (isStore)
          EXPECT_EQ(found[64 * m + 8 * i + j], number(m, i, j));
        else
          EXPECT_EQ(parts[layout[i][j].lane][m] >> 16 * layout[i][j].element & 0xffff,
                    number(m, i, j))
              << m << " " << i << " " << j;
      }
}

TEST(Matrix, LoadsAndStores) {
  checkMove(false, false);
  checkMove(false, true);
  checkMove(true, false);
  checkMove(true, true);
}

TEST(Matrix, RowsAreChecked) {
  KernelRun run;
  run.sharedBytes = 8 * 16;
  ASSERT_TRUE(
      run.launch(32,
                 [&](const KernelThread &thread) {
                   uint32_t registers[2];
                   thread.access(thread.shared() + 4 * thread.index(), 4, AccessKind::Write, 1);
                   moec_emulator_load_matrix(thread.self,
                                             thread.shared() + 16 * (thread.index() % 16), 2, 0,
                                             registers, 2); // no barrier; beyond the end
                   moec_emulator_load_matrix(thread.self, thread.shared() + 8, 1, 0, registers, 3);
                 })
          .ok());
  Faults found = run.faults();
  for (Fault fault : {Fault::Race, Fault::OutOfBounds, Fault::Misaligned})
    EXPECT_NE(std::find(found.begin(), found.end(), fault), found.end()) << faultName(fault);
}

TEST(SmallFloats, EveryHalfSurvives) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = decodeHalf(uint16_t(bits));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(decodeHalf(encodeHalf(value))));
    else
      EXPECT_EQ(encodeHalf(value), bits);
  }
  EXPECT_EQ(decodeHalf(0x3555), 0.333251953125f);
  EXPECT_EQ(decodeHalf(0x0001), 0x1p-24f);
  EXPECT_EQ(encodeHalf(65519.0f), 0x7bff);
  EXPECT_EQ(encodeHalf(65520.0f), 0x7c00);
  EXPECT_EQ(encodeHalf(1.0f + 0x1p-11f), 0x3c00); // a tie goes to even
  EXPECT_EQ(encodeHalf(1.0f + 3 * 0x1p-11f), 0x3c02);
}

TEST(SmallFloats, OfEightBits) {
  EXPECT_EQ(decodeE4M3(0x7e), 448.0f);
  EXPECT_EQ(decodeE4M3(0x01), 0x1p-9f);
  EXPECT_EQ(decodeE4M3(0x38), 1.0f);
  EXPECT_EQ(decodeE4M3(0xb8), -1.0f);
  EXPECT_TRUE(std::isnan(decodeE4M3(0x7f)));
}

TEST(SmallFloats, Bf16RoundsToNearestEven) {
  auto rounded = [](float value) {
    return std::bit_cast<uint32_t>(moec_emulator_truncate_bf16(value));
  };
  EXPECT_EQ(rounded(1.0f), 0x3f80u);
  EXPECT_EQ(rounded(1.0f + 0x1p-8f), 0x3f80u);
  EXPECT_EQ(rounded(1.0f + 3 * 0x1p-8f), 0x3f82u);
  EXPECT_EQ(rounded(-3.0f), 0xc040u);
}
