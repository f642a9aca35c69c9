// A model on a device: how large its steps are, and which results it brings back.

#include "runtime/core/Model.h"
#include "test/runtime/device/HostDevice.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace moec;

extern "C" void moec_device_launch(void *device, int64_t kernel, int64_t blocks,
                                   const void *arguments, int64_t bytes);

namespace {

constexpr int64_t kVocabulary = 11, kArenaBytesPerToken = 16 << 10;

std::vector<int64_t> rows, outputs; ///< of the steps that ran
HostDevice *host = nullptr;         ///< of the model that was opened last
int64_t memory = 0;                 ///< of the next one

float logitOf(int32_t token, int32_t position, int64_t id) {
  return float((token * 7 + position * 3 + id * 5) % 13);
}

void kernel(int64_t, const uint8_t *bytes) {
  const moec_step_arguments &step = **reinterpret_cast<const moec_step_arguments *const *>(bytes);
  rows.push_back(step.tokens);
  outputs.push_back(step.outputs);
  for (int64_t output = 0; output < step.outputs; ++output) {
    const int32_t row = step.output_rows[output];
    float *logits = step.logits + output * kVocabulary;
    for (int64_t id = 0; id < kVocabulary; ++id)
      logits[id] = logitOf(step.token_ids[row], step.positions[row], id);
    if (!step.largest)
      continue;
    const float *best = std::max_element(logits, logits + kVocabulary);
    moec_largest *largest = step.largest + output * MOEC_LARGEST_COUNT;
    std::fill_n(largest, int64_t(MOEC_LARGEST_COUNT), moec_largest{-1, 0});
    largest[0] = {int32_t(best - logits), *best};
  }
}

void step(const moec_step_arguments *arguments, int64_t) {
  const void *there = arguments->device_arguments;
  moec_device_launch(arguments->device, 0, 1, static_cast<const void *>(&there), sizeof there);
}

void open(void *given) {
  auto &opening = *static_cast<DeviceOpening *>(given);
  auto device = std::make_unique<HostDevice>(std::vector<HostDevice::Kernel>{kernel}, memory);
  host = device.get();
  opening.device = std::move(device);
  opening.code = opening.codes.data();
}

const moec_device_kernel kernels[] = {{"kernel", 32, 0}};
const moec_device_code code = {"host", step, kernels, 1, {}, nullptr};
const moec_device_program program = {&code, 1, open, nullptr};

} // namespace

extern "C" {
const moec_step_function moec_program_steps[] = {step};
const moec_device_program *const moec_program_device = &program;
int64_t moec_program_arena_bytes(int64_t tokens, int64_t, int64_t, int64_t) {
  return tokens * kArenaBytesPerToken;
}
const uint8_t moec_program_manifest[] = R"({
  "format": 1, "name": "fake", "versions": {}, "options": {}, "architecture": "FakeForCausalLM",
  "vocabulary": 11, "hidden": 8, "layers": 1, "context": 8192, "query_tile": 3, "block_tokens": 4,
  "step_tokens": 4096, "parameters": {"total": 1, "active": 1}, "moe_layers": [],
  "cpu_levels": [], "gpus": ["host"],
  "caches": [{"name": "full", "layers": [0], "bytes_per_block": 32, "window": 0, "chunk": 0}],
  "weights": {"mode": "map", "bytes": 0, "digest": "", "pieces": []},
  "sources": [], "model_directory": "none", "follow_links": false})";
const uint64_t moec_program_manifest_size = sizeof moec_program_manifest - 1;
const uint8_t moec_program_weights[] = {0};
const uint64_t moec_program_weights_size = 0;
}

namespace {

std::unique_ptr<Model> openWith(int64_t bytes) {
  memory = bytes;
  rows.clear();
  outputs.clear();
  Result<std::unique_ptr<Model>> model = Model::open({});
  EXPECT_TRUE(model.ok()) << model.status().message;
  return model.ok() ? std::move(*model) : nullptr;
}

std::vector<int32_t> someTokens(int64_t count) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i)
    tokens[i] = int32_t(i * i % kVocabulary);
  return tokens;
}

using Counts = std::vector<int64_t>;

// Down to 512, below which they are not cut.
TEST(DeviceModel, StepsWorkInAQuarterOfTheMemoryThatIsLeft) {
  for (auto [bytes, wanted] : {std::pair(INT64_C(1) << 30, 4096),
                               {INT64_C(1) << 28, 4096},
                               {(INT64_C(1) << 28) - 1, 2048},
                               {INT64_C(1) << 26, 1024},
                               {INT64_C(1) << 21, 512}}) {
    std::unique_ptr<Model> model = openWith(bytes);
    EXPECT_EQ(model->stepTokens(), wanted) << bytes;
  }
}

TEST(DeviceModel, StepsThatFindNoMemoryTakeFewerRows) {
  std::unique_ptr<Model> model = openWith(INT64_C(128) << 20);
  ASSERT_EQ(model->stepTokens(), 2048);
  const std::vector<int32_t> tokens = someTokens(2048);
  Sequence sequence(*model), other(*model);
  const Feed feed{.sequence = &sequence, .tokens = tokens},
      more{.sequence = &other, .tokens = tokens};
  // Room for the cache and for the arena of 1024 rows, and not of 2048.
  Result<uint8_t *> taken = host->allocate(host->freeBytes() - (INT64_C(26) << 20), "others");
  ASSERT_TRUE(taken.ok());
  Status status = model->feed({&feed, 1});
  EXPECT_TRUE(status.ok()) << status.message;
  EXPECT_EQ(rows, (Counts{1024, 1024}));
  EXPECT_EQ(model->stepTokens(), 1024);
  EXPECT_EQ(sequence.position(), 2048);
  Result<uint8_t *> rest = host->allocate(host->freeBytes(), "others");
  ASSERT_TRUE(rest.ok());
  status = model->feed({&more, 1});
  if (!status.ok()) { // where the cache had to grow
    EXPECT_EQ(status.code, Code::Resource);
    EXPECT_EQ(other.position(), 0);
  }
  host->release(*taken);
  host->release(*rest);
}

TEST(DeviceModel, StepsGiveAtMost512RowsOfLogits) {
  std::unique_ptr<Model> model = openWith(INT64_C(1) << 28);
  const std::vector<int32_t> tokens = someTokens(3000), few = someTokens(100);
  Sequence sequence(*model), other(*model);
  std::vector<float> logits(1300 * kVocabulary), otherLogits(100 * kVocabulary);
  const Feed feeds[] = {
      {.sequence = &sequence, .tokens = tokens, .outputs = 1300, .logits = logits.data()},
      {.sequence = &other, .tokens = few, .outputs = 100, .logits = otherLogits.data()}};
  ASSERT_TRUE(model->feed(feeds).ok());
  EXPECT_EQ(rows, (Counts{1700 + 512, 512, 276 + 100}));
  EXPECT_EQ(outputs, (Counts{512, 512, 276 + 100}));
  for (int64_t i = 0; i < 1300; ++i)
    ASSERT_EQ(logits[i * kVocabulary + 3], logitOf(tokens[1700 + i], int32_t(1700 + i), 3)) << i;
  for (int64_t i = 0; i < 100; ++i)
    ASSERT_EQ(otherLogits[i * kVocabulary + 3], logitOf(few[i], int32_t(i), 3)) << i;
}

// Beside a feed that is given all.
TEST(DeviceModel, GivesTheLargestLogitsAndThenAll) {
  std::unique_ptr<Model> model = openWith(INT64_C(1) << 28);
  ASSERT_EQ(model->largestPerRow(), MOEC_LARGEST_COUNT);
  const std::vector<int32_t> tokens = someTokens(9);
  Sequence one(*model), two(*model);
  std::vector<float> logits(kVocabulary);
  std::vector<moec_largest> largest(2 * MOEC_LARGEST_COUNT);
  const Feed feeds[] = {
      {.sequence = &one, .tokens = tokens, .outputs = 1, .logits = logits.data()},
      {.sequence = &two, .tokens = tokens, .outputs = 2, .largest = largest.data()}};
  ASSERT_TRUE(model->feed(feeds).ok());
  std::vector<float> wanted(kVocabulary), all(kVocabulary);
  for (int64_t id = 0; id < kVocabulary; ++id)
    wanted[id] = logitOf(tokens[8], 8, id);
  const auto best = std::max_element(wanted.begin(), wanted.end());
  EXPECT_EQ(logits, wanted);
  EXPECT_EQ(largest[MOEC_LARGEST_COUNT].id, best - wanted.begin());
  EXPECT_EQ(largest[MOEC_LARGEST_COUNT].logit, *best);
  EXPECT_EQ(largest[MOEC_LARGEST_COUNT + 1].id, -1);
  ASSERT_TRUE(model->lastLogits(all.data()).ok());
  EXPECT_EQ(all, wanted);
}

} // namespace
