// The tables of runtime/device/DeviceProgram.h, by which a program finds its kernels.

#ifndef MOEC_COMPILER_EMIT_DEVICETABLES_H
#define MOEC_COMPILER_EMIT_DEVICETABLES_H

#include "runtime/device/DeviceProgram.h"

#include "llvm/IR/Module.h"

#include <string>
#include <vector>

namespace moec {

struct DeviceKernel {
  std::string name;
  int32_t threads;     ///< of a block
  int32_t sharedBytes; ///< that a launch gives a block
};

/// Of one architecture.
struct DeviceCode {
  std::string architecture;
  std::vector<DeviceKernel> kernels; ///< by the numbers that the step launches them by
  moec_device_image image;           ///< but for `bytes` and `size`
  std::string bytes;                 ///< of the image; PTX without its zero
};

/// Adds `moec_program_device` to `module`, in which joinLevels() has joined the host's code of the
/// architectures, and to which addHostPart() has added what CPUs do of the steps, if anything; it
/// is null where `codes` is empty.
void addDeviceTables(llvm::Module &module, llvm::ArrayRef<DeviceCode> codes);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_DEVICETABLES_H
