// Inputs go to the device in one copy, with the arguments that its kernels read; results come back.

#include "runtime/device/DeviceStep.h"

#include "runtime/core/PackedLayout.h"

#include <algorithm>
#include <cassert>
#include <cstring>

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

Status DeviceStep::takeWeights(const Weights &given, const ManifestWeights &manifest,
                               const std::function<void(double)> &progress) {
  struct Part {
    const uint8_t *from;
    int64_t bytes, offset;
  };
  std::vector<Part> parts;
  int64_t total = 0;
  auto append = [&](const uint8_t *from, int64_t bytes) {
    parts.push_back({from, bytes, total});
    total = alignPacked(total + bytes);
  };
  if (given.packed()) {
    append(given.packed(), static_cast<int64_t>(manifest.bytes));
  } else {
    const uint8_t *const *piece = given.pieces();
    for (const ManifestPiece &stack : manifest.pieces) {
      const size_t count = std::max<size_t>(stack.layers.size(), 1) *
                           static_cast<size_t>(std::max<int64_t>(stack.matricesPerLayer, 1));
      for (size_t i = 0; i < count; ++i)
        append(*piece++, stack.matrixBytes);
    }
  }
  if (Status status = weights.ensure(total, "the weights"); !status.ok())
    return status;
  for (const Part &part : parts) {
    for (int64_t done = 0; done < part.bytes; done += kCopyBytes) {
      const int64_t bytes = std::min(kCopyBytes, part.bytes - done);
      if (Status status =
              device.copyIn(weights.data() + part.offset + done, part.from + done, bytes);
          !status.ok())
        return status;
      if (progress)
        progress(static_cast<double>(part.offset + done + bytes) / static_cast<double>(total));
    }
  }
  if (!given.packed()) {
    std::vector<const uint8_t *> places;
    places.reserve(parts.size());
    for (const Part &part : parts)
      places.push_back(weights.data() + part.offset);
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
        std::tuple(&arena, sizes.arena, "the activations of a step"),
        std::tuple(&logits, sizes.logits, "the logits of a step"),
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
  there.logits = arguments.logits ? reinterpret_cast<float *>(logits.data()) : nullptr;
  there.experts = arguments.experts ? reinterpret_cast<int32_t *>(experts.data()) : nullptr;
  there.expert_weights =
      arguments.experts ? reinterpret_cast<float *>(expertWeights.data()) : nullptr;
  there.team = there.profile = there.device = nullptr;
  memcpy(staged.data(), &there, sizeof there);
  assert(static_cast<int64_t>(staged.size()) <= inputBytes && "all inputs have room");
  if (Status status =
          device.copyIn(inputs.data(), staged.data(), static_cast<int64_t>(staged.size()));
      !status.ok())
    return status;

  there.device = &device;
  step(&there, /*thread=*/0);
  if (Status status = device.finish(); !status.ok())
    return status;
  for (auto [to, from, bytes] :
       {std::tuple(static_cast<void *>(arguments.logits), logits.data(), sizes.logits),
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
