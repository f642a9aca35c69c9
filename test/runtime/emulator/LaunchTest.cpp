// Launches: registers, orders, what is refused.

#include "test/runtime/emulator/KernelRun.h"

#include <array>

using namespace moec;
using namespace moec::emulator;

static void runNothing(moec_emulated_thread *, void *const *) {}

TEST(Launch, Registers) {
  static std::vector<std::array<uint32_t, RegisterCount>> seen;
  seen.clear();
  moec_emulated_kernel kernel{"registers",
                              [](moec_emulated_thread *thread, void *const *) {
                                std::array<uint32_t, RegisterCount> copy;
                                std::copy_n(thread->registers, copy.size(), copy.begin());
                                seen.push_back(copy);
                              },
                              nullptr,
                              nullptr,
                              0,
                              0,
                              {0, 0, 0},
                              0};
  const moec_emulated_module module{&kernel, nullptr, nullptr, nullptr, nullptr, 1, 0, 0, 0};
  Gpu gpu;
  ASSERT_TRUE(
      gpu.launch(module, kernel, {.grid = {2, 3, 4}, .block = {5, 4, 3}, .dynamicSharedBytes = 48})
          .ok());
  ASSERT_EQ(seen.size(), 2u * 3 * 4 * 60);
  const auto &registers = seen[60 * (1 + 2 * (2 + 3 * 3)) + 3 + 5 * (2 + 4 * 1)];
  EXPECT_EQ(registers, (std::array<uint32_t, RegisterCount>{
                           3, 2, 1, 5, 4, 3, 1,          2,          3,  2,  3, 4,
                           1, 1, 2, 2, 1, 3, 0xfffffffc, 0xfffffffe, 48, 48, 0}));
}

TEST(Launch, SeedsAreOrdersOfBlocksAndThreads) {
  auto order = [](uint64_t seed) {
    KernelRun run({.seed = seed});
    run.grid = 8;
    std::vector<uint32_t> seen;
    EXPECT_TRUE(run.launch(16,
                           [&](const KernelThread &thread) {
                             seen.push_back(thread.block() * 16 + thread.index());
                           })
                    .ok());
    return seen;
  };
  const std::vector<uint32_t> ascending = order(0), one = order(1);
  EXPECT_TRUE(std::is_sorted(ascending.begin(), ascending.end()));
  EXPECT_EQ(one, order(1));
  EXPECT_NE(one, ascending);
  EXPECT_NE(one, order(2));
  EXPECT_TRUE(std::is_permutation(one.begin(), one.end(), ascending.begin(), ascending.end()));
}

TEST(Launch, Refusals) {
  moec_emulated_object object{200 << 10, 16};
  uint64_t index = 0;
  moec_emulated_kernel kernel{"big", runNothing, nullptr, &index, 0, 1, {64, 1, 1}, 128};
  const moec_emulated_module module{&kernel, &object, nullptr, nullptr, nullptr, 1, 1, 0, 0};
  Gpu gpu;
  auto message = [&](const LaunchConfig &config) {
    const Status status = gpu.launch(module, kernel, config);
    EXPECT_EQ(status.code, status.ok() ? Code::Ok : Code::Usage);
    return status.message;
  };
  EXPECT_EQ(message({.block = {64, 1, 1}}), "");
  EXPECT_EQ(
      message({.block = {64, 1, 1}, .dynamicSharedBytes = 30 << 10}),
      "big: 235520 bytes of shared memory, 30720 of them dynamic, where a block may have 233472");
  EXPECT_EQ(message({.block = {32, 1, 1}}),
            "big: a block of 32 x 1 x 1 threads, but the kernel is for 64 x 1 x 1");
  EXPECT_EQ(message({.block = {64, 4, 1}}),
            "big: a block of 64 x 4 x 1 threads, where 1 to 128 are possible");
  EXPECT_EQ(message({.grid = {0, 1, 1}, .block = {64, 1, 1}}),
            "big: a grid of 0 x 1 x 1 blocks, where 1 to 16777216 are possible");
}

TEST(Launch, TrapAndExitEndAThread) {
  KernelRun run;
  uint32_t after = 0;
  ASSERT_TRUE(run.launch(3,
                         [&](const KernelThread &thread) {
                           if (thread.index() == 0)
                             moec_emulator_trap(thread.self, 1);
                           if (thread.index() == 1)
                             moec_emulator_exit(thread.self);
                           ++after;
                         })
                  .ok());
  EXPECT_EQ(run.faults(), Faults{Fault::Trap});
  EXPECT_EQ(after, 1u);
}

TEST(Launch, ReportsRead) {
  const char text[] = "a.mlir:1:2\0b.mlir:3:4";
  const uint64_t offsets[] = {0, 11};
  const moec_emulated_module module{nullptr, nullptr, nullptr, text, offsets, 0, 0, 0, 2};
  Report report{.fault = Fault::Race,
                .site = {1, {2, 0, 0}, {5, 0, 0}, false},
                .other = Site{0, {2, 0, 0}, {4, 0, 0}, true},
                .detail = "read at byte 4 of a buffer of 8",
                .count = 3};
  EXPECT_EQ(reportText(report, module),
            "b.mlir:3:4: race: read at byte 4 of a buffer of 8, by thread (5, 0, 0) of block (2, "
            "0, 0); a write at "
            "a.mlir:1:2 by thread (4, 0, 0) of block (2, 0, 0); 3 times");
}
