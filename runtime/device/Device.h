// A processor with memory of its own, on which the kernels of a step run one after another.

#ifndef MOEC_RUNTIME_DEVICE_DEVICE_H
#define MOEC_RUNTIME_DEVICE_DEVICE_H

#include "runtime/core/Result.h"
#include "runtime/device/DeviceProgram.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace moec {

/// What computes. By default what the program was compiled for: CPUs, or a GPU by NVIDIA's driver.
enum class DeviceChoice { Default, Cpu, Cuda, Emulated };

/// An open device with the kernels of one architecture's step. Work is done in the order of the
/// calls; only `copyOut` and `finish` wait for it. One thread at a time.
class Device {
public:
  virtual ~Device() = default;
  Device() = default;
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  /// What users know it by: "NVIDIA H200".
  virtual std::string name() const = 0;

  /// `bytes` of device memory, at a multiple of 256, for `use`; Code::Resource, saying what was
  /// needed and what is free, where there are not so many.
  virtual Result<uint8_t *> allocate(int64_t bytes, std::string_view use) = 0;
  /// Bytes of its memory that nobody has taken.
  virtual int64_t freeBytes() const = 0;
  /// Gives back what `allocate` gave; null is nothing.
  virtual void release(uint8_t *memory) = 0;

  /// Copies to device memory. `from` may be changed once the call is over.
  virtual Status copyIn(uint8_t *to, const void *from, int64_t bytes) = 0;
  /// Copies from device memory when all that was asked for before is done, and waits for that.
  virtual Status copyOut(void *to, const uint8_t *from, int64_t bytes) = 0;
  /// Copies within device memory; the two do not overlap.
  virtual Status copy(uint8_t *to, const uint8_t *from, int64_t bytes) = 0;
  virtual Status clear(uint8_t *memory, int64_t bytes) = 0;

  /// `bytes` of memory of the host for `begin...` to copy from and to, at a multiple of 256.
  virtual Result<uint8_t *> allocateHost(int64_t bytes, std::string_view use) = 0;
  /// Gives back what `allocateHost` gave; null is nothing.
  virtual void releaseHost(uint8_t *memory) = 0;
  /// Copies to such memory, and is done when a `finish` from now on returns.
  virtual Status beginCopyOut(uint8_t *to, const uint8_t *from, int64_t bytes) = 0;
  /// Copies from such memory, which is not to change until a `finish` from now on returns.
  virtual Status beginCopyIn(uint8_t *to, const uint8_t *from, int64_t bytes) = 0;

  /// Runs kernel number `kernel` of the program in so many blocks, 0 for none; what `arguments`
  /// holds is copied. A failure is told by the next call of `finish`.
  virtual void launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) = 0;
  /// Waits for all that was asked for: the first failure of a launch since the last call.
  virtual Status finish() = 0;
};

/// What a moec_device_opener is asked, and what it answers.
struct DeviceOpening {
  std::span<const moec_device_code> codes; ///< outlive the device
  Status status;                           ///< why there is no device
  int64_t weightBytes = 0;                 ///< that the device has to have room for
  bool isNamed = false;                    ///< whether one that is busy or full ends the search
  std::string notice = {};                 ///< what became of devices that were tried before
  std::unique_ptr<Device> device = nullptr;
  const moec_device_code *code = nullptr; ///< that the device runs
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_DEVICE_H
