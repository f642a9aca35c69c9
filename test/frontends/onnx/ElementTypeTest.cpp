// The table is that of onnx.proto, and sizes are checked.

#include "frontends/onnx/ElementType.h"
#include "frontends/onnx/onnx.pb.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

using namespace moec;

TEST(ElementType, NamesAreThoseOfTheSchema) {
  for (int number = 1; number <= ::onnx::TensorProto::DataType_MAX; ++number) {
    std::optional<ElementType> type = elementTypeOf(number);
    ASSERT_TRUE(type) << number;
    EXPECT_EQ(elementTypeName(*type), ::onnx::TensorProto::DataType_Name(
                                          static_cast<::onnx::TensorProto::DataType>(number)));
  }
  EXPECT_FALSE(elementTypeOf(0));
  EXPECT_FALSE(elementTypeOf(::onnx::TensorProto::DataType_MAX + 1));
  EXPECT_FALSE(elementTypeOf(-1));
  EXPECT_FALSE(elementTypeOf(256 + 1));
}

TEST(ElementType, PartsOfBytesAreFilledUp) {
  EXPECT_EQ(rawBytes(ElementType::Float, 3), 12u);
  EXPECT_EQ(rawBytes(ElementType::Int4, 3), 2u);
  EXPECT_EQ(rawBytes(ElementType::Uint2, 5), 2u);
  EXPECT_EQ(rawBytes(ElementType::Float6E2M3, 5), 4u);
  EXPECT_EQ(rawBytes(ElementType::Complex128, 2), 32u);
  EXPECT_EQ(rawBytes(ElementType::Float, INT64_MAX / 8), std::nullopt);
}

TEST(ElementType, ProductsOfSizesAreChecked) {
  using Dims = std::vector<int64_t>;
  EXPECT_EQ(countElements(Dims{}), 1);
  EXPECT_EQ(countElements(Dims{3, 4}), 12);
  EXPECT_EQ(countElements(Dims{INT64_MAX, INT64_MAX, 0}), 0);
  EXPECT_EQ(countElements(Dims{int64_t{1} << 32, int64_t{1} << 31}), std::nullopt);
  EXPECT_EQ(countElements(Dims{-1, 0}), std::nullopt);
}
