// An NVIDIA GPU by its driver.

#ifndef MOEC_RUNTIME_DEVICE_CUDADEVICE_H
#define MOEC_RUNTIME_DEVICE_CUDADEVICE_H

#include "runtime/device/Device.h"

namespace moec {

/// Opens the first GPU that runs one of `opening.codes`, best code first: for just its
/// architecture, for an earlier one of its generation, PTX. One that is busy or has no room for the
/// weights is passed over, and noted, unless users have named it. Code::Mismatch, saying what was
/// wanted and found, without a driver or a GPU that does, or with too old a driver; `library` is
/// the driver's.
void openCudaDevice(DeviceOpening &opening, const char *library = "libcuda.so.1");

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_CUDADEVICE_H
