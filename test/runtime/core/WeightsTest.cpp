// Where packed weights are looked for, as the message tells where there are none.

#include "runtime/core/Weights.h"
#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Weights, PlacesThatTheModeDoesNotReadAreRefused) {
  Manifest manifest;
  const WeightsPlace file = {.file = "a.weights"}, directory = {.directory = "a"};
  manifest.weights.mode = WeightsMode::Pack;
  EXPECT_FAILS(Weights::open(manifest, directory), Code::Usage, "--weights=pack");
  manifest.weights.mode = WeightsMode::Map;
  EXPECT_FAILS(Weights::open(manifest, file), Code::Usage, "--weights=map");
  manifest.weights.mode = WeightsMode::Embed;
  EXPECT_FAILS(Weights::open(manifest, file), Code::Usage, "--weights=embed");
  EXPECT_FAILS(Weights::open(manifest, directory), Code::Usage, "--weights=embed");
}

TEST(Weights, EveryPlaceThatWasTriedIsToldOnce) {
  ScratchFolder folder;
  Manifest manifest;
  manifest.weights.mode = WeightsMode::Pack;
  manifest.weights.file = "model.weights";
  std::string program = folder.path("model");
  setenv("MOEC_WEIGHTS", program.c_str(), 1); // the beginning of another place's path
  EXPECT_FAILS(Weights::open(manifest, {.program = program}), Code::Mismatch,
               "tried " + program + ".weights, " + program + ";");
  unsetenv("MOEC_WEIGHTS");
}
