// Barriers of blocks, numbered ones and objects: what they order, and how they are misused.

#include "test/runtime/emulator/KernelRun.h"

#include <array>

using namespace moec::emulator;

TEST(Barrier, Reductions) {
  KernelRun run;
  std::array<uint32_t, 3> results{};
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           const uint32_t predicate = thread.index() < 5;
                           uint32_t found[3];
                           for (auto reduction : {BarrierReduction::Count, BarrierReduction::And,
                                                  BarrierReduction::Or})
                             found[uint32_t(reduction) - 1] = moec_emulator_barrier(
                                 thread.self, 0, 0, uint32_t(reduction), predicate, 1);
                           std::copy_n(found, 3, results.begin());
                         })
                  .ok());
  EXPECT_EQ(results, (std::array<uint32_t, 3>{5, 0, 1}));
  EXPECT_EQ(run.faults(), Faults{});
}

TEST(Barrier, NotReachedByAThreadThatEnded) {
  KernelRun run;
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           if (thread.index() != 9)
                             thread.barrier(1);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::DivergentBarrier});
  EXPECT_EQ(run.gpu.reports()[0].detail, "1 of 64 threads ended without reaching this barrier");
}

TEST(Barrier, LanesOfAWarpAtDifferentOnes) {
  KernelRun run;
  ASSERT_TRUE(
      run.launch(64,
                 [&](const KernelThread &thread) { thread.barrier(thread.index() == 9 ? 1 : 2); })
          .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::DivergentBarrier});
  KernelRun warps; // whole warps may
  ASSERT_TRUE(
      warps
          .launch(64,
                  [&](const KernelThread &thread) { thread.barrier(thread.index() < 32 ? 1 : 2); })
          .ok());
  EXPECT_EQ(warps.faults(), Faults{});
}

TEST(Barrier, SomeWaitElsewhereForEver) {
  KernelRun run;
  ASSERT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           if (thread.index() < 32)
                             thread.barrier(1);
                           else
                             moec_emulator_barrier(thread.self, 1, 0, 0, 0, 2);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults(2, Fault::DivergentBarrier));
  EXPECT_EQ(run.gpu.reports()[0].other->location, 2u);
}

/// A warp produces, another consumes: who arrives does not wait.
static Faults handOver(bool arrives) {
  KernelRun run;
  EXPECT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           const uint32_t lane = thread.index() % 32;
                           if (thread.index() < 32) {
                             thread.store(shared + lane, int(lane), 1);
                             if (arrives)
                               moec_emulator_barrier_arrive(thread.self, 1, 64, 2);
                           } else {
                             if (arrives)
                               moec_emulator_barrier(thread.self, 1, 64, 0, 0, 3);
                             thread.load(shared + 31 - lane, 4);
                           }
                         })
                  .ok());
  return run.faults();
}

TEST(Barrier, ArrivalsOrderProducerAndConsumer) {
  EXPECT_EQ(handOver(true), Faults{});
  EXPECT_EQ(handOver(false), Faults{Fault::Race});
}

TEST(Barrier, OfSomeWarpsOrdersOnlyThose) {
  KernelRun run;
  ASSERT_TRUE(run.launch(96,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           if (thread.index() == 0)
                             thread.store(shared, 1, 1);
                           if (thread.index() < 64)
                             moec_emulator_barrier(thread.self, 2, 64, 0, 0, 2);
                           if (thread.index() == 33)
                             thread.load(shared, 3);
                           if (thread.index() == 65)
                             thread.load(shared, 4);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Race});
  EXPECT_EQ(run.gpu.reports()[0].site.location, 4u);
}

TEST(Barrier, CountsThatTheHardwareDoesNotTake) {
  KernelRun run;
  ASSERT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           moec_emulator_barrier(thread.self, 16, 0, 0, 0, 1);
                           moec_emulator_barrier(thread.self, 1, 20, 0, 0, 2);
                           moec_emulator_barrier(thread.self, 1, 64, 0, 0, 3);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults(3, Fault::InvalidArgument));
}

TEST(Barrier, WarpBarrierOrdersItsLanes) {
  for (bool synchronizes : {true, false}) {
    KernelRun run;
    ASSERT_TRUE(run.launch(32,
                           [&](const KernelThread &thread) {
                             auto *shared = reinterpret_cast<int *>(thread.shared());
                             thread.store(shared + thread.index(), 1, 1);
                             if (synchronizes)
                               moec_emulator_warp_barrier(thread.self, kAllLanes, 2);
                             else // a shuffle brings lanes together but orders no memory
                               moec_emulator_shuffle(thread.self, uint32_t(ShuffleMode::Index),
                                                     kAllLanes, 0, 0, 31, 2);
                             thread.load(shared + (thread.index() ^ 1), 3);
                           })
                    .ok());
    EXPECT_EQ(run.faults(), synchronizes ? Faults{} : Faults{Fault::Race});
  }
}

/// Thread 0 makes an object; then each phase one warp fills a slot and the other reads it.
static Faults pipeline(bool waits, uint64_t seed) {
  KernelRun run({.seed = seed});
  EXPECT_TRUE(run.launch(64,
                         [&](const KernelThread &thread) {
                           auto *full = reinterpret_cast<uint64_t *>(thread.shared());
                           auto *empty = full + 1;
                           auto *data = reinterpret_cast<int *>(thread.shared() + 64);
                           const uint32_t lane = thread.index() % 32;
                           if (thread.index() == 0) {
                             moec_emulator_object_init(thread.self, full, 32, 1);
                             moec_emulator_object_init(thread.self, empty, 32, 2);
                           }
                           thread.barrier(3);
                           for (uint32_t phase = 0; phase < 4; ++phase) {
                             if (thread.index() < 32) {
                               if (waits && phase)
                                 moec_emulator_object_wait(thread.self, empty, (phase - 1) & 1, 4);
                               thread.store(data + lane, int(phase * 100 + lane), 5);
                               moec_emulator_object_arrive(thread.self, full, 1, 0, 0, 6);
                             } else {
                               moec_emulator_object_wait(thread.self, full, phase & 1, 7);
                               EXPECT_EQ(thread.load(data + 31 - lane, 8),
                                         int(phase * 100 + 31 - lane));
                               moec_emulator_object_arrive(thread.self, empty, 1, 0, 0, 9);
                             }
                           }
                         })
                  .ok());
  return run.faults();
}

TEST(BarrierObject, PhasesOrderAPipeline) {
  for (uint64_t seed = 0; seed < 5; ++seed)
    EXPECT_EQ(pipeline(true, seed), Faults{}) << seed;
}

TEST(BarrierObject, TokensAndTransactions) {
  KernelRun run;
  ASSERT_TRUE(
      run.launch(1,
                 [&](const KernelThread &thread) {
                   auto *object = reinterpret_cast<uint64_t *>(thread.shared());
                   moec_emulator_object_init(thread.self, object, 1, 1);
                   const uint64_t token =
                       moec_emulator_object_arrive(thread.self, object, 1, 48, 0, 2);
                   EXPECT_EQ(moec_emulator_object_test(thread.self, object, token, 0, 3), 0u);
                   moec_emulator_object_complete(thread.self, object, 32, 4);
                   EXPECT_EQ(moec_emulator_object_test(thread.self, object, 0, 1, 5), 0u);
                   moec_emulator_object_complete(thread.self, object, 16, 6);
                   EXPECT_EQ(moec_emulator_object_test(thread.self, object, token, 0, 7), 1u);
                   EXPECT_EQ(moec_emulator_object_test(thread.self, object, 0, 1, 8), 1u);
                   EXPECT_EQ(moec_emulator_object_test(thread.self, object, 1, 1, 9), 0u);
                 })
          .ok());
  EXPECT_EQ(run.faults(), Faults{});
}

TEST(BarrierObject, Misuse) {
  KernelRun run;
  uint64_t buffer = 0;
  run.gpu.addBuffer({&buffer, sizeof buffer});
  ASSERT_TRUE(
      run.launch(1,
                 [&](const KernelThread &thread) {
                   auto *object = reinterpret_cast<uint64_t *>(thread.shared());
                   moec_emulator_object_arrive(thread.self, object, 1, 0, 0, 1); // not made yet
                   moec_emulator_object_init(thread.self, &buffer, 1, 2); // not in shared memory
                   moec_emulator_object_init(thread.self, object, 2, 3);
                   moec_emulator_object_arrive(thread.self, object, 3, 0, 0,
                                               4); // more than it waits for
                   moec_emulator_object_invalidate(thread.self, object, 5);
                   moec_emulator_object_wait(thread.self, object, 0, 6); // no longer there
                 })
          .ok());
  EXPECT_EQ(run.faults(), Faults(4, Fault::BarrierObject));
}

TEST(BarrierObject, UsedBeforeOthersKnowOfIt) {
  KernelRun run;
  ASSERT_TRUE(run.launch(2,
                         [&](const KernelThread &thread) {
                           auto *object = reinterpret_cast<uint64_t *>(thread.shared());
                           if (thread.index() == 0)
                             moec_emulator_object_init(thread.self, object, 2, 1);
                           moec_emulator_object_arrive(thread.self, object, 1, 0, 0, 2);
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::Race});
}

TEST(BarrierObject, PhaseThatNobodyCompletesIsADeadlock) {
  KernelRun run;
  ASSERT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           auto *object = reinterpret_cast<uint64_t *>(thread.shared());
                           moec_emulator_object_init(thread.self, object, 2, 1);
                           moec_emulator_object_arrive(thread.self, object, 1, 0, 0, 2);
                           moec_emulator_object_wait(thread.self, object, 0, 3);
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::Deadlock});
  EXPECT_EQ(run.gpu.reports()[0].site.location, 3u);
}
