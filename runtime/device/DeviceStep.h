// A model's step on a device: what it reads and writes there, from step to step.

#ifndef MOEC_RUNTIME_DEVICE_DEVICESTEP_H
#define MOEC_RUNTIME_DEVICE_DEVICESTEP_H

#include "runtime/core/Manifest.h"
#include "runtime/core/Step.h"
#include "runtime/core/Weights.h"
#include "runtime/device/Device.h"
#include "runtime/device/HostPart.h"

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace moec {

/// Device memory for one use, which grows; its contents do not survive growth.
class DeviceBuffer {
public:
  explicit DeviceBuffer(Device &device) : device(&device) {}
  ~DeviceBuffer() { device->release(base); }
  DeviceBuffer(const DeviceBuffer &) = delete;
  DeviceBuffer &operator=(const DeviceBuffer &) = delete;

  /// Makes room for `bytes`; the buffer is empty where that fails.
  Status ensure(int64_t bytes, std::string_view use);

  uint8_t *data() const { return base; }
  int64_t size() const { return capacity; }

private:
  Device *device;
  uint8_t *base = nullptr;
  int64_t capacity = 0;
};

/// The device must outlive it, and the host's part where there is one.
class DeviceStep {
public:
  explicit DeviceStep(Device &device, HostPart *host = nullptr)
      : device(device), host(host), weights(device), pieces(device), inputs(device), arena(device),
        logits(device), largest(device), experts(device), expertWeights(device) {}

  /// Copies the weights to the device, but for the host's, once, before the first step; `progress`
  /// (may be empty) gets a share from 0 to 1. Code::Resource, before anything is copied, where they
  /// have no room.
  Status takeWeights(const Weights &given, const Manifest &manifest,
                     const std::function<void(double)> &progress);

  /// Makes room for steps that work in so many bytes.
  Status reserve(int64_t arenaBytes) { return arena.ensure(arenaBytes, kArenaUse); }

  /// Bytes of a step that its arguments do not tell.
  struct Sizes {
    int64_t cacheGroups;
    int64_t arena, logits, largest, routing; ///< the last of experts, and of their weights again
  };

  /// Runs `step` and waits for it. The arguments are as for a step on CPUs, but the caches are
  /// device memory, and arena and weights are not looked at; results go where they say. Logits that
  /// have no place stay on the device, for copyLogits.
  Status run(moec_step_function step, const moec_step_arguments &arguments, const Sizes &sizes);

  /// Copies `bytes` of the last step's logits from byte `offset` on.
  Status copyLogits(int64_t offset, float *to, int64_t bytes) {
    return device.copyOut(static_cast<void *>(to), logits.data() + offset, bytes);
  }

  /// Bytes that steps have worked in.
  int64_t arenaBytes() const { return arena.size(); }

private:
  static constexpr std::string_view kArenaUse = "the activations of a step";

  /// Puts `bytes` into the inputs: where they will be on the device.
  template <typename T> const T *put(const T *from, int64_t count);

  Device &device;
  HostPart *host; ///< null where the device does all
  DeviceBuffer weights;
  DeviceBuffer pieces; ///< where each mapped weight lies on the device; empty where they are packed
  DeviceBuffer inputs, arena, logits, largest, experts, expertWeights;
  std::vector<uint8_t> staged; ///< what `inputs` is to hold
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_DEVICESTEP_H
