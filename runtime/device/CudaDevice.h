// An NVIDIA GPU by its driver.

#ifndef MOEC_RUNTIME_DEVICE_CUDADEVICE_H
#define MOEC_RUNTIME_DEVICE_CUDADEVICE_H

#include "runtime/device/Device.h"

#include <span>

namespace moec {

/// The first GPU that runs one of the images, best code first: for just its architecture, for an
/// earlier one of its generation, PTX. The tables must outlive it. Code::Mismatch, saying what was
/// wanted and found, without a driver or a GPU that does, or with too old a driver; `library` is
/// the driver's.
Result<std::unique_ptr<Device>> openCudaDevice(std::span<const moec_device_kernel> kernels,
                                               std::span<const moec_device_image> images,
                                               const char *library = "libcuda.so.1");

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_CUDADEVICE_H
