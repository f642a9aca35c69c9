// NVIDIA's driver library, found when the program runs: a program starts, and says what is missing,
// where there is none.

#ifndef MOEC_RUNTIME_DEVICE_CUDADRIVER_H
#define MOEC_RUNTIME_DEVICE_CUDADRIVER_H

#include "runtime/core/Result.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace moec {

// As the driver's interface has them: handles are opaque, a device address is a number, 0 is
// success.
using CudaStatus = int;
using CudaDeviceNumber = int;
using CudaAddress = uint64_t;
struct CudaContext;
struct CudaStream;
struct CudaModule;
struct CudaFunction;
struct CudaGraph;
struct CudaGraphExec;
struct CudaEvent;

/// The functions that are called, under the driver's names less their first two letters; those
/// with a version of the interface in their name have that here too.
#define MOEC_CUDA_FUNCTIONS(F)                                                                     \
  F(Init, (unsigned flags))                                                                        \
  F(DriverGetVersion, (int *version))                                                              \
  F(GetErrorString, (CudaStatus status, const char **text))                                        \
  F(DeviceGetCount, (int *count))                                                                  \
  F(DeviceGet, (CudaDeviceNumber * device, int ordinal))                                           \
  F(DeviceGetName, (char *name, int length, CudaDeviceNumber device))                              \
  F(DeviceGetAttribute, (int *value, int attribute, CudaDeviceNumber device))                      \
  F(DevicePrimaryCtxRetain, (CudaContext * *context, CudaDeviceNumber device))                     \
  F(DevicePrimaryCtxRelease_v2, (CudaDeviceNumber device))                                         \
  F(CtxPushCurrent_v2, (CudaContext * context))                                                    \
  F(CtxPopCurrent_v2, (CudaContext * *context))                                                    \
  F(StreamCreate, (CudaStream * *stream, unsigned flags))                                          \
  F(StreamDestroy_v2, (CudaStream * stream))                                                       \
  F(StreamSynchronize, (CudaStream * stream))                                                      \
  F(ModuleLoadData, (CudaModule * *module, const void *image))                                     \
  F(ModuleUnload, (CudaModule * module))                                                           \
  F(ModuleGetFunction, (CudaFunction * *function, CudaModule * module, const char *name))          \
  F(FuncSetAttribute, (CudaFunction * function, int attribute, int value))                         \
  F(LaunchKernel, (CudaFunction * function, unsigned gridX, unsigned gridY, unsigned gridZ,        \
                   unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,        \
                   CudaStream *stream, void **parameters, void **extra))                           \
  F(StreamBeginCapture_v2, (CudaStream * stream, int mode))                                        \
  F(StreamEndCapture, (CudaStream * stream, CudaGraph * *graph))                                   \
  F(GraphInstantiateWithFlags,                                                                     \
    (CudaGraphExec * *made, CudaGraph * graph, unsigned long long flags))                          \
  F(GraphLaunch, (CudaGraphExec * graph, CudaStream * stream))                                     \
  F(GraphExecDestroy, (CudaGraphExec * graph))                                                     \
  F(GraphDestroy, (CudaGraph * graph))                                                             \
  F(EventCreate, (CudaEvent * *event, unsigned flags))                                             \
  F(EventRecord, (CudaEvent * event, CudaStream * stream))                                         \
  F(EventSynchronize, (CudaEvent * event))                                                         \
  F(EventDestroy_v2, (CudaEvent * event))                                                          \
  F(MemHostAlloc, (void **memory, size_t bytes, unsigned flags))                                   \
  F(MemFreeHost, (void *memory))                                                                   \
  F(MemAlloc_v2, (CudaAddress * address, size_t bytes))                                            \
  F(MemFree_v2, (CudaAddress address))                                                             \
  F(MemGetInfo_v2, (size_t *free, size_t *total))                                                  \
  F(MemcpyHtoDAsync_v2, (CudaAddress to, const void *from, size_t bytes, CudaStream *stream))      \
  F(MemcpyDtoHAsync_v2, (void *to, CudaAddress from, size_t bytes, CudaStream *stream))            \
  F(MemcpyDtoDAsync_v2, (CudaAddress to, CudaAddress from, size_t bytes, CudaStream *stream))      \
  F(MemsetD8Async, (CudaAddress at, unsigned char value, size_t count, CudaStream *stream))

/// The open library. It stays in the process once it is loaded.
class CudaDriver {
public:
  /// Loads `library` and starts the driver. Code::Mismatch where there is none, or one that lacks a
  /// function or does not start.
  static Result<CudaDriver> load(const char *library = "libcuda.so.1");

  /// As the driver counts: 13000 is CUDA 13.0.
  int version() const { return driverVersion; }
  /// What the driver calls `status`.
  std::string describe(CudaStatus status) const;

  // NOLINTBEGIN(readability-identifier-naming,bugprone-macro-parentheses): the driver's names.
#define MOEC_CUDA_FUNCTION(name, parameters) CudaStatus(*name) parameters = nullptr;
  MOEC_CUDA_FUNCTIONS(MOEC_CUDA_FUNCTION)
#undef MOEC_CUDA_FUNCTION
  // NOLINTEND(readability-identifier-naming,bugprone-macro-parentheses)

private:
  int driverVersion = 0;
};

} // namespace moec

#endif // MOEC_RUNTIME_DEVICE_CUDADRIVER_H
