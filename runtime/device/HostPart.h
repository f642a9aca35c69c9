// What CPUs do of a step on a device: rows cross to them, and what they make of them crosses back.

#ifndef MOEC_RUNTIME_DEVICE_HOSTPART_H
#define MOEC_RUNTIME_DEVICE_HOSTPART_H

#include "runtime/core/PageBuffer.h"
#include "runtime/core/Step.h"
#include "runtime/cpu/Threads.h"
#include "runtime/device/Device.h"
#include "runtime/device/DeviceProgram.h"

#include <cstdint>
#include <span>
#include <utility>

namespace moec {

/// Device, threads and weights must outlive it.
class HostPart {
public:
  /// What its step, the one for this machine's CPU level, works with.
  struct Code {
    moec_step_function step;
    int64_t (*arenaBytes)(int64_t tokens, int64_t sequences, int64_t outputs, int64_t threads);
    const uint8_t *weights;             ///< its own; null where they are mapped
    const uint8_t *const *weightPieces; ///< mapped: where each of its own lies; else null
  };

  HostPart(Device &device, Threads &threads, const Code &code)
      : device(device), threads(threads), code(code) {}
  ~HostPart() { device.releaseHost(crossing); }
  HostPart(const HostPart &) = delete;
  HostPart &operator=(const HostPart &) = delete;

  /// Where its memory shall lie; before the first step.
  void setNodes(const NodeSet &nodes) { arena.setNodes(nodes); }

  /// Begins a step of so many tokens.
  void begin(int64_t stepTokens) { tokens = stepTokens; }
  /// moec_part_run of it. After a failure it does nothing until the step is over.
  void run(int64_t part, int64_t layer, std::span<uint8_t *const> buffers,
           std::span<const int64_t> bytes);
  /// Ends the step: its first failure.
  Status end() { return std::exchange(failure, {}); }

  /// Bytes that steps have worked in.
  int64_t arenaBytes() const { return arena.size(); }

private:
  Status cross(int64_t part, int64_t layer, std::span<uint8_t *const> buffers,
               std::span<const int64_t> bytes);
  Status makeRoom(int64_t bytes);

  Device &device;
  Threads &threads;
  const Code code;
  PageBuffer arena;
  uint8_t *crossing = nullptr; ///< memory of the host that the device copies from and to
  int64_t room = 0;            ///< bytes of it
  int64_t tokens = 0;
  Status failure;
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_HOSTPART_H
