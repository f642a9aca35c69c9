// Passes over the banks of shared memory, for strides whose conflicts are known.

#include "runtime/emulator/Banks.h"
#include "test/runtime/emulator/KernelRun.h"

using namespace moec::emulator;

static BankPasses strided(uint32_t stride, uint32_t bytes, uint32_t lanes = kAllLanes) {
  uint32_t addresses[32];
  for (uint32_t lane = 0; lane < 32; ++lane)
    addresses[lane] = lane * stride;
  return countBankPasses(addresses, lanes, bytes);
}

TEST(Banks, StridesOfWords) {
  EXPECT_EQ(strided(4, 4).passes, 1u);
  EXPECT_EQ(strided(0, 4).passes, 1u); // all read one word
  EXPECT_EQ(strided(8, 4).passes, 2u);
  EXPECT_EQ(strided(16, 4).passes, 4u);
  EXPECT_EQ(strided(128, 4).passes, 32u);
  EXPECT_EQ(strided(132, 4).passes, 1u); // a row of 33 words
  EXPECT_EQ(strided(2, 2).passes, 1u);   // two lanes share a word
  EXPECT_EQ(strided(128, 4, 0xff).passes, 8u);
  EXPECT_EQ(strided(128, 4).fewest, 1u);
}

TEST(Banks, WideAccessesGoInParts) {
  EXPECT_EQ(strided(8, 8).passes, 2u);
  EXPECT_EQ(strided(8, 8).fewest, 2u);
  EXPECT_EQ(strided(16, 16).passes, 4u);
  EXPECT_EQ(strided(16, 16).fewest, 4u);
  EXPECT_EQ(strided(128, 16).passes, 32u); // eight rows begin in the same bank
  EXPECT_EQ(strided(144, 16).passes, 4u);  // padded by 16 bytes none do
}

static BankUse useOf(uint32_t stride, uint32_t rounds) {
  KernelRun run({.countBankConflicts = true, .seed = 3});
  run.sharedBytes = 8192;
  EXPECT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           for (uint32_t round = 0; round < rounds; ++round)
                             thread.access(thread.shared() + thread.index() % 32 * stride +
                                               4 * round,
                                           4, AccessKind::Write, 1);
                         })
                  .ok());
  EXPECT_EQ(run.gpu.bankUses().size(), 1u);
  return run.gpu.bankUses()[0];
}

TEST(Banks, LanesAreGatheredIntoInstructions) {
  BankUse use = useOf(4, 3);
  EXPECT_EQ(use.instructions, 6u); // of two warps
  EXPECT_EQ(use.conflicts(), 0u);
  use = useOf(128, 3);
  EXPECT_EQ(use.passes, 6u * 32);
  EXPECT_EQ(use.conflicts(), 6u * 31);
}

TEST(Banks, RowsOfMatrices) {
  for (bool padded : {false, true}) {
    KernelRun run({.countBankConflicts = true});
    run.sharedBytes = 8192;
    ASSERT_TRUE(run.launch(32,
                           [&](const KernelThread &thread) {
                             uint32_t registers[4] = {};
                             moec_emulator_store_matrix(thread.self,
                                                        thread.shared() +
                                                            thread.index() * (padded ? 144 : 128),
                                                        4, 0, registers, 1);
                           })
                    .ok());
    ASSERT_EQ(run.gpu.bankUses().size(), 1u);
    const BankUse use = run.gpu.bankUses()[0];
    EXPECT_EQ(use.instructions, 1u);
    EXPECT_EQ(use.passes, padded ? 4u : 32u);
    EXPECT_EQ(use.fewest, 4u);
  }
}
