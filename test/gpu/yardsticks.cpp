// Measures what a GPU does at most: products of bf16 by cuBLAS, and copies within its memory.
//
//   yardsticks           both, as least / median / most of the repetitions
//   yardsticks --driver  says which GPU and driver are there
//
// The driver and cuBLAS are loaded when it runs, so that it builds without CUDA; and it takes
// nothing of the C++ library that has to be linked, which would want a newer libc than programs do.
// Status 5, and what is missing, where one of them is not there or does not work.

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

static constexpr int kUsage = 2, kMismatch = 5;

// As the interfaces of the driver and of cuBLAS have them.
static constexpr int kMajorAttribute = 75, kMinorAttribute = 76; // of a device
static constexpr int kBf16 = 14, kComputeF32 = 68, kDefaultAlgorithm = -1;
static constexpr int kTransposed = 1, kPlain = 0;
using DeviceAddress = uint64_t;
struct Context;
struct Event;
struct Blas;

static constexpr int kWarmUps = 5, kRepetitions = 20;
static constexpr int kEdge = 8192; // of the matrices
static constexpr size_t kCopyBytes = size_t(1) << 30;
static constexpr size_t kMatrixBytes = size_t(kEdge) * kEdge * 2;

#define DRIVER_FUNCTIONS(F)                                                                        \
  F(cuInit, (unsigned))                                                                            \
  F(cuDriverGetVersion, (int *))                                                                   \
  F(cuGetErrorString, (int, const char **))                                                        \
  F(cuDeviceGetCount, (int *))                                                                     \
  F(cuDeviceGet, (int *, int))                                                                     \
  F(cuDeviceGetName, (char *, int, int))                                                           \
  F(cuDeviceGetAttribute, (int *, int, int))                                                       \
  F(cuDevicePrimaryCtxRetain, (Context **, int))                                                   \
  F(cuCtxSetCurrent, (Context *))                                                                  \
  F(cuCtxSynchronize, ())                                                                          \
  F(cuMemAlloc_v2, (DeviceAddress *, size_t))                                                      \
  F(cuMemFree_v2, (DeviceAddress))                                                                 \
  F(cuMemcpyHtoD_v2, (DeviceAddress, const void *, size_t))                                        \
  F(cuMemcpyDtoDAsync_v2, (DeviceAddress, DeviceAddress, size_t, void *))                          \
  F(cuMemsetD8_v2, (DeviceAddress, unsigned char, size_t))                                         \
  F(cuEventCreate, (Event **, unsigned))                                                           \
  F(cuEventRecord, (Event *, void *))                                                              \
  F(cuEventSynchronize, (Event *))                                                                 \
  F(cuEventElapsedTime, (float *, Event *, Event *))

#define BLAS_FUNCTIONS(F)                                                                          \
  F(cublasCreate_v2, (Blas **))                                                                    \
  F(cublasDestroy_v2, (Blas *))                                                                    \
  F(cublasGetVersion_v2, (Blas *, int *))                                                          \
  F(cublasGemmEx,                                                                                  \
    (Blas *, int transposeA, int transposeB, int rows, int columns, int inner, const void *alpha,  \
     DeviceAddress a, int typeA, int strideA, DeviceAddress b, int typeB, int strideB,             \
     const void *beta, DeviceAddress c, int typeC, int strideC, int compute, int algorithm))

#define DECLARE(name, parameters) static int(*name) parameters;
DRIVER_FUNCTIONS(DECLARE)
BLAS_FUNCTIONS(DECLARE)
#undef DECLARE

/// Ends the process: something that has to be there is not.
[[noreturn, gnu::format(printf, 1, 2)]] static void refuse(const char *words, ...) {
  std::fflush(stdout);
  std::fputs("yardsticks: error: ", stderr);
  va_list values;
  va_start(values, words);
  std::vfprintf(stderr, words, values);
  va_end(values);
  std::fputc('\n', stderr);
  std::exit(kMismatch);
}

/// `status` is the driver's.
static void check(int status, const char *what) {
  if (status == 0)
    return;
  const char *text = nullptr;
  if (cuGetErrorString(status, &text) != 0 || !text)
    text = "it does not say why";
  refuse("%s fails: %s (error %d)", what, text, status);
}

static void checkBlas(int status, const char *what) {
  if (status != 0)
    refuse("%s fails: cuBLAS gives status %d", what, status);
}

template <typename Function> static void find(void *library, const char *name, Function &function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function)
    refuse("the library has no %s; install a newer one", name);
}

static void loadDriver() {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    refuse("there is no NVIDIA driver here (%s); run this where one is installed", dlerror());
#define FIND(name, parameters) find(library, #name, name);
  DRIVER_FUNCTIONS(FIND)
#undef FIND
  check(cuInit(0), "starting the driver");
}

/// Makes the first GPU the one that is measured, and says which it is.
static void openGpu() {
  int count = 0, version = 0, device = 0, major = 0, minor = 0;
  char name[256] = "";
  check(cuDriverGetVersion(&version), "asking for the driver's version");
  check(cuDeviceGetCount(&count), "counting GPUs");
  if (count == 0)
    refuse("the NVIDIA driver lists no GPU");
  check(cuDeviceGet(&device, 0), "opening the GPU");
  check(cuDeviceGetName(name, sizeof name, device), "asking for the GPU's name");
  check(cuDeviceGetAttribute(&major, kMajorAttribute, device), "asking what the GPU can do");
  check(cuDeviceGetAttribute(&minor, kMinorAttribute, device), "asking what the GPU can do");
  Context *context = nullptr;
  check(cuDevicePrimaryCtxRetain(&context, device), "opening the GPU");
  check(cuCtxSetCurrent(context), "opening the GPU");
  std::printf("gpu: %s (sm_%d%d), driver for CUDA %d.%d\n", name, major, minor, version / 1000,
              version % 1000 / 10);
}

static DeviceAddress take(size_t bytes) {
  DeviceAddress memory = 0;
  check(cuMemAlloc_v2(&memory, bytes), "taking memory of the GPU");
  return memory;
}

using Seconds = std::array<double, kRepetitions>;

/// Seconds of each repetition of `work`, which puts something into the default stream.
template <typename Work> static Seconds measure(const Work &work) {
  Event *begin = nullptr, *end = nullptr;
  check(cuEventCreate(&begin, 0), "making an event");
  check(cuEventCreate(&end, 0), "making an event");
  Seconds seconds{};
  for (int run = -kWarmUps; run < kRepetitions; ++run) {
    check(cuEventRecord(begin, nullptr), "noting the time");
    work();
    check(cuEventRecord(end, nullptr), "noting the time");
    check(cuEventSynchronize(end), "the work");
    float milliseconds = 0;
    check(cuEventElapsedTime(&milliseconds, begin, end), "reading the time");
    if (run >= 0)
      seconds[size_t(run)] = milliseconds * 1e-3;
  }
  return seconds;
}

/// Prints how much of `amount` is done per second.
static void print(const char *name, const char *what, double amount, const char *unit,
                  Seconds seconds) {
  std::sort(seconds.begin(), seconds.end());
  std::printf("%s: %.1f / %.1f / %.1f %s, %s\n", name, amount / seconds.back(),
              amount / seconds[seconds.size() / 2], amount / seconds.front(), unit, what);
  std::fflush(stdout);
}

static void measureCopy() {
  DeviceAddress from = take(kCopyBytes), to = take(kCopyBytes);
  check(cuMemsetD8_v2(from, 1, kCopyBytes), "filling its memory");
  const Seconds seconds = measure(
      [&] { check(cuMemcpyDtoDAsync_v2(to, from, kCopyBytes, nullptr), "copying its memory"); });
  // Each byte is read and written.
  print("C", "copy of 1 GiB, bytes read and written", 2e-9 * double(kCopyBytes), "GB/s", seconds);
  check(cuMemFree_v2(from), "giving back memory");
  check(cuMemFree_v2(to), "giving back memory");
}

/// Numbers between -1 and 1 as bf16: a product of zeros takes less power, and so is faster.
static DeviceAddress randomMatrix(uint64_t state) {
  static std::array<uint16_t, kMatrixBytes / 2> values;
  for (uint16_t &value : values) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    float number = float(int32_t(state >> 32)) * 0x1p-31f;
    uint32_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    value = uint16_t(bits >> 16);
  }
  DeviceAddress matrix = take(kMatrixBytes);
  check(cuMemcpyHtoD_v2(matrix, values.data(), kMatrixBytes), "copying to its memory");
  return matrix;
}

static constexpr const char *kBlasLibraries[] = {"libcublas.so.13", "libcublas.so.12",
                                                 "/usr/local/cuda/lib64/libcublas.so.13",
                                                 "/usr/local/cuda/lib64/libcublas.so.12"};

static void measureProduct() {
  void *library = nullptr;
  for (const char *name : kBlasLibraries)
    if ((library = dlopen(name, RTLD_NOW | RTLD_LOCAL)))
      break;
  if (!library)
    refuse("there is no cuBLAS here (%s); say by LD_LIBRARY_PATH where libcublas.so.13 or "
           "libcublas.so.12 is, or install it",
           dlerror());
#define FIND(name, parameters) find(library, #name, name);
  BLAS_FUNCTIONS(FIND)
#undef FIND
  Blas *blas = nullptr;
  int version = 0;
  checkBlas(cublasCreate_v2(&blas), "starting cuBLAS");
  checkBlas(cublasGetVersion_v2(blas, &version), "asking for cuBLAS' version");
  std::printf("cublas: version %d\n", version);
  DeviceAddress a = randomMatrix(1), b = randomMatrix(2), c = take(kMatrixBytes);
  const float one = 1, zero = 0;
  // Both operands have their inner dimension together, as weights and tokens of a model have.
  const Seconds seconds = measure([&] {
    checkBlas(cublasGemmEx(blas, kTransposed, kPlain, kEdge, kEdge, kEdge, &one, a, kBf16, kEdge, b,
                           kBf16, kEdge, &zero, c, kBf16, kEdge, kComputeF32, kDefaultAlgorithm),
              "the product");
  });
  print("P", "product of 8192 x 8192 x 8192 in bf16 by cuBLAS", 2e-12 * kEdge * kEdge * kEdge,
        "TFLOP/s", seconds);
  checkBlas(cublasDestroy_v2(blas), "ending cuBLAS");
}

int main(int count, char **arguments) {
  const bool onlyDriver = count == 2 && std::strcmp(arguments[1], "--driver") == 0;
  if (count > 1 && !onlyDriver) {
    std::fprintf(stderr, "usage: yardsticks [--driver]\n");
    return kUsage;
  }
  loadDriver();
  openGpu();
  if (onlyDriver)
    return 0;
  measureCopy();
  measureProduct();
}
