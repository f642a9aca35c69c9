// One wait for each part: until its rows have come. Its result follows the launches behind it.

#include "runtime/device/HostPart.h"

#include "runtime/core/PackedLayout.h"

#include <array>
#include <cassert>
#include <utility>

namespace moec {

void HostPart::run(int64_t part, int64_t layer, std::span<uint8_t *const> buffers,
                   std::span<const int64_t> bytes) {
  if (failure.ok())
    failure = cross(part, layer, buffers, bytes);
}

Status HostPart::makeRoom(int64_t bytes) {
  if (bytes <= room)
    return {};
  // The result of an earlier part may still be on its way from there.
  if (Status status = device.finish(); !status.ok())
    return status;
  device.releaseHost(std::exchange(crossing, nullptr));
  room = 0;
  Result<uint8_t *> memory = device.allocateHost(bytes, "rows that CPUs compute");
  if (!memory.ok())
    return memory.status();
  crossing = *memory;
  room = bytes;
  return {};
}

Status HostPart::cross(int64_t part, int64_t layer, std::span<uint8_t *const> buffers,
                       std::span<const int64_t> bytes) {
  assert(buffers.size() == bytes.size() && buffers.size() <= MOEC_PART_BUFFERS &&
         !buffers.empty() && "the compiler gives no more, and one for the result");
  int64_t total = 0;
  std::array<int64_t, MOEC_PART_BUFFERS> offsets{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    offsets[i] = total;
    total = alignPacked(total + bytes[i]);
  }
  if (Status status = makeRoom(total); !status.ok())
    return status;
  const int64_t arenaBytes = code.arenaBytes(tokens, 1, 0, threads.count());
  if (Status status = arena.ensure(arenaBytes, "the activations of a step"); !status.ok())
    return status;

  moec_step_arguments arguments{};
  arguments.tokens = tokens;
  arguments.sequences = 1;
  arguments.weights = code.weights;
  arguments.weight_pieces = code.weightPieces;
  arguments.arena = arena.data();
  arguments.team = &threads.team();
  arguments.part = part;
  arguments.layer = layer;
  const size_t result = buffers.size() - 1;
  for (size_t i = 0; i < buffers.size(); ++i)
    arguments.part_rows[i] = crossing + offsets[i];
  for (size_t i = 0; i < result; ++i)
    if (Status status = device.beginCopyOut(crossing + offsets[i], buffers[i], bytes[i]);
        !status.ok())
      return status;
  if (Status status = device.finish(); !status.ok())
    return status;
  threads.step(code.step, arguments);
  return device.beginCopyIn(buffers[result], crossing + offsets[result], bytes[result]);
}

} // namespace moec

extern "C" void moec_part_run(void *host, int64_t part, int64_t layer, void *const *buffers,
                              const int64_t *bytes, int64_t count) {
  static_cast<moec::HostPart *>(host)->run(
      part, layer, {reinterpret_cast<uint8_t *const *>(buffers), static_cast<size_t>(count)},
      {bytes, static_cast<size_t>(count)});
}
