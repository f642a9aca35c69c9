// Conversions between stored and packed elements, number by number.

#include "compiler/emit/PanelCopy.h"
#include "test/compiler/emit/NaivePacking.h"

#include <gtest/gtest.h>

#include <bit>

using namespace moec;

TEST(PanelCopy, RoundsEveryKindOfNumberToNearestEven) {
  std::vector<uint32_t> bits;
  for (uint32_t exponent = 0; exponent < 256; ++exponent)
    for (uint32_t mantissa :
         {0x0u, 0x1u, 0xfffu, 0x1000u, 0x1001u, 0x2000u, 0x3000u, 0x7fffu, 0x8000u, 0x8001u,
          0x18000u, 0x400000u, 0x7fefffu, 0x7ff000u, 0x7fffffu})
      for (uint32_t sign : {0u, 0x80000000u})
        bits.push_back(sign | exponent << 23 | mantissa);
  const auto *bytes = reinterpret_cast<const uint8_t *>(bits.data());
  for (auto [element, type] : {std::pair(PackedElement::BF16, DataType::BF16),
                               std::pair(PackedElement::F16, DataType::F16)}) {
    std::vector<uint16_t> found(bits.size());
    convertElements(bytes, DataType::F32, reinterpret_cast<uint8_t *>(found.data()), element,
                    bits.size());
    for (size_t index = 0; index < bits.size(); ++index) {
      double value = std::bit_cast<float>(bits[index]);
      double back = valueOf(reinterpret_cast<uint8_t *>(&found[index]), type);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(back)) << std::hex << bits[index];
      else if (std::isinf(value))
        EXPECT_EQ(back, value) << std::hex << bits[index];
      else
        EXPECT_EQ(found[index], nearestHalf(value, type)) << std::hex << bits[index];
    }
  }
}

TEST(PanelCopy, WidensEveryHalfExactly) {
  std::vector<uint16_t> all(65536);
  for (size_t bits = 0; bits < all.size(); ++bits)
    all[bits] = static_cast<uint16_t>(bits);
  const auto *bytes = reinterpret_cast<const uint8_t *>(all.data());
  for (DataType type : {DataType::BF16, DataType::F16}) {
    std::vector<float> wide(all.size());
    ConversionLoss loss = convertElements(bytes, type, reinterpret_cast<uint8_t *>(wide.data()),
                                          PackedElement::F32, all.size());
    EXPECT_FALSE(loss.inexact);
    for (size_t bits = 0; bits < all.size(); ++bits) {
      double wanted = valueOf(bytes + 2 * bits, type);
      if (std::isnan(wanted))
        EXPECT_TRUE(std::isnan(wide[bits]));
      else
        EXPECT_EQ(wide[bits], wanted);
    }
  }
}

TEST(PanelCopy, ReportsWhatWasLost) {
  auto loss = [](std::vector<float> values, PackedElement element) {
    std::vector<uint8_t> out(values.size() * 2);
    return convertElements(reinterpret_cast<uint8_t *>(values.data()), DataType::F32, out.data(),
                           element, values.size());
  };
  EXPECT_FALSE(loss({1.0f, -0.5f, INFINITY, 0.0f}, PackedElement::BF16).inexact);
  EXPECT_FALSE(loss({1.0f, -0.5f, NAN, 65504.0f}, PackedElement::F16).inexact);
  EXPECT_TRUE(loss({1.0f, 0.1f}, PackedElement::BF16).inexact);
  EXPECT_FALSE(loss({1.0f, 0.1f}, PackedElement::BF16).overflow);
  EXPECT_TRUE(loss({1.0f, 1e6f}, PackedElement::F16).overflow);
  EXPECT_TRUE(loss({1e-30f}, PackedElement::F16).inexact);
}
