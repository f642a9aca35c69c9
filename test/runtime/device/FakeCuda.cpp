// A driver library for tests, whose device memory is the host's. The environment says what it is
// like: FAKE_CUDA_VERSION, FAKE_CUDA_GPUS (compute capabilities, "80 90"), FAKE_CUDA_MEMORY (bytes
// that are free, of each GPU or of all) and FAKE_CUDA_FAILS (the function that fails).

#include "runtime/device/CudaDriver.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

static std::string setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value ? value : otherwise;
}

static bool fails(const char *function) { return setting("FAKE_CUDA_FAILS", "") == function; }

static std::vector<int64_t> numbers(const std::string &text) {
  std::vector<int64_t> all;
  for (const char *at = text.c_str(); *at;) {
    char *end;
    all.push_back(strtoll(at, &end, 10));
    at = *end ? end + 1 : end;
  }
  return all;
}

static std::vector<int64_t> capabilities() { return numbers(setting("FAKE_CUDA_GPUS", "90")); }

using namespace moec;

static std::map<CudaAddress, size_t> held;

static void *pointer(CudaAddress address) { return reinterpret_cast<void *>(address); }

static size_t used() {
  size_t sum = 0;
  for (auto [memory, bytes] : held)
    sum += bytes;
  return sum;
}

/// The only kernel there is.
struct FillArguments {
  uint8_t *to;
  int32_t value, count;
};

#define CUDA extern "C" __attribute__((visibility("default"))) int
#define FAIL_IF_TOLD                                                                               \
  if (fails(__func__))                                                                             \
  return 999

CUDA cuInit(unsigned) {
  FAIL_IF_TOLD;
  return 0;
}
CUDA cuDriverGetVersion(int *version) {
  *version = atoi(setting("FAKE_CUDA_VERSION", "13000").c_str());
  return 0;
}
CUDA cuGetErrorString(int status, const char **text) {
  *text = status == 2 ? "out of memory" : "told to fail";
  return 0;
}
CUDA cuDeviceGetCount(int *count) {
  FAIL_IF_TOLD;
  *count = int(capabilities().size());
  return 0;
}
CUDA cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return 0;
}
CUDA cuDeviceGetName(char *name, int length, int device) {
  snprintf(name, size_t(length), "Fake GPU %d", device);
  return 0;
}
CUDA cuDeviceGetAttribute(int *value, int attribute, int device) {
  const auto capability = int(capabilities()[size_t(device)]);
  *value = attribute == 75 ? capability / 10 : capability % 10;
  return 0;
}
static int contexts[8]; // their addresses stand for those of the GPUs
CUDA cuDevicePrimaryCtxRetain(CudaContext **context, CudaDeviceNumber device) {
  FAIL_IF_TOLD;
  *context = reinterpret_cast<CudaContext *>(&contexts[device]);
  return 0;
}
CUDA cuDevicePrimaryCtxRelease_v2(int) { return 0; }
// A context is current in a thread.
static thread_local int current = 0;
static thread_local size_t currentGpu = 0; // of the last one that became it
CUDA cuCtxPushCurrent_v2(CudaContext *context) {
  ++current;
  currentGpu = size_t(reinterpret_cast<int *>(context) - contexts);
  return 0;
}
CUDA cuCtxPopCurrent_v2(CudaContext **) {
  --current;
  return 0;
}
CUDA cuStreamCreate(CudaStream **stream, unsigned) {
  *stream = reinterpret_cast<CudaStream *>(&held);
  return 0;
}
CUDA cuStreamDestroy_v2(CudaStream *) { return 0; }
CUDA cuStreamSynchronize(CudaStream *) {
  FAIL_IF_TOLD;
  return 0;
}
CUDA cuModuleLoadData(CudaModule **module, const void *image) {
  FAIL_IF_TOLD;
  *module = static_cast<CudaModule *>(const_cast<void *>(image));
  return 0;
}
CUDA cuModuleUnload(CudaModule *) { return current ? 0 : 201; }
// An image is the names of its kernels.
CUDA cuModuleGetFunction(CudaFunction **function, CudaModule *module, const char *name) {
  *function = reinterpret_cast<CudaFunction *>(module);
  return strstr(reinterpret_cast<const char *>(module), name) ? 0 : 500;
}
CUDA cuFuncSetAttribute(CudaFunction *, int, int) { return 0; }

namespace {
struct Launch {
  FillArguments arguments;
  unsigned threads;
  void run() const {
    for (unsigned i = 0; i < threads && int32_t(i) < arguments.count; ++i)
      arguments.to[i] = uint8_t(arguments.value);
  }
};
} // namespace

struct moec::CudaGraph {
  std::vector<Launch> launches;
};
struct moec::CudaGraphExec : CudaGraph {};
static CudaGraph *capturing = nullptr;

// What tests ask how often it was called.
extern "C" __attribute__((visibility("default"))) int fakeCudaLaunches, fakeCudaGraphLaunches,
    fakeCudaGraphs;
int fakeCudaLaunches = 0, fakeCudaGraphLaunches = 0, fakeCudaGraphs = 0;

CUDA cuLaunchKernel(CudaFunction *, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned,
                    unsigned, unsigned, CudaStream *, void **, void **extra) {
  FAIL_IF_TOLD;
  Launch launch;
  if (*static_cast<size_t *>(extra[3]) != sizeof launch.arguments)
    return 1;
  memcpy(&launch.arguments, extra[1], sizeof launch.arguments);
  launch.threads = blocks * threads;
  if (capturing) {
    capturing->launches.push_back(launch);
  } else {
    ++fakeCudaLaunches;
    launch.run();
  }
  return 0;
}
CUDA cuStreamBeginCapture_v2(CudaStream *, int) {
  FAIL_IF_TOLD;
  capturing = new CudaGraph;
  return 0;
}
CUDA cuStreamEndCapture(CudaStream *, CudaGraph **graph) {
  *graph = std::exchange(capturing, nullptr);
  return 0;
}
CUDA cuGraphInstantiateWithFlags(CudaGraphExec **made, CudaGraph *graph, unsigned long long) {
  FAIL_IF_TOLD;
  *made = new CudaGraphExec{*graph};
  ++fakeCudaGraphs;
  return 0;
}
CUDA cuGraphLaunch(CudaGraphExec *graph, CudaStream *) {
  FAIL_IF_TOLD;
  ++fakeCudaGraphLaunches;
  for (const Launch &launch : graph->launches)
    launch.run();
  return 0;
}
CUDA cuGraphExecDestroy(CudaGraphExec *graph) {
  --fakeCudaGraphs;
  delete graph;
  return 0;
}
CUDA cuGraphDestroy(CudaGraph *graph) {
  delete graph;
  return 0;
}
CUDA cuEventCreate(CudaEvent **event, unsigned) {
  *event = reinterpret_cast<CudaEvent *>(&held);
  return 0;
}
CUDA cuEventRecord(CudaEvent *, CudaStream *) { return 0; }
CUDA cuEventSynchronize(CudaEvent *) { return 0; }
CUDA cuEventDestroy_v2(CudaEvent *) { return 0; }
CUDA cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  FAIL_IF_TOLD;
  *memory = operator new(bytes);
  return 0;
}
CUDA cuMemFreeHost(void *memory) {
  operator delete(memory);
  return 0;
}
/// Of the current GPU.
static size_t memory() {
  const std::vector<int64_t> all = numbers(setting("FAKE_CUDA_MEMORY", "1048576"));
  return size_t(all[std::min(currentGpu, all.size() - 1)]);
}
CUDA cuMemAlloc_v2(CudaAddress *address, size_t bytes) {
  if (current == 0)
    return 201;
  if (used() + bytes > memory())
    return 2;
  *address = reinterpret_cast<CudaAddress>(operator new(bytes, std::align_val_t(256)));
  held[*address] = bytes;
  return 0;
}
CUDA cuMemFree_v2(CudaAddress address) {
  if (current == 0)
    return 201;
  held.erase(address);
  operator delete(pointer(address), std::align_val_t(256));
  return 0;
}
CUDA cuMemGetInfo_v2(size_t *left, size_t *total) {
  *total = memory();
  *left = *total - used();
  return 0;
}
CUDA cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t bytes, CudaStream *) {
  memcpy(pointer(to), from, bytes);
  return 0;
}
CUDA cuMemcpyDtoHAsync_v2(void *to, CudaAddress from, size_t bytes, CudaStream *) {
  memcpy(to, pointer(from), bytes);
  return 0;
}
CUDA cuMemcpyDtoDAsync_v2(CudaAddress to, CudaAddress from, size_t bytes, CudaStream *) {
  memcpy(pointer(to), pointer(from), bytes);
  return 0;
}
CUDA cuMemsetD8Async(CudaAddress at, unsigned char value, size_t count, CudaStream *) {
  memset(pointer(at), value, count);
  return 0;
}
