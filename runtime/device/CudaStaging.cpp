// Fills the rooms by turns.

#include "runtime/device/CudaStaging.h"

#include <algorithm>
#include <cstring>

namespace moec {

CudaStaging::~CudaStaging() {
  for (const Room &room : rooms) {
    if (room.isFree)
      driver.EventDestroy_v2(room.isFree);
    if (room.memory)
      driver.MemFreeHost(room.memory);
  }
}

CudaStatus CudaStaging::open(Room &room) {
  constexpr unsigned kNoTiming = 2; // flag of an event
  void *memory = nullptr;
  CudaStatus status = driver.MemHostAlloc(&memory, kRoomBytes, /*flags=*/0);
  if (status != 0)
    return status;
  if (status = driver.EventCreate(&room.isFree, kNoTiming); status != 0) {
    driver.MemFreeHost(memory);
    return status;
  }
  room.memory = static_cast<uint8_t *>(memory);
  return 0;
}

CudaStatus CudaStaging::copy(CudaAddress to, const void *from, size_t bytes, CudaStream *stream) {
  const auto *source = static_cast<const uint8_t *>(from);
  for (size_t done = 0; done < bytes;) {
    Room &room = rooms[next];
    next = (next + 1) % rooms.size();
    CudaStatus status = room.isFree ? driver.EventSynchronize(room.isFree) : open(room);
    if (status != 0)
      return status;
    const size_t part = std::min(kRoomBytes, bytes - done);
    memcpy(room.memory, source + done, part);
    status = driver.MemcpyHtoDAsync_v2(to + done, room.memory, part, stream);
    if (status == 0)
      status = driver.EventRecord(room.isFree, stream);
    if (status != 0)
      return status;
    done += part;
  }
  return 0;
}

} // namespace moec
