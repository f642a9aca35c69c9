// A step on a device: what its kernels are given, and what comes back.

#include "runtime/device/DeviceStep.h"
#include "test/runtime/device/HostDevice.h"

#include <gtest/gtest.h>

#include <numeric>

extern "C" void moec_device_launch(void *device, int64_t kernel, int64_t blocks,
                                   const void *arguments, int64_t bytes);

using namespace moec;

namespace {

/// Weights in this process: packed, or mapped matrices of four bytes.
class TestWeights final : public Weights {
public:
  explicit TestWeights(std::vector<uint8_t> given, bool mapped) : data(std::move(given)) {
    for (size_t i = 0; mapped && i < data.size(); i += 4)
      places.push_back(&data[i]);
  }
  const uint8_t *packed() const override { return places.empty() ? data.data() : nullptr; }
  const uint8_t *const *pieces() const override { return places.empty() ? nullptr : places.data(); }
  std::vector<std::string> files() const override { return {}; }
  uint64_t bytes() const override { return data.size(); }
  Status verify(const std::function<void(double)> &) const override { return {}; }

private:
  std::vector<uint8_t> data;
  std::vector<const uint8_t *> places;
};

HostDevice *device = nullptr; // of the kernel below

/// What the kernel is given, as compiled code has it.
struct KernelArguments {
  const moec_step_arguments *step;
  int64_t scale;
};

/// Each token's logits: scale * id + position + the first cache byte of its sequence's first block
/// + the first byte of the weights.
void kernel(int64_t blocks, const uint8_t *bytes) {
  const auto &given = *reinterpret_cast<const KernelArguments *>(bytes);
  EXPECT_TRUE(device->holds(given.step, sizeof *given.step)) << "the arguments are on the device";
  const moec_step_arguments &step = *given.step;
  EXPECT_EQ(blocks, step.tokens);
  const uint8_t *weights = step.weights ? step.weights : step.weight_pieces[1];
  for (auto [at, size] : {std::pair<const void *, int64_t>(step.token_ids, step.tokens * 4),
                          {step.positions, step.tokens * 4},
                          {step.row_sequences, step.tokens * 4},
                          {step.output_rows, step.outputs * 4},
                          {step.tiles, step.query_tiles * 12},
                          {step.block_tables, 8},
                          {step.block_tables[0], step.sequences * step.block_stride * 4},
                          {step.caches, 8},
                          {step.caches[0], 1},
                          {weights, 4},
                          {step.logits, step.outputs * 4},
                          {step.experts, 8},
                          {step.expert_weights, 8},
                          {step.arena, 100}})
    EXPECT_TRUE(device->holds(at, size)) << "all that a kernel reads is on the device";
  for (int64_t output = 0; output < step.outputs; ++output) {
    const int32_t row = step.output_rows[output], sequence = step.row_sequences[row];
    const int32_t block = step.block_tables[0][sequence * step.block_stride];
    step.logits[output] = float(given.scale * step.token_ids[row] + step.positions[row] +
                                step.caches[0][block] + weights[0]);
  }
  if (step.largest) {
    EXPECT_TRUE(device->holds(step.largest, sizeof *step.largest));
    step.largest[0] = {7, 0.25f};
  }
  step.experts[1] = 42;
  step.expert_weights[1] = 0.5f;
}

void step(const moec_step_arguments *arguments, int64_t) {
  const auto *there = static_cast<const moec_step_arguments *>(arguments->device_arguments);
  const KernelArguments given{there, 1000};
  moec_device_launch(arguments->device, 0, arguments->tokens, &given, sizeof given);
}

class DeviceStepTest : public testing::TestWithParam<bool> {
protected:
  void SetUp() override { device = &host; }

  const bool isMapped = GetParam();
  HostDevice host{{kernel}};
};

TEST_P(DeviceStepTest, GivesKernelsTheInputsAndBringsResultsBack) {
  DeviceStep there(host);
  const TestWeights weights({1, 2, 3, 4, 5, 6, 7, 8}, isMapped);
  Manifest manifest;
  manifest.weights.bytes = 8;
  manifest.weights.pieces = {{.name = "w",
                              .pattern = "w.{e}",
                              .matricesPerLayer = 2,
                              .stored = "U8",
                              .shape = {4},
                              .matrixBytes = 4}};
  double share = 0;
  Status taken = there.takeWeights(weights, manifest, [&](double now) { share = now; });
  ASSERT_TRUE(taken.ok()) << taken.message;
  EXPECT_EQ(share, 1.0) << "also where the last weight ends off a multiple of the alignment";

  std::vector<uint8_t> cacheBytes = {10, 20, 30};
  Result<uint8_t *> cache = host.allocate(3, "the cache");
  ASSERT_TRUE(cache.ok() && host.copyIn(*cache, cacheBytes.data(), 3).ok());
  for (int64_t tokens : {2, 5, 1}) { // more than before, and fewer
    std::vector<int32_t> ids(tokens), positions(tokens), sequences(tokens), table = {2, 0, 1, 0};
    std::iota(ids.begin(), ids.end(), 3);
    std::iota(positions.begin(), positions.end(), 50);
    sequences.back() = tokens > 1;
    const int32_t outputs[] = {0, int32_t(tokens - 1)}, tiles[] = {0, 1, 0};
    const int32_t *tables[] = {table.data()};
    uint8_t *caches[] = {*cache};
    float logits[2] = {}, picked[2] = {};
    int32_t experts[2] = {};
    moec_step_arguments arguments{};
    arguments.tokens = tokens;
    arguments.sequences = 2;
    arguments.outputs = 2;
    arguments.query_tiles = 1;
    arguments.block_stride = 2;
    arguments.token_ids = ids.data();
    arguments.positions = positions.data();
    arguments.row_sequences = sequences.data();
    arguments.output_rows = outputs;
    arguments.tiles = tiles;
    arguments.block_tables = tables;
    arguments.caches = caches;
    arguments.logits = logits;
    arguments.experts = experts;
    arguments.expert_weights = picked;
    Status status =
        there.run(step, arguments, {.cacheGroups = 1, .arena = 100, .logits = 8, .routing = 8});
    ASSERT_TRUE(status.ok()) << status.message;
    const float weight = isMapped ? 5 : 1, last = float(tokens - 1);
    EXPECT_EQ(logits[0], 3000 + 50 + 30 + weight) << tokens << " tokens";
    EXPECT_EQ(logits[1], 1000 * (3 + last) + 50 + last + (tokens > 1 ? 20 : 30) + weight);
    EXPECT_EQ(experts[1], 42);
    EXPECT_EQ(picked[1], 0.5f);

    // Asked for the largest alone, a step brings these back, and leaves the logits where they are.
    moec_largest largest[1] = {};
    float again = 0;
    arguments.logits = nullptr;
    arguments.largest = largest;
    status = there.run(
        step, arguments,
        {.cacheGroups = 1, .arena = 100, .logits = 8, .largest = sizeof largest, .routing = 8});
    ASSERT_TRUE(status.ok() && there.copyLogits(4, &again, 4).ok()) << status.message;
    EXPECT_EQ(largest[0].id, 7);
    EXPECT_EQ(largest[0].logit, 0.25f);
    EXPECT_EQ(again, logits[1]);
  }
}

TEST_P(DeviceStepTest, LeavesTheWeightsOfTheHost) {
  DeviceStep there(host);
  const TestWeights weights(std::vector<uint8_t>(1 << 20), isMapped);
  ManifestPiece piece{.name = "w",
                      .pattern = "w.{e}",
                      .matricesPerLayer = 100,
                      .stored = "U8",
                      .shape = {4},
                      .matrixBytes = 4};
  Manifest manifest;
  manifest.weights.bytes = 1 << 20;
  manifest.weights.pieces = {piece, piece};
  manifest.weights.pieces[1].matricesPerLayer = (1 << 18) - 100;
  manifest.host = ManifestHost{{1}, 400, 1};
  Status taken = there.takeWeights(weights, manifest, {});
  ASSERT_TRUE(taken.ok()) << taken.message;
  EXPECT_LT(host.used(), 1 << 18);
}

TEST_P(DeviceStepTest, TellsWhatFailed) {
  HostDevice small({kernel}, /*most=*/1000);
  DeviceStep there(small);
  const TestWeights weights(std::vector<uint8_t>(2000), isMapped);
  Manifest manifest;
  manifest.weights.bytes = 2000;
  manifest.weights.pieces = {{.name = "w",
                              .pattern = "w.{e}",
                              .matricesPerLayer = 500,
                              .stored = "U8",
                              .shape = {4},
                              .matrixBytes = 4}};
  Status taken = there.takeWeights(weights, manifest, {});
  EXPECT_EQ(taken.code, Code::Resource);
  EXPECT_EQ(taken.message, "no memory for the weights");
  EXPECT_EQ(small.used(), 0);
  host.failure = {Code::Mismatch, "a kernel failed"};
  DeviceStep other(host);
  moec_step_arguments arguments{};
  Status run = other.run([](const moec_step_arguments *, int64_t) {}, arguments, {});
  EXPECT_EQ(run.message, "a kernel failed");
}

INSTANTIATE_TEST_SUITE_P(Weights, DeviceStepTest, testing::Bool(), [](const auto &info) {
  return std::string(info.param ? "mapped" : "packed");
});

} // namespace
