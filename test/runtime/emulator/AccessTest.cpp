// Plain and atomic accesses: each crime once, and what looks like one but is none.

#include "test/runtime/emulator/KernelRun.h"

#include <array>

using namespace moec::emulator;

TEST(Access, BarrierOrdersNeighbours) {
  KernelRun run;
  std::array<int, 64> out{};
  run.gpu.addBuffer({out.data(), sizeof out});
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           thread.store(shared + thread.index(), int(thread.index()), 1);
                           thread.barrier(2);
                           thread.store(&out[thread.index()],
                                        thread.load(shared + (thread.index() + 1) % 64, 3), 4);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
  EXPECT_EQ(out[5], 6);
  EXPECT_EQ(out[63], 0);
}

TEST(Access, MissingBarrierIsARaceInEveryOrder) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    KernelRun run({.seed = seed});
    ASSERT_TRUE(run.launch(64,
                           [&](const KernelThread &thread) {
                             auto *shared = reinterpret_cast<int *>(thread.shared());
                             thread.store(shared + thread.index(), 1, 1);
                             if (thread.index() == 40)
                               thread.load(shared + 7, 3);
                             if (thread.index() == 7)
                               thread.load(shared + 40, 3);
                           })
                    .ok());
    ASSERT_FALSE(run.gpu.reports().empty()) << "seed " << seed;
    const Report *race = nullptr;
    for (const Report &report : run.gpu.reports())
      if (report.fault == Fault::Race)
        race = &report;
    ASSERT_TRUE(race) << "seed " << seed;
    ASSERT_TRUE(race->other);
    EXPECT_NE(race->site.isWrite, race->other->isWrite);
    EXPECT_EQ(race->site.location + race->other->location, 4u);
  }
}

TEST(Access, TwoWritersRaceAndTwoReadersDoNot) {
  KernelRun run;
  int value = 0;
  run.gpu.addBuffer({&value, sizeof value});
  ASSERT_TRUE(run.launch(2, [&](const KernelThread &thread) { thread.load(&value, 1); }).ok());
  EXPECT_EQ(run.faults(), Faults{});
  ASSERT_TRUE(run.launch(2, [&](const KernelThread &thread) { thread.store(&value, 1, 1); }).ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Race});
  EXPECT_EQ(run.gpu.reports()[0].site.thread[0], 1u);
  EXPECT_EQ(run.gpu.reports()[0].other->thread[0], 0u);
}

TEST(Access, BytesOfOneWordAreApart) {
  KernelRun run;
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           thread.store(thread.shared() + thread.index(), char(1), 1);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
}

TEST(Access, LaunchesAreOrdered) {
  KernelRun run;
  int value = 0;
  run.gpu.addBuffer({&value, sizeof value});
  for (uint32_t i = 0; i < 2; ++i)
    ASSERT_TRUE(run.launch(2,
                           [&](const KernelThread &thread) {
                             if (thread.index() == i)
                               thread.store(&value, 1, 1);
                           })
                    .ok());
  EXPECT_EQ(run.faults(), Faults{});
}

TEST(Access, BlocksOfALaunchAreNot) {
  KernelRun run;
  run.grid = 2;
  int value = 0;
  run.gpu.addBuffer({&value, sizeof value});
  ASSERT_TRUE(run.launch(1, [&](const KernelThread &thread) { thread.store(&value, 1, 1); }).ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Race});
  EXPECT_NE(run.gpu.reports()[0].site.block, run.gpu.reports()[0].other->block);
}

TEST(Access, AtomicsDoNotRaceWithEachOtherButWithPlainReads) {
  KernelRun run;
  run.grid = 3;
  uint32_t sum = 0;
  run.gpu.addBuffer({&sum, sizeof sum});
  ASSERT_TRUE(
      run.launch(40, [&](const KernelThread &thread) { thread.atomicAdd(&sum, 1, Relaxed, 1); })
          .ok());
  EXPECT_EQ(run.faults(), Faults{});
  EXPECT_EQ(sum, 120u);
  run.grid = 1;
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           if (thread.index() == 0)
                             thread.atomicAdd(&sum, 1, Relaxed, 1);
                           else
                             thread.load(&sum, 2);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::Race});
}

/// Block 0 writes data and sets a flag; the other blocks wait for it and read the data.
static Faults passMessage(uint32_t release, uint32_t acquire, bool fences, uint64_t seed) {
  KernelRun run({.seed = seed});
  run.grid = 3;
  uint32_t data = 0, flag = 0;
  run.gpu.addBuffer({&data, sizeof data});
  run.gpu.addBuffer({&flag, sizeof flag});
  EXPECT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           if (thread.block() == 2) {
                             thread.store(&data, 17u, 1);
                             if (fences)
                               moec_emulator_fence(thread.self);
                             thread.atomicAdd(&flag, 1, release, 2);
                             return;
                           }
                           while (thread.atomicLoad(&flag, acquire, 3) == 0) {
                           }
                           if (fences)
                             moec_emulator_fence(thread.self);
                           EXPECT_EQ(thread.load(&data, 4), 17u);
                         })
                  .ok());
  return run.faults();
}

TEST(Access, ReleaseAndAcquireOrderBlocks) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_EQ(passMessage(Release, Acquire, false, seed), Faults{});
    EXPECT_EQ(passMessage(Relaxed, Relaxed, true, seed), Faults{});
    EXPECT_EQ(passMessage(Relaxed, Acquire, false, seed), Faults{Fault::Race});
    EXPECT_EQ(passMessage(Release, Relaxed, false, seed), Faults{Fault::Race});
  }
}

TEST(Access, WaitingForWhatNobodyDoesIsADeadlock) {
  KernelRun run({.pollLimit = 1000});
  uint32_t flag = 0;
  run.gpu.addBuffer({&flag, sizeof flag});
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           while (thread.atomicLoad(&flag, Acquire, 3) == 0) {
                           }
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::Deadlock});
}

TEST(Access, OutOfBounds) {
  KernelRun run;
  run.sharedBytes = 100;
  std::array<int, 4> buffer{1, 2, 3, 4};
  run.gpu.addBuffer({buffer.data(), 12});
  ASSERT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           EXPECT_EQ(thread.load(&buffer[3], 1), 0); // what is read there is zero
                           thread.store(&buffer[3], 7, 2);
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           thread.store(shared + 24, 1, 3);
                           thread.store(shared + 25, 1, 4);
                           thread.store(shared - 1, 1, 5);
                           thread.load(static_cast<int *>(nullptr), 6);
                           // On the thread's stack, where a sanitizer does not keep variables.
                           auto *local = static_cast<int *>(__builtin_alloca(sizeof(int)));
                           *local = 3;
                           EXPECT_EQ(thread.load(local, 7), 3);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults(5, Fault::OutOfBounds));
  EXPECT_EQ(buffer[3], 4);
  EXPECT_EQ(run.gpu.reports()[0].detail, "read of 4 bytes at byte 12 of a buffer of 12");
  EXPECT_EQ(run.gpu.reports()[2].detail, "write of 4 bytes at byte 100 of a shared object of 100");
}

TEST(Access, StackOfAnotherThreadIsOutOfBounds) {
  KernelRun run;
  static int *other;
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           int local = 3;
                           if (thread.index() == 0)
                             other = &local;
                           thread.barrier(1);
                           if (thread.index() == 1)
                             thread.load(other, 2);
                           thread.barrier(3);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::OutOfBounds});
}

TEST(Access, Misaligned) {
  KernelRun run;
  ASSERT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           thread.access(thread.shared() + 8, 16, AccessKind::Write, 1);
                           thread.access(thread.shared() + 2, 2, AccessKind::Write, 2);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Misaligned});
  EXPECT_EQ(run.gpu.reports()[0].detail,
            "write at byte 8 of a shared object of 1024, which is no multiple of 16");
}

TEST(Access, ReadOnlyBuffersAreNotWritten) {
  KernelRun run;
  int value = 5;
  run.gpu.addBuffer({&value, sizeof value, true});
  ASSERT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           EXPECT_EQ(thread.load(&value, 1), 5);
                           thread.store(&value, 1, 2);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::ReadOnlyWrite});
  EXPECT_EQ(value, 5);
}

TEST(Access, UninitializedSharedMemory) {
  KernelRun run;
  run.grid = 2;
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           if (thread.index() == 0)
                             thread.store(shared, 1, 1);
                           thread.barrier(2);
                           thread.load(shared, 3);
                           if (thread.block() ==
                               1) // the other block's write to the same place is none of this one
                             thread.load(shared + 1, 4);
                           else if (thread.index() == 0)
                             thread.store(shared + 1, 1, 5);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::Uninitialized});
}

TEST(Access, ChecksCanBeTurnedOff) {
  KernelRun run({.checkBounds = false, .checkRaces = false, .checkInitialized = false});
  std::array<int, 2> buffer{};
  run.gpu.addBuffer({buffer.data(), 4});
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           thread.store(&buffer[1], 1, 1);
                           thread.load(reinterpret_cast<int *>(thread.shared()), 2);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{});
}

TEST(Access, ReportsArePairsOfPlacesAndCounted) {
  KernelRun run;
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           thread.store(reinterpret_cast<int *>(thread.shared()), 1, 1);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Race});
  EXPECT_GT(run.gpu.reports()[0].count, 10u);
}

/// Whoever comes first takes a ticket; only the holder of the second looks at what is written
/// without order.
static bool isRaceSeen(uint64_t seed) {
  KernelRun run({.seed = seed});
  uint32_t tickets = 0, data = 0;
  run.gpu.addBuffer({&tickets, sizeof tickets});
  run.gpu.addBuffer({&data, sizeof data});
  EXPECT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           const uint32_t ticket = thread.atomicAdd(&tickets, 1, Relaxed, 1);
                           if (thread.index() == 0)
                             thread.store(&data, 1u, 2);
                           else if (ticket == 0)
                             thread.load(&data, 3);
                         })
                  .ok());
  return !run.faults().empty();
}

TEST(Access, SomeRacesShowInOneOrderOnly) {
  EXPECT_FALSE(isRaceSeen(0)); // ascending: thread 0 comes first
  bool seen = false, unseen = false;
  for (uint64_t seed = 1; seed < 20; ++seed)
    (isRaceSeen(seed) ? seen : unseen) = true;
  EXPECT_TRUE(seen);
  EXPECT_TRUE(unseen);
  EXPECT_EQ(isRaceSeen(3), isRaceSeen(3)); // a seed is an order
}
