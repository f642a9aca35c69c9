// Loads the driver library and looks up its functions.

#include "runtime/device/CudaDriver.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace moec {

Result<CudaDriver> CudaDriver::load(const char *library) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return Status{Code::Mismatch,
                  fmt::format("this program computes on an NVIDIA GPU, and there is no driver for "
                              "one here ({}); run it where one is installed",
                              dlerror())};
  CudaDriver driver;
  std::string missing;
  auto find = [&](const char *name, auto &function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (!function)
      missing += fmt::format(" {}", name);
  };
#define MOEC_CUDA_FUNCTION(name, parameters) find("cu" #name, driver.name);
  MOEC_CUDA_FUNCTIONS(MOEC_CUDA_FUNCTION)
#undef MOEC_CUDA_FUNCTION
  if (!missing.empty())
    return Status{Code::Mismatch,
                  fmt::format("the NVIDIA driver {} is too old: it lacks{}; install "
                              "a newer one",
                              library, missing)};
  if (CudaStatus status = driver.Init(0); status != 0)
    return Status{Code::Mismatch, fmt::format("the NVIDIA driver does not start: {}; nvidia-smi "
                                              "tells whether a GPU is there and works",
                                              driver.describe(status))};
  if (CudaStatus status = driver.DriverGetVersion(&driver.driverVersion); status != 0)
    return Status{Code::Mismatch, fmt::format("the NVIDIA driver does not tell its version: {}",
                                              driver.describe(status))};
  return driver;
}

std::string CudaDriver::describe(CudaStatus status) const {
  const char *text = nullptr;
  if (GetErrorString(status, &text) != 0 || !text)
    return fmt::format("error {}", status);
  return fmt::format("{} (error {})", text, status);
}

} // namespace moec
