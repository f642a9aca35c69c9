// Instructions that lanes of a warp execute together.

#include "test/runtime/emulator/KernelRun.h"

#include <array>
#include <bit>

using namespace moec::emulator;

using Lanes = std::array<uint64_t, 32>;

/// What each lane of one warp gets from `body`.
static Lanes perLane(const std::function<uint64_t(const KernelThread &)> &body,
                     const Faults &wanted = {}) {
  KernelRun run({.seed = 5});
  Lanes results{};
  EXPECT_TRUE(
      run.launch(32, [&](const KernelThread &thread) { results[thread.index()] = body(thread); })
          .ok());
  EXPECT_EQ(run.faults(), wanted);
  return results;
}

static Lanes shuffled(ShuffleMode mode, uint32_t offset, uint32_t clamp) {
  return perLane([&](const KernelThread &thread) {
    const uint64_t result = moec_emulator_shuffle(thread.self, uint32_t(mode), kAllLanes,
                                                  100 + thread.index(), offset, clamp, 1);
    return (result & UINT32_MAX) - 100 + (result >> 32 ? 0 : 1000);
  });
}

// The source of each lane; 1000 more where it is out of range, and the lane's own value comes.
TEST(Warp, Shuffles) {
  EXPECT_EQ(shuffled(ShuffleMode::Butterfly, 1, 31),
            (Lanes{1,  0,  3,  2,  5,  4,  7,  6,  9,  8,  11, 10, 13, 12, 15, 14,
                   17, 16, 19, 18, 21, 20, 23, 22, 25, 24, 27, 26, 29, 28, 31, 30}));
  EXPECT_EQ(shuffled(ShuffleMode::Up, 2, 0),
            (Lanes{1000, 1001, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
                   14,   15,   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}));
  EXPECT_EQ(shuffled(ShuffleMode::Down, 3, 31),
            (Lanes{3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,   17,   18,
                   19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 1029, 1030, 1031}));
  EXPECT_EQ(shuffled(ShuffleMode::Index, 6, 31),
            (Lanes{6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
                   6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6}));
  // Segments of eight lanes: the mask 0b11000 in bits 8 to 12.
  EXPECT_EQ(
      shuffled(ShuffleMode::Down, 5, 0x1807 | 7),
      (Lanes{5,  6,  7,  1003, 1004, 1005, 1006, 1007, 13, 14, 15, 1011, 1012, 1013, 1014, 1015,
             21, 22, 23, 1019, 1020, 1021, 1022, 1023, 29, 30, 31, 1027, 1028, 1029, 1030, 1031}));
  EXPECT_EQ(shuffled(ShuffleMode::Up, 7, 0x1800),
            (Lanes{1000, 1001, 1002, 1003, 1004, 1005, 1006, 0,    1008, 1009, 1010,
                   1011, 1012, 1013, 1014, 8,    1016, 1017, 1018, 1019, 1020, 1021,
                   1022, 16,   1024, 1025, 1026, 1027, 1028, 1029, 1030, 24}));
  EXPECT_EQ(shuffled(ShuffleMode::Index, 2, 0x181f),
            (Lanes{2,  2,  2,  2,  2,  2,  2,  2,  10, 10, 10, 10, 10, 10, 10, 10,
                   18, 18, 18, 18, 18, 18, 18, 18, 26, 26, 26, 26, 26, 26, 26, 26}));
}

TEST(Warp, Votes) {
  auto voted = [](VoteMode mode, uint32_t lanesThatAgree) {
    return perLane([&](const KernelThread &thread) {
      return moec_emulator_vote(thread.self, uint32_t(mode), kAllLanes,
                                lanesThatAgree >> thread.index() & 1, 1);
    })[7];
  };
  EXPECT_EQ(voted(VoteMode::Ballot, 0x80000421), 0x80000421u);
  EXPECT_EQ(voted(VoteMode::Any, 0), 0u);
  EXPECT_EQ(voted(VoteMode::Any, 0x400), 1u);
  EXPECT_EQ(voted(VoteMode::All, 0xfffffffe), 0u);
  EXPECT_EQ(voted(VoteMode::All, kAllLanes), 1u);
  EXPECT_EQ(voted(VoteMode::Uniform, 0), 1u);
  EXPECT_EQ(voted(VoteMode::Uniform, 2), 0u);
}

TEST(Warp, Matches) {
  Lanes any = perLane([](const KernelThread &thread) {
    return moec_emulator_match(thread.self, uint32_t(MatchMode::Any), kAllLanes,
                               thread.index() == 3 || thread.index() == 30 ? 9 : 4, 1);
  });
  EXPECT_EQ(any[3], 0x40000008u);
  EXPECT_EQ(any[0], 0xbffffff7u);
  auto all = [](uint64_t ofLane3) {
    return perLane([&](const KernelThread &thread) {
      return moec_emulator_match(thread.self, uint32_t(MatchMode::All), kAllLanes,
                                 thread.index() == 3 ? ofLane3 : uint64_t(4) << 32, 1);
    })[0];
  };
  EXPECT_EQ(all(uint64_t(4) << 32), uint64_t(1) << 32 | kAllLanes);
  EXPECT_EQ(all(4), 0u);
}

TEST(Warp, Reductions) {
  auto reduced = [](Reduction kind, auto value) {
    return uint32_t(perLane([&](const KernelThread &thread) {
      return moec_emulator_reduce(thread.self, uint32_t(kind), kAllLanes, value(thread.index()), 1);
    })[11]);
  };
  auto index = [](uint32_t lane) { return lane; };
  auto centred = [](uint32_t lane) { return lane - 16; };
  EXPECT_EQ(reduced(Reduction::Add, index), 496u);
  EXPECT_EQ(reduced(Reduction::Min, centred), uint32_t(-16));
  EXPECT_EQ(reduced(Reduction::Max, centred), 15u);
  EXPECT_EQ(reduced(Reduction::UnsignedMin, centred), 0u);
  EXPECT_EQ(reduced(Reduction::UnsignedMax, centred), UINT32_MAX);
  EXPECT_EQ(reduced(Reduction::And, [](uint32_t lane) { return lane | 64; }), 64u);
  EXPECT_EQ(reduced(Reduction::Or, index), 31u);
  EXPECT_EQ(reduced(Reduction::Xor, [](uint32_t lane) { return lane == 9 ? 5u : 0u; }), 5u);
  auto real = [](uint32_t lane) { return std::bit_cast<uint32_t>(float(lane) - 3.5f); };
  EXPECT_EQ(std::bit_cast<float>(reduced(Reduction::FloatMin, real)), -3.5f);
  EXPECT_EQ(std::bit_cast<float>(reduced(Reduction::FloatMax, real)), 27.5f);
}

TEST(Warp, ElectsTheFirstLaneOfTheMask) {
  Lanes elected = perLane([](const KernelThread &thread) -> uint64_t {
    return thread.index() < 4 ? 7 : moec_emulator_elect(thread.self, 0xfffffff0, 1);
  });
  EXPECT_EQ(elected[4], 1u);
  EXPECT_EQ(elected[5], 0u);
}

TEST(Warp, HalvesOfAWarpDoNotMeet) {
  Lanes sums = perLane([](const KernelThread &thread) {
    const bool isHigh = thread.index() >= 16;
    return moec_emulator_reduce(thread.self, uint32_t(Reduction::Add), isHigh ? 0xffff0000 : 0xffff,
                                isHigh ? 100 : 1, isHigh ? 1 : 2);
  });
  EXPECT_EQ(sums[0], 16u);
  EXPECT_EQ(sums[16], 1600u);
}

TEST(Warp, APartOfAWarpIsWholeAtTheEndOfABlock) {
  KernelRun run;
  uint32_t sum = 0;
  ASSERT_TRUE(run.launch(40,
                         [&](const KernelThread &thread) {
                           const uint32_t found = moec_emulator_reduce(
                               thread.self, uint32_t(Reduction::Add), kAllLanes, 1, 1);
                           if (thread.index() == 39)
                             sum = found;
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
  EXPECT_EQ(sum, 8u);
}

TEST(Warp, MaskNamesLanesThatEnded) {
  KernelRun run;
  ASSERT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           if (thread.index() >= 8)
                             moec_emulator_shuffle(thread.self, uint32_t(ShuffleMode::Butterfly),
                                                   kAllLanes, 1, 1, 31, 1);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::DivergentWarp});
  EXPECT_EQ(run.gpu.reports()[0].detail, "the mask 0xffffffff names lanes 0xff, which have ended");
}

TEST(Warp, MaskDoesNotNameTheLane) {
  perLane(
      [](const KernelThread &thread) {
        return thread.index() == 0 ? moec_emulator_vote(thread.self, 0, 2, 1, 1) : 0;
      },
      {Fault::DivergentWarp});
}

TEST(Warp, ReadsFromALaneThatDoesNotTakePart) {
  perLane(
      [](const KernelThread &thread) {
        return thread.index() < 2 ? moec_emulator_shuffle(thread.self, uint32_t(ShuffleMode::Index),
                                                          3, 1, 5, 31, 1)
                                  : 0;
      },
      {Fault::DivergentWarp});
}

TEST(Warp, LanesThatAreElsewhere) {
  KernelRun run;
  ASSERT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           if (thread.index() < 16)
                             moec_emulator_warp_barrier(thread.self, kAllLanes, 1);
                           else
                             thread.barrier(2);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), (Faults{Fault::DivergentWarp, Fault::DivergentBarrier}));
  EXPECT_EQ(run.gpu.reports()[0].other->location, 2u);
}

TEST(Warp, MatrixInstructionsNeedAllLanes) {
  KernelRun run;
  ASSERT_TRUE(run.launch(16,
                         [&](const KernelThread &thread) {
                           uint32_t registers[1];
                           moec_emulator_load_matrix(thread.self, thread.shared(), 1, 0, registers,
                                                     1);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::DivergentWarp});
}
