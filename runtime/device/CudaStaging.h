// Host memory that a GPU reads by itself, on the way to its own.

#ifndef MOEC_RUNTIME_DEVICE_CUDASTAGING_H
#define MOEC_RUNTIME_DEVICE_CUDASTAGING_H

#include "runtime/device/CudaDriver.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace moec {

/// Two rooms, of which one is filled while the other goes to the GPU: so a file is read while what
/// was read before is on its way. The driver must outlive it, and be told to wait for the stream
/// first.
class CudaStaging {
public:
  explicit CudaStaging(const CudaDriver &driver) : driver(driver) {}
  ~CudaStaging();
  CudaStaging(const CudaStaging &) = delete;
  CudaStaging &operator=(const CudaStaging &) = delete;

  /// Copies `bytes` to device memory, after all that `stream` has to do. `from` may be changed once
  /// the call is over.
  CudaStatus copy(CudaAddress to, const void *from, size_t bytes, CudaStream *stream);

private:
  /// Large enough that its start costs nothing beside it, small enough for two to be nothing beside
  /// a model.
  static constexpr size_t kRoomBytes = size_t(32) << 20;

  struct Room {
    uint8_t *memory = nullptr;
    CudaEvent *isFree = nullptr; ///< once what was last in it is copied
  };
  CudaStatus open(Room &room);

  const CudaDriver &driver;
  std::array<Room, 2> rooms;
  size_t next = 0;
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_CUDASTAGING_H
