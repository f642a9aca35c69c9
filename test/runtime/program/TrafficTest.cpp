// The cost of a step, worked out by hand for a small model.

#include "runtime/program/Traffic.h"

#include <gtest/gtest.h>

using namespace moec;

static Manifest smallModel() {
  Manifest manifest;
  manifest.vocabulary = 100;
  manifest.blockTokens = 4;
  manifest.moeLayers = {{0, 4, 1}, {1, 4, 1}};
  manifest.caches = {{"attention", {0, 1}, 400, 0}};
  manifest.weights.pieces = {{.name = "embedding",
                              .pattern = "e",
                              .stored = "BF16",
                              .shape = {100, 10},
                              .matrixBytes = 2000},
                             {.name = "head",
                              .pattern = "h",
                              .stored = "BF16",
                              .shape = {100, 10},
                              .matrixBytes = 1000, // of 8 bits: the formats may differ
                              .isMultiplied = true},
                             {.name = "norm",
                              .pattern = "{l}",
                              .layers = {0, 1},
                              .stored = "F32",
                              .shape = {10},
                              .matrixBytes = 40},
                             {.name = "up",
                              .pattern = "{l}{e}",
                              .layers = {0, 1},
                              .matricesPerLayer = 4,
                              .stored = "BF16",
                              .shape = {20, 10},
                              .matrixBytes = 400,
                              .isMultiplied = true}};
  return manifest;
}

TEST(Traffic, OneTokenReadsItsExpertsAndOneRowOfTheEmbedding) {
  Traffic traffic = stepTraffic(smallModel(), 1, 0);
  // A row of the embedding, the head, two norms, one expert in each of two layers.
  EXPECT_DOUBLE_EQ(traffic.bytes, 20 + 1000 + 2 * 40 + 2 * 400);
  EXPECT_DOUBLE_EQ(traffic.operations, 2 * 1000 + 2 * 2 * 200);
}

TEST(Traffic, ManyTokensReadAllExpertsOnce) {
  Traffic traffic = stepTraffic(smallModel(), 1000, 0);
  EXPECT_NEAR(traffic.bytes, 2000 + 1000 + 2 * 40 + 2 * 4 * 400, 1e-6);
  EXPECT_DOUBLE_EQ(traffic.operations, 2 * 1000 + 1000.0 * 2 * 2 * 200);
}

TEST(Traffic, CacheIsReadAsFarAsItIsSeen) {
  Manifest manifest = smallModel();
  double empty = stepTraffic(manifest, 1, 0).bytes;
  EXPECT_DOUBLE_EQ(stepTraffic(manifest, 1, 30).bytes - empty, 3000);
  manifest.caches[0].window = 8;
  EXPECT_DOUBLE_EQ(stepTraffic(manifest, 1, 30).bytes - empty, 800);
}

TEST(Traffic, OfAnIndexedCacheEachRowReadsWhatItChooses) {
  Manifest manifest = smallModel();
  manifest.caches[0].chosen = 5;
  manifest.caches.push_back({"index", {0, 1}, 40}); // whose keys are all compared
  auto read = [&](int64_t tokens, int64_t sequences) {
    return stepTraffic(manifest, tokens, 30, sequences).bytes -
           stepTraffic(manifest, tokens, 0, sequences).bytes;
  };
  EXPECT_DOUBLE_EQ(read(1, 1), 5 * 100 + 30 * 10);
  EXPECT_DOUBLE_EQ(read(3, 1), 15 * 100 + 30 * 10);
  EXPECT_DOUBLE_EQ(read(7, 1), 30 * 100 + 30 * 10);
  EXPECT_DOUBLE_EQ(read(4, 2), 2 * (10 * 100 + 30 * 10));
}

TEST(Traffic, EachSequenceReadsItsCacheAndAllShareTheWeights) {
  Manifest manifest = smallModel();
  Traffic one = stepTraffic(manifest, 3, 30), three = stepTraffic(manifest, 3, 30, 3);
  EXPECT_DOUBLE_EQ(three.bytes - one.bytes, 2 * 3000);
  EXPECT_DOUBLE_EQ(three.operations - one.operations, 2 * 2 * 1000); // rows of the head
}

TEST(Traffic, AMatrixOfEachHeadIsReadByEveryToken) {
  Manifest manifest = smallModel();
  const Traffic before = stepTraffic(manifest, 1, 0);
  manifest.weights.pieces.push_back({.name = "values",
                                     .pattern = "{l}",
                                     .layers = {0, 1},
                                     .matricesPerLayer = 8,
                                     .areHeads = true,
                                     .stored = "BF16",
                                     .shape = {4, 10},
                                     .rowsPerMatrix = 4,
                                     .matrixBytes = 80,
                                     .isMultiplied = true});
  const Traffic after = stepTraffic(manifest, 1, 0);
  EXPECT_DOUBLE_EQ(after.bytes - before.bytes, 2 * 8 * 80);
  EXPECT_DOUBLE_EQ(after.operations - before.operations, 2 * 2 * 8 * 40);
}
