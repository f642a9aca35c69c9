// Asynchronous copies: what they bring, when it may be used, and who uses it too early.

#include "test/runtime/emulator/KernelRun.h"

#include <algorithm>
#include <array>

using namespace moec::emulator;

namespace {
struct Steps {
  bool commits = true, waits = true, barriers = true;
};
} // namespace

/// 32 threads copy 16 bytes each and read what their neighbour copied.
static Faults copyAndRead(Steps steps, uint64_t seed, bool expectsData) {
  KernelRun run({.seed = seed});
  alignas(16) std::array<int, 128> source;
  for (size_t i = 0; i < source.size(); ++i)
    source[i] = int(i);
  run.gpu.addBuffer({source.data(), sizeof source});
  EXPECT_TRUE(run.launch(32,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           moec_emulator_copy(thread.self, shared + 4 * thread.index(),
                                              &source[4 * thread.index()], 16, 16, 1);
                           if (steps.commits)
                             moec_emulator_copy_commit(thread.self);
                           if (steps.waits)
                             moec_emulator_copy_wait(thread.self, 0);
                           if (steps.barriers)
                             thread.barrier(2);
                           const uint32_t other = 127 - 4 * thread.index();
                           const int read = thread.load(shared + other, 3);
                           if (expectsData)
                             EXPECT_EQ(read, int(other));
                         })
                  .ok());
  return run.faults();
}

TEST(Copy, WaitedForAndOrdered) {
  for (uint64_t seed = 0; seed < 4; ++seed)
    EXPECT_EQ(copyAndRead({}, seed, true), Faults{});
}

TEST(Copy, NotWaitedFor) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_EQ(copyAndRead({.waits = false}, seed, false), Faults{Fault::UnwaitedCopy});
    EXPECT_EQ(copyAndRead({.commits = false}, seed, false),
              Faults{Fault::UnwaitedCopy}); // the group is empty
    // Only the copying thread has waited.
    const Faults unordered = copyAndRead({.barriers = false}, seed, false);
    EXPECT_NE(std::find(unordered.begin(), unordered.end(), Fault::UnwaitedCopy), unordered.end());
  }
}

TEST(Copy, OwnCopyIsReadAfterTheWaitOnly) {
  for (bool waits : {true, false}) {
    KernelRun run;
    alignas(16) int source[4] = {1, 2, 3, 4};
    run.gpu.addBuffer({source, sizeof source});
    ASSERT_TRUE(run.launch(1,
                           [&](const KernelThread &thread) {
                             auto *shared = reinterpret_cast<int *>(thread.shared());
                             moec_emulator_copy(thread.self, shared, source, 16, 16, 1);
                             moec_emulator_copy_commit(thread.self);
                             if (waits)
                               moec_emulator_copy_wait(thread.self, 0);
                             const int read = thread.load(shared + 2, 2);
                             EXPECT_EQ(read == 3, waits); // made as late as it may be
                           })
                    .ok());
    EXPECT_EQ(run.faults(), waits ? Faults{} : Faults{Fault::UnwaitedCopy});
  }
}

TEST(Copy, WaitLeavesTheLastGroups) {
  KernelRun run;
  alignas(16) int source[12] = {};
  for (int i = 0; i < 12; ++i)
    source[i] = i;
  run.gpu.addBuffer({source, sizeof source});
  ASSERT_TRUE(run.launch(1,
                         [&](const KernelThread &thread) {
                           auto *shared = reinterpret_cast<int *>(thread.shared());
                           for (uint32_t group = 0; group < 3; ++group) {
                             moec_emulator_copy(thread.self, shared + 4 * group, source + 4 * group,
                                                16, 16, 1);
                             moec_emulator_copy_commit(thread.self);
                           }
                           moec_emulator_copy_wait(thread.self, 1);
                           EXPECT_EQ(thread.load(shared + 3, 2), 3);
                           EXPECT_EQ(thread.load(shared + 7, 3), 7);
                           thread.load(shared + 8, 4); // of the group that may still be on its way
                         })
                  .ok());
  ASSERT_EQ(run.faults(), Faults{Fault::UnwaitedCopy});
  EXPECT_EQ(run.gpu.reports()[0].site.location, 4u);
  EXPECT_EQ(run.gpu.reports()[0].other->location, 1u);
}

TEST(Copy, FillsWithZeros) {
  for (uint32_t bytes : {4u, 8u, 16u}) {
    KernelRun run;
    alignas(16) std::array<uint8_t, 16> source;
    source.fill(7);
    run.gpu.addBuffer({source.data(), 2});
    ASSERT_TRUE(run.launch(1,
                           [&](const KernelThread &thread) {
                             moec_emulator_copy(thread.self, thread.shared(), source.data(), bytes,
                                                2, 1);
                             moec_emulator_copy(thread.self, thread.shared() + 16, source.data(),
                                                bytes, 0, 1); // reads nothing
                             moec_emulator_copy_commit(thread.self);
                             moec_emulator_copy_wait(thread.self, 0);
                             for (uint32_t i = 0; i < bytes; ++i) {
                               EXPECT_EQ(thread.load(thread.shared() + i, 2), i < 2 ? 7 : 0);
                               EXPECT_EQ(thread.load(thread.shared() + 16 + i, 2), 0);
                             }
                           })
                    .ok());
    EXPECT_EQ(run.faults(), Faults{});
  }
}

TEST(Copy, SourceMayNotChangeBeforeTheWait) {
  for (bool waits : {true, false}) {
    KernelRun run;
    alignas(16) int source[4] = {};
    run.gpu.addBuffer({source, sizeof source});
    ASSERT_TRUE(run.launch(1,
                           [&](const KernelThread &thread) {
                             moec_emulator_copy(thread.self, thread.shared(), source, 16, 16, 1);
                             moec_emulator_copy_commit(thread.self);
                             if (waits)
                               moec_emulator_copy_wait(thread.self, 0);
                             thread.store(source, 1, 2);
                           })
                    .ok());
    EXPECT_EQ(run.faults(), waits ? Faults{} : Faults{Fault::UnwaitedCopy});
  }
}

TEST(Copy, IntoWhatOthersMayStillRead) {
  for (bool barriers : {true, false}) {
    KernelRun run;
    alignas(16) int source[4] = {};
    run.gpu.addBuffer({source, sizeof source});
    ASSERT_TRUE(run.launch(2,
                           [&](const KernelThread &thread) {
                             auto *shared = reinterpret_cast<int *>(thread.shared());
                             if (thread.index() == 1)
                               thread.store(shared, 1, 1);
                             if (barriers)
                               thread.barrier(2);
                             if (thread.index() == 0)
                               moec_emulator_copy(thread.self, shared, source, 16, 16, 3);
                           })
                    .ok());
    EXPECT_EQ(run.faults().empty(), barriers);
  }
}

TEST(Copy, CompletesABarrierObject) {
  for (bool waits : {true, false})
    for (uint64_t seed = 0; seed < 3; ++seed) {
      KernelRun run({.seed = seed});
      alignas(16) std::array<int, 128> source;
      source.fill(9);
      run.gpu.addBuffer({source.data(), sizeof source});
      ASSERT_TRUE(run.launch(64,
                             [&](const KernelThread &thread) {
                               auto *object = reinterpret_cast<uint64_t *>(thread.shared());
                               auto *data = reinterpret_cast<int *>(thread.shared() + 16);
                               if (thread.index() == 0)
                                 moec_emulator_object_init(thread.self, object, 32, 1);
                               thread.barrier(2);
                               if (thread.index() < 32) {
                                 moec_emulator_copy(thread.self, data + 4 * thread.index(),
                                                    &source[4 * thread.index()], 16, 16, 3);
                                 moec_emulator_copy_arrive(thread.self, object, 1, 4);
                               } else {
                                 if (waits)
                                   moec_emulator_object_wait(thread.self, object, 0, 5);
                                 const int read = thread.load(data + thread.index(), 6);
                                 if (waits)
                                   EXPECT_EQ(read, 9);
                               }
                             })
                      .ok());
      if (waits)
        EXPECT_EQ(run.faults(), Faults{});
      else
        EXPECT_FALSE(run.faults().empty());
    }
}

TEST(Copy, OutOfBoundsAndMisaligned) {
  KernelRun run;
  alignas(16) int source[8] = {};
  run.gpu.addBuffer({source, sizeof source});
  ASSERT_TRUE(
      run.launch(1,
                 [&](const KernelThread &thread) {
                   moec_emulator_copy(thread.self, thread.shared(), source + 8, 16, 16, 1);
                   moec_emulator_copy(thread.self, thread.shared() + 1024, source, 16, 16, 2);
                   moec_emulator_copy(thread.self, thread.shared() + 64, source + 1, 16, 16, 3);
                   moec_emulator_copy(thread.self, thread.shared() + 8, source, 16, 16, 4);
                   moec_emulator_copy(thread.self, thread.shared() + 32, source, 8, 16, 5);
                 })
          .ok());
  EXPECT_EQ(run.faults(), (Faults{Fault::OutOfBounds, Fault::OutOfBounds, Fault::Misaligned,
                                  Fault::Misaligned, Fault::InvalidArgument}));
}
