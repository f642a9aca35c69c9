// Rows cross to the host when the device is done with them, and their result crosses back.

#include "runtime/device/DeviceStep.h"
#include "test/runtime/device/HostDevice.h"

#include <gtest/gtest.h>

#include <vector>

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

using namespace moec;

namespace {

/// By all threads, a tile each row: out = 100 * part + 10 * layer + the row's number + the weights'
/// first byte, by way of the arena.
void partStep(const moec_step_arguments *given, int64_t thread) {
  int64_t end = 0;
  auto *between = reinterpret_cast<float *>(given->arena);
  const auto *in = reinterpret_cast<const float *>(given->part_rows[0]);
  auto *out = reinterpret_cast<float *>(given->part_rows[1]);
  const uint8_t weight = given->weights ? given->weights[0] : given->weight_pieces[0][0];
  for (;;) {
    const int64_t row = moec_tiles_claim(given->team, thread, given->tokens, given->tokens, &end);
    if (row == end)
      break;
    for (int64_t at = row; at < end; ++at)
      between[at] = in[at] + weight;
  }
  moec_tiles_wait(given->team, thread);
  for (;;) {
    const int64_t row = moec_tiles_claim(given->team, thread, given->tokens, given->tokens, &end);
    if (row == end)
      break;
    for (int64_t at = row; at < end; ++at)
      out[at] = between[at] + float(100 * given->part + 10 * given->layer);
  }
  moec_tiles_wait(given->team, thread);
}

int64_t partArena(int64_t tokens, int64_t, int64_t, int64_t) { return tokens * 4; }

class HostPartTest : public testing::Test {
protected:
  void SetUp() override {
    Result<std::unique_ptr<Threads>> started = Threads::start(3);
    ASSERT_TRUE(started.ok());
    threads = std::move(*started);
  }

  float *rowsOf(int64_t count) {
    Result<uint8_t *> memory = device.allocate(count * 4, "rows");
    return reinterpret_cast<float *>(*memory);
  }

  HostDevice device;
  std::unique_ptr<Threads> threads;
  const uint8_t weight = 7;
};

TEST_F(HostPartTest, ComputesPartsOneAfterAnother) {
  HostPart host(device, *threads, {partStep, partArena, &weight, nullptr});
  for (int64_t tokens : {5, 200, 1}) { // more than before, and fewer
    float *rows = rowsOf(tokens), *there = rowsOf(tokens);
    for (int64_t row = 0; row < tokens; ++row)
      rows[row] = float(row);
    host.begin(tokens);
    int64_t bytes[] = {tokens * 4, tokens * 4};
    void *first[] = {rows, there}, *second[] = {there, rows};
    moec_part_run(&host, /*part=*/1, /*layer=*/2, first, bytes, 2);
    moec_part_run(&host, /*part=*/0, /*layer=*/3, second, bytes, 2); // reads what the first gave
    ASSERT_TRUE(host.end().ok());
    ASSERT_TRUE(device.finish().ok());
    for (int64_t row = 0; row < tokens; ++row) {
      EXPECT_EQ(there[row], float(row + 7 + 120));
      EXPECT_EQ(rows[row], float(row + 7 + 120 + 7 + 30));
    }
    EXPECT_GE(host.arenaBytes(), tokens * 4);
  }
}

TEST_F(HostPartTest, FindsMappedWeights) {
  const uint8_t *pieces[] = {&weight};
  HostPart host(device, *threads, {partStep, partArena, nullptr, pieces});
  float *rows = rowsOf(1), *there = rowsOf(1);
  rows[0] = 1;
  host.begin(1);
  int64_t bytes[] = {4, 4};
  void *buffers[] = {rows, there};
  moec_part_run(&host, 0, 0, buffers, bytes, 2);
  ASSERT_TRUE(host.end().ok() && device.finish().ok());
  EXPECT_EQ(there[0], 8);
}

TEST_F(HostPartTest, TellsWhatFailedAtTheStepsEnd) {
  HostPart host(device, *threads, {partStep, partArena, &weight, nullptr});
  DeviceStep there(device, &host);
  static float *rows;
  rows = rowsOf(2);
  rows[0] = rows[1] = 0;
  moec_step_arguments arguments{};
  const int32_t zero = 0;
  arguments.tokens = 1;
  arguments.token_ids = arguments.positions = arguments.row_sequences = &zero;
  device.failure = {Code::Internal, "a kernel failed"};
  Status status = there.run(
      [](const moec_step_arguments *given, int64_t) {
        for (int64_t layer : {1, 2}) { // the second is not computed any more
          int64_t bytes[] = {4, 4};
          void *buffers[] = {rows, rows + 1};
          moec_part_run(given->host, 0, layer, buffers, bytes, 2);
        }
      },
      arguments, {});
  EXPECT_EQ(status.message, "a kernel failed");
  EXPECT_EQ(rows[1], 0);
  EXPECT_TRUE(there.run([](const moec_step_arguments *, int64_t) {}, arguments, {}).ok())
      << "the next step begins anew";
}

} // namespace
