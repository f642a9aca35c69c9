// Polynomials of sizes: equal where arithmetic says so, and divided where that leaves nothing.

#include "frontends/onnx/import/Size.h"

#include <gtest/gtest.h>

using namespace moec;

static const Size s = Size::unknown(0), t = Size::unknown(1);

TEST(SizeTest, SumsAndProductsAreEqualHoweverTheyAreWritten) {
  EXPECT_EQ((s + t) * (s - t), s * s - t * t);
  EXPECT_EQ(s + s - s * Size(2), Size(0));
  EXPECT_NE(s * t, s * s);
  EXPECT_TRUE((s - s).isKnown());
}

TEST(SizeTest, NumbersWrap) {
  EXPECT_EQ(Size(INT64_MAX) + Size(1), Size(INT64_MIN));
  EXPECT_EQ(Size(INT64_MIN) * Size(-1), Size(INT64_MIN));
}

TEST(SizeTest, AnUnknownIsItselfOnlyAlone) {
  EXPECT_EQ(t.asUnknown(), 1u);
  EXPECT_EQ((t * Size(2)).asUnknown(), std::nullopt);
  EXPECT_EQ((t + Size(1)).asUnknown(), std::nullopt);
  EXPECT_EQ((s * t).asUnknown(), std::nullopt);
}

TEST(SizeTest, DivisionIsExactOrNotThere) {
  EXPECT_EQ((s * t * Size(6)).dividedBy(s * Size(2)), t * Size(3));
  EXPECT_EQ((s * Size(4) + Size(8)).dividedBy(Size(4)), s + Size(2));
  EXPECT_EQ((s * Size(4) + Size(7)).dividedBy(Size(4)), std::nullopt);
  EXPECT_EQ((s + t).dividedBy(s + t), Size(1));
  EXPECT_EQ((s + t).dividedBy(s), std::nullopt);
  EXPECT_EQ(s.dividedBy(Size(0)), std::nullopt);
  EXPECT_EQ(Size(INT64_MIN).dividedBy(Size(-1)), std::nullopt);
}

TEST(SizeTest, ProductsOfNothingAreOne) {
  EXPECT_EQ(productOf({}), Size(1));
  EXPECT_EQ(productOf({s, Size(3), t}), s * t * Size(3));
}
