// Inputs go to the device in one copy, with the arguments that its kernels read; results come back.

#include "runtime/device/DeviceStep.h"

#include "runtime/core/PackedLayout.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

namespace moec {

static constexpr int64_t kRoomStep = INT64_C(64) << 10; ///< bytes

Status DeviceBuffer::ensure(int64_t bytes, std::string_view use) {
  if (bytes <= capacity)
    return {};
  device->release(std::exchange(base, nullptr));
  capacity = 0;
  // With room to grow, so that addresses mostly stay from step to step.
  const int64_t room = (bytes + kRoomStep - 1) / kRoomStep * kRoomStep;
  Result<uint8_t *> memory = device->allocate(room, use);
  if (!memory.ok())
    return memory.status();
  base = *memory;
  capacity = room;
  return {};
}

// Large enough to be fast, and small enough for progress to show.
static constexpr int64_t kCopyBytes = INT64_C(64) << 20;

namespace {
/// Some of a weight, and where it goes among those of the device.
struct Part {
  const uint8_t *from;
  int64_t bytes, offset;
};
} // namespace

/// Has the system read the pages of a mapped file that are not in memory yet, without waiting.
static void readAhead(const Part &part) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(part.from), begin = address / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): where its page begins.
  madvise(reinterpret_cast<void *>(begin), address - begin + static_cast<uintptr_t>(part.bytes),
          MADV_WILLNEED);
}

/// Copies the parts one after another, the next of which is read while one is on its way.
static Status copyParts(Device &device, uint8_t *to, std::span<const Part> parts,
                        const std::function<void(double)> &progress) {
  int64_t all = 0, copied = 0;
  for (const Part &part : parts)
    all += part.bytes;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part &part = parts[i];
    if (i + 1 < parts.size())
      readAhead(parts[i + 1]);
    if (Status status = device.copyIn(to + part.offset, part.from, part.bytes); !status.ok())
      return status;
    copied += part.bytes;
    if (progress)
      progress(static_cast<double>(copied) / static_cast<double>(all));
  }
  return {};
}

Status DeviceStep::takeWeights(const Weights &given, const Manifest &manifest,
                               const std::function<void(double)> &progress) {
  std::vector<Part> parts;
  std::vector<int64_t> offsets; ///< of weights
  int64_t total = 0;
  auto append = [&](const uint8_t *from, int64_t bytes) {
    offsets.push_back(total);
    for (int64_t done = 0; done < bytes; done += kCopyBytes)
      parts.push_back({from + done, std::min(kCopyBytes, bytes - done), total + done});
    total = alignPacked(total + bytes);
  };
  if (given.packed()) {
    append(given.packed(), manifest.deviceBytes());
  } else {
    const uint8_t *const *piece = given.pieces();
    for (const ManifestPiece &stack : manifest.devicePieces())
      for (int64_t i = 0; i < stack.matrices(); ++i)
        append(*piece++, stack.matrixBytes);
  }
  if (Status status = weights.ensure(total, "the weights"); !status.ok())
    return status;
  if (Status status = copyParts(device, weights.data(), parts, progress); !status.ok())
    return status;
  if (!given.packed()) {
    std::vector<const uint8_t *> places;
    places.reserve(offsets.size());
    for (int64_t offset : offsets)
      places.push_back(weights.data() + offset);
    const auto bytes = static_cast<int64_t>(places.size() * sizeof places.front());
    Status status = pieces.ensure(bytes, "the places of weights");
    if (status.ok())
      status = device.copyIn(pieces.data(), static_cast<const void *>(places.data()), bytes);
    if (!status.ok())
      return status;
  }
  return device.finish();
}

template <typename T> const T *DeviceStep::put(const T *from, int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  const auto offset = static_cast<size_t>(alignPacked(static_cast<int64_t>(staged.size())));
  staged.resize(offset + bytes);
  if (bytes)
    memcpy(staged.data() + offset, static_cast<const void *>(from), bytes);
  return reinterpret_cast<const T *>(inputs.data() + offset);
}

Status DeviceStep::run(moec_step_function step, const moec_step_arguments &arguments,
                       const Sizes &sizes) {
  const int64_t tokens = arguments.tokens,
                tableEntries = arguments.sequences * arguments.block_stride;
  // Addresses within the inputs are known before they are put there.
  const int64_t inputBytes = (3 * tokens + arguments.outputs + 3 * arguments.query_tiles +
                              sizes.cacheGroups * tableEntries) *
                                 INT64_C(4) +
                             2 * sizes.cacheGroups * INT64_C(8) +
                             static_cast<int64_t>(sizeof arguments) +
                             (8 + sizes.cacheGroups) * kPackedAlignment;
  for (auto [buffer, bytes, use] :
       {std::tuple(&inputs, inputBytes, "the inputs of a step"),
        std::tuple(&arena, sizes.arena, kArenaUse.data()),
        std::tuple(&logits, sizes.logits, "the logits of a step"),
        std::tuple(&largest, sizes.largest, "the largest logits of a step"),
        std::tuple(&experts, sizes.routing, "the routing of a step"),
        std::tuple(&expertWeights, sizes.routing, "the routing of a step")})
    if (Status status = buffer->ensure(bytes, use); !status.ok())
      return status;

  staged.clear();
  moec_step_arguments there = arguments;
  // First, and so at the same place in most steps: kernels are given its address.
  there.device_arguments = put(&there, 1);
  there.token_ids = put(arguments.token_ids, tokens);
  there.positions = put(arguments.positions, tokens);
  there.row_sequences = put(arguments.row_sequences, tokens);
  there.output_rows = put(arguments.output_rows, arguments.outputs);
  there.tiles = put(arguments.tiles, 3 * arguments.query_tiles);
  std::vector<const int32_t *> tables;
  tables.reserve(static_cast<size_t>(sizes.cacheGroups));
  for (int64_t group = 0; group < sizes.cacheGroups; ++group)
    tables.push_back(put(arguments.block_tables[group], tableEntries));
  there.block_tables = put(tables.data(), sizes.cacheGroups);
  there.caches = put(arguments.caches, sizes.cacheGroups);
  there.weights = pieces.size() ? nullptr : weights.data();
  there.weight_pieces = reinterpret_cast<const uint8_t *const *>(pieces.data());
  there.arena = arena.data();
  there.logits = arguments.outputs ? reinterpret_cast<float *>(logits.data()) : nullptr;
  there.largest = arguments.largest ? reinterpret_cast<moec_largest *>(largest.data()) : nullptr;
  there.experts = arguments.experts ? reinterpret_cast<int32_t *>(experts.data()) : nullptr;
  there.expert_weights =
      arguments.experts ? reinterpret_cast<float *>(expertWeights.data()) : nullptr;
  there.team = there.profile = there.device = there.host = nullptr;
  memcpy(staged.data(), &there, sizeof there);
  assert(static_cast<int64_t>(staged.size()) <= inputBytes && "all inputs have room");
  if (Status status =
          device.copyIn(inputs.data(), staged.data(), static_cast<int64_t>(staged.size()));
      !status.ok())
    return status;

  there.device = &device;
  there.host = host;
  if (host)
    host->begin(tokens);
  step(&there, /*thread=*/0);
  const Status crossed = host ? host->end() : Status();
  if (Status status = device.finish(); !crossed.ok() || !status.ok())
    return crossed.ok() ? status : crossed;
  for (auto [to, from, bytes] :
       {std::tuple(static_cast<void *>(arguments.logits), logits.data(), sizes.logits),
        std::tuple(static_cast<void *>(arguments.largest), largest.data(), sizes.largest),
        std::tuple(static_cast<void *>(arguments.experts), experts.data(), sizes.routing),
        std::tuple(static_cast<void *>(arguments.expert_weights), expertWeights.data(),
                   sizes.routing)})
    if (to && bytes)
      if (Status status = device.copyOut(to, from, bytes); !status.ok())
        return status;
  return {};
}

} // namespace moec

extern "C" void moec_device_launch(void *device, int64_t kernel, int64_t blocks,
                                   const void *arguments, int64_t bytes) {
  static_cast<moec::Device *>(device)->launch(
      kernel, blocks, {static_cast<const uint8_t *>(arguments), static_cast<size_t>(bytes)});
}
