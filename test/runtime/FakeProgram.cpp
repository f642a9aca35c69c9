// Two cache groups (one with a window), two MoE layers, integer hashes for arithmetic; checks what
// it is given.

#include "test/runtime/FakeProgram.h"

#include "runtime/cpu/Team.h"
#include "runtime/device/DeviceProgram.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

using namespace moec;

static std::mutex faultsLock;
static std::vector<std::string> faults;
static int64_t steps;
static std::string level;

static void fault(const std::string &what) {
  std::lock_guard<std::mutex> guard(faultsLock);
  faults.push_back(what);
}

std::vector<std::string> moec::takeFakeFaults() { return std::exchange(faults, {}); }
int64_t moec::takeFakeSteps() { return std::exchange(steps, 0); }
std::string moec::takeFakeLevel() { return std::exchange(level, {}); }

static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) + b + 1;
  x ^= x >> 29;
  x *= UINT64_C(0xbf58476d1ce4e5b9);
  return x ^ (x >> 32);
}

/// What a token leaves in the cache; never zero.
static uint64_t entry(int64_t token, int64_t position) { return mix(token + 1, position) | 1; }

static float logit(uint64_t state, int64_t v) {
  return static_cast<float>(mix(state, v) >> 40) / (1 << 24);
}

static constexpr int64_t layerExperts[] = {5, 7}, layerPicks[] = {2, 1};

static int32_t pick(uint64_t state, int64_t layer, int64_t k) {
  uint64_t first = mix(state, 1000 + layer) % layerExperts[layer];
  return static_cast<int32_t>((first + k) % layerExperts[layer]);
}

static uint64_t fullState(const std::vector<int32_t> &tokens) {
  uint64_t all = 0, near = 0;
  int64_t last = static_cast<int64_t>(tokens.size()) - 1;
  for (int64_t p = 0; p <= last; ++p) {
    all = mix(all, entry(tokens[p], p));
    if (p > last - fakeWindow)
      near = mix(near, entry(tokens[p], p));
  }
  return mix(all, near);
}

std::vector<float> moec::fakeLogits(const std::vector<int32_t> &tokens) {
  std::vector<float> logits(fakeVocabulary);
  for (int64_t v = 0; v < fakeVocabulary; ++v)
    logits[v] = logit(fullState(tokens), v);
  return logits;
}

std::vector<int32_t> moec::fakeExperts(const std::vector<int32_t> &tokens) {
  std::vector<int32_t> picks;
  for (int64_t layer = 0; layer < 2; ++layer)
    for (int64_t k = 0; k < layerPicks[layer]; ++k)
      picks.push_back(pick(fullState(tokens), layer, k));
  return picks;
}

/// Positions of one group live in blocks of four entries.
static uint64_t *slot(const moec_step_arguments &step, int group, int64_t sequence,
                      int64_t position) {
  int32_t block =
      step.block_tables[group][sequence * step.block_stride + position / fakeBlockTokens];
  return reinterpret_cast<uint64_t *>(step.caches[group]) + block * fakeBlockTokens +
         position % fakeBlockTokens;
}

static void checkStep(const moec_step_arguments &step) {
  static std::vector<int> covered; // kept, as a step allocates nothing; one thread at a time
  covered.assign(step.tokens, 0);
  for (int64_t q = 0; q < step.query_tiles; ++q) {
    const int32_t *tile = step.tiles + 3 * q;
    if (tile[1] < 1 || tile[1] > fakeQueryTile)
      fault("a tile of " + std::to_string(tile[1]) + " rows");
    for (int32_t row = tile[0]; row < tile[0] + tile[1]; ++row) {
      ++covered[row];
      if (step.row_sequences[row] != tile[2])
        fault("a tile over two sequences");
    }
  }
  if (std::any_of(covered.begin(), covered.end(), [](int count) { return count != 1; }))
    fault("a row in no tile, or in two");
  if (step.tokens > fakeStepTokens)
    fault("a step of " + std::to_string(step.tokens) + " rows");
  for (int64_t row = 1; row < step.tokens; ++row)
    if (step.row_sequences[row] == step.row_sequences[row - 1] &&
        step.positions[row] != step.positions[row - 1] + 1)
      fault("positions that do not ascend by one");
  for (int64_t row = 0; row < step.tokens; ++row)
    for (int group = 0; group < 2; ++group)
      if (step.positions[row] % fakeBlockTokens == 0 &&
          std::count(slot(step, group, step.row_sequences[row], step.positions[row]),
                     slot(step, group, step.row_sequences[row], step.positions[row]) +
                         fakeBlockTokens,
                     UINT64_C(0)) != fakeBlockTokens)
        fault("a block that is not zero when handed out");
  if (reinterpret_cast<uintptr_t>(step.arena) % 64)
    fault("an arena that is not aligned");
}

/// One phase: the tiles that `thread` gets.
static void forTiles(const moec_step_arguments &step, int64_t thread, int64_t tiles,
                     const auto &tile) {
  for (int64_t end, first; (first = moec_tiles_claim(step.team, thread, tiles, tiles, &end)) < end;)
    for (; first < end; ++first)
      tile(first);
}

extern "C" {

int64_t moec_program_arena_bytes(int64_t tokens, int64_t, int64_t, int64_t) {
  return tokens * static_cast<int64_t>(sizeof(uint64_t));
}

static void step(const moec_step_arguments *arguments, int64_t thread) {
  const moec_step_arguments &step = *arguments;
  forTiles(step, thread, 1, [&](int64_t) {
    checkStep(step);
    ++steps;
  });
  moec_tiles_wait(step.team, thread);
  forTiles(step, thread, step.tokens, [&](int64_t row) {
    for (int group = 0; group < 2; ++group)
      *slot(step, group, step.row_sequences[row], step.positions[row]) =
          entry(step.token_ids[row], step.positions[row]);
  });
  moec_tiles_wait(step.team, thread);
  forTiles(step, thread, step.tokens, [&](int64_t row) {
    uint64_t all = 0, near = 0;
    int64_t position = step.positions[row], sequence = step.row_sequences[row];
    for (int64_t p = 0; p <= position; ++p)
      all = mix(all, *slot(step, 0, sequence, p));
    for (int64_t p = std::max<int64_t>(position - fakeWindow + 1, 0); p <= position; ++p)
      near = mix(near, *slot(step, 1, sequence, p));
    uint64_t state = reinterpret_cast<uint64_t *>(step.arena)[row] = mix(all, near);
    for (int64_t layer = 0; step.experts && layer < 2; ++layer)
      for (int64_t k = 0; k < layerPicks[layer]; ++k) {
        int64_t at = (layer * step.tokens + row) * fakeMostPicked + k;
        step.experts[at] = pick(state, layer, k);
        step.expert_weights[at] = logit(state, 100 + k);
      }
  });
  moec_tiles_wait(step.team, thread);
  forTiles(step, thread, step.outputs, [&](int64_t output) {
    uint64_t state = reinterpret_cast<uint64_t *>(step.arena)[step.output_rows[output]];
    for (int64_t v = 0; v < fakeVocabulary; ++v)
      step.logits[output * fakeVocabulary + v] = logit(state, v);
  });
  moec_tiles_wait(step.team, thread);
}

static void baselineStep(const moec_step_arguments *arguments, int64_t thread) {
  if (thread == 0)
    level = "baseline";
  step(arguments, thread);
}

static void betterStep(const moec_step_arguments *arguments, int64_t thread) {
  if (thread == 0)
    level = "better";
  step(arguments, thread);
}

static void futureStep(const moec_step_arguments *, int64_t) { std::abort(); }

const moec_step_function moec_program_steps[] = {baselineStep, betterStep, futureStep};
const moec_device_program *const moec_program_device = nullptr;

#define TEXT_OF(number) TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

const uint8_t moec_program_manifest[] = R"({
  "format": 1, "name": "fake", "versions": {"moec": "0.1.0", "llvm": "22.1.8"},
  "options": {"activations": "f32", "weights": "map"}, "architecture": "FakeForCausalLM",
  "vocabulary": )" TEXT_OF(FAKE_VOCABULARY) R"(, "hidden": 8, "layers": 4, "context": )" TEXT_OF(
    FAKE_CONTEXT) R"(,
  "query_tile": 3, "block_tokens": 4, "step_tokens": 8,
  "parameters": {"total": 1200, "active": 700},
  "moe_layers": [{"layer": 1, "experts": 5, "picked": 2}, {"layer": 3, "experts": 7, "picked": 1}],
  "cpu_levels": [{"name": "baseline", "features": []}, {"name": "better", "features": []},
                 {"name": "future", "features": ["avx9000", "amx_from_the_future"]}],
  "caches": [{"name": "full", "layers": [0, 1], "bytes_per_block": 32, "window": 0, "chunk": 0},
             {"name": "window", "layers": [2, 3], "bytes_per_block": 32, "window": 6, "chunk": 0}],
  "weights": {"mode": "map", "bytes": 0, "digest": "", "pieces": []},
  "sources": [], "model_directory": "none", "follow_links": false})";
const uint64_t moec_program_manifest_size = sizeof moec_program_manifest - 1;
#ifndef FAKE_TEXT
alignas(64) const uint8_t moec_program_tokenizer[] = {0};
const uint64_t moec_program_tokenizer_size = 0;
const uint8_t moec_program_template[] = {0};
const uint64_t moec_program_template_size = 0;
const uint8_t moec_program_generation[] = {0};
const uint64_t moec_program_generation_size = 0;
#endif
const uint8_t moec_program_weights[] = {0};
const uint64_t moec_program_weights_size = 0;
}
