// Losses, divergences and their statistics against distributions that are known by hand.

#include "runtime/program/Divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

using namespace moec;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<uint16_t> rounded(const std::vector<float> &logits) {
  std::vector<uint16_t> halves(logits.size());
  roundLogits(logits, halves.data());
  return halves;
}

/// The logits of these probabilities, shifted: a constant changes nothing.
std::vector<float> logitsOf(const std::vector<double> &probabilities) {
  std::vector<float> logits;
  for (double p : probabilities)
    logits.push_back(static_cast<float>(std::log(p) + 20));
  return logits;
}

TEST(Divergence, LossIsMinusTheLogarithmOfTheProbability) {
  std::vector<float> logits = logitsOf({0.5, 0.125, 0.375});
  EXPECT_NEAR(lossOf(logits, 0), std::log(2), 1e-6);
  EXPECT_NEAR(lossOf(logits, 1), std::log(8), 1e-6);
  EXPECT_NEAR(lossOf(std::vector<float>{3e38f, -3e38f}, 0), 0, 0);
}

TEST(Divergence, LogitsThatAreNotFiniteHaveNoFiniteLoss) {
  for (float bad : {NAN, infinity})
    for (size_t place : {0, 1, 2}) {
      std::vector<float> logits = {1, 2, 3};
      logits[place] = bad;
      EXPECT_FALSE(std::isfinite(lossOf(logits, 1))) << bad << " at " << place;
    }
}

TEST(Divergence, HalvesAreTheNearestDistances) {
  // One, the least normal half and below it, ties to even on either side, the largest, and more.
  EXPECT_EQ(rounded({0, -1, -0x1p-14f, -0x1p-24f, -0x1.8p-24f, -0x1p-25f}),
            (std::vector<uint16_t>{0, 0xbc00, 0x8400, 0x8001, 0x8002, 0}));
  EXPECT_EQ(rounded({0, -1 - 0x1p-11f, -1 - 0x1.8p-10f, -65504, -65519, -65520, -1e30f}),
            (std::vector<uint16_t>{0, 0xbc00, 0xbc02, 0xfbff, 0xfbff, 0xfc00, 0xfc00}));
  EXPECT_EQ(rounded({5, 7, 6}), (std::vector<uint16_t>{0xc000, 0, 0xbc00}));
}

TEST(Divergence, DamageIsSeen) {
  EXPECT_TRUE(areRoundedLogits(rounded({1, -1e30f, 2, 2})));
  using Halves = std::vector<uint16_t>;
  EXPECT_FALSE(areRoundedLogits(Halves{0xbc00, 0xbc00})) << "no largest";
  EXPECT_FALSE(areRoundedLogits(Halves{0, 0x3c00})) << "one above the largest";
  EXPECT_FALSE(areRoundedLogits(Halves{0, 0xfe00})) << "NaN";
  EXPECT_FALSE(areRoundedLogits(Halves{0, 0x8000})) << "minus zero";
}

TEST(Divergence, OfTwoKnownDistributions) {
  std::vector<double> p = {0.5, 0.25, 0.25}, q = {0.25, 0.25, 0.5};
  EXPECT_NEAR(divergenceOf(rounded(logitsOf(p)), logitsOf(q)), 0.25 * std::log(2), 2e-4);
  EXPECT_NEAR(divergenceOf(rounded({0, -1, -2}), std::vector<float>{4, 3, 2}), 0, 1e-15);
  EXPECT_GE(divergenceOf(rounded({0, -1, -2}), std::vector<float>{4, 3, 2}), 0);
}

TEST(Divergence, OfARowFromItselfIsRoundingOnly) {
  std::vector<float> logits;
  for (int i = 0; i < 4096; ++i)
    logits.push_back(8 * std::sin(static_cast<float>(i * i)));
  EXPECT_LT(divergenceOf(rounded(logits), logits), 1e-6);
}

TEST(Divergence, TokensThatTheBaseExcludesCountNothing) {
  double divergence = divergenceOf(rounded({0, 0, -1e30f}), std::vector<float>{0, 0, 0});
  EXPECT_NEAR(divergence, std::log(1.5), 1e-12);
}

TEST(Divergence, TheLowestOfEqualTokensIsTheLikeliest) {
  EXPECT_TRUE(agreeOnTop(rounded({1, 3, 3}), std::vector<float>{0, 9, 9}));
  EXPECT_FALSE(agreeOnTop(rounded({1, 3, 3}), std::vector<float>{0, 8, 9}));
}

TEST(Divergence, MeanAndQuantile) {
  Mean mean = meanOf(std::vector<double>{1, 2, 3, 6});
  EXPECT_DOUBLE_EQ(mean.value, 3);
  EXPECT_DOUBLE_EQ(mean.error, std::sqrt(14.0 / 3 / 4));
  EXPECT_DOUBLE_EQ(quantileOf({4, 1, 3, 2, 5}, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantileOf({0, 10}, 0.99), 9.9);
  EXPECT_DOUBLE_EQ(quantileOf({0, 10}, 1), 10);
}

} // namespace
