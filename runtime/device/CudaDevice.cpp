// Everything happens in one stream, so that nothing waits but copies to the host. Launches are
// gathered until something else is asked for.

#include "runtime/device/CudaDevice.h"

#include "runtime/device/CudaDriver.h"
#include "runtime/device/CudaGraphs.h"
#include "runtime/device/CudaStaging.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace moec {

// Numbers of the driver's interface.
static constexpr int kMajorAttribute = 75, kMinorAttribute = 76; // of a device
static constexpr int kDynamicSharedBytes = 8;                    // attribute of a function
static constexpr unsigned kNonBlocking = 1;                      // flag of a stream
static constexpr CudaStatus kOutOfMemory = 2;
/// Keys of a launch's extras: where the packed arguments are, how many bytes, and the end.
static void *const kArgumentsKey = reinterpret_cast<void *>(1);
static void *const kArgumentBytesKey = reinterpret_cast<void *>(2);

/// Who is at fault: where kernels do what they must not, and where the driver is asked for what
/// there is not, we are.
static Code codeOf(CudaStatus status) {
  constexpr CudaStatus kInvalidValue = 1, kInvalidHandle = 400, kIllegalAddress = 700,
                       kFirstFault = 714, kLastFault = 719;
  if (status == kOutOfMemory)
    return Code::Resource;
  const bool isOurs = status == kInvalidValue || status == kInvalidHandle ||
                      status == kIllegalAddress || (status >= kFirstFault && status <= kLastFault);
  return isOurs ? Code::Internal : Code::Mismatch;
}

namespace {

/// A GPU that the driver lists.
struct Gpu {
  CudaDeviceNumber number;
  std::string name;
  int major, minor; ///< compute capability

  std::string describe() const { return fmt::format("{} (sm_{}{})", name, major, minor); }
};

class CudaDevice final : public Device {
public:
  CudaDevice(CudaDriver driver, Gpu gpu, std::span<const moec_device_kernel> kernels)
      : driver(driver), gpu(std::move(gpu)), kernels(kernels) {}
  ~CudaDevice() override;

  /// Loads the kernels' code; before all else.
  Status open(const moec_device_image &image);

  std::string name() const override { return gpu.name; }
  Result<uint8_t *> allocate(int64_t bytes, std::string_view use) override;
  int64_t freeBytes() const override {
    const InContext current(*this);
    size_t left = 0, total = 0;
    return driver.MemGetInfo_v2(&left, &total) == 0 ? int64_t(left) : 0;
  }
  void release(uint8_t *memory) override {
    const InContext current(*this);
    if (memory)
      driver.MemFree_v2(address(memory));
  }
  Status copyIn(uint8_t *to, const void *from, int64_t bytes) override;
  Status copyOut(void *to, const uint8_t *from, int64_t bytes) override;
  Status copy(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    const InContext current(*this);
    flush();
    return check(driver.MemcpyDtoDAsync_v2(address(to), address(from), size_t(bytes), stream),
                 "copying within its memory");
  }
  Status clear(uint8_t *memory, int64_t bytes) override {
    const InContext current(*this);
    flush();
    return check(driver.MemsetD8Async(address(memory), 0, size_t(bytes), stream),
                 "clearing its memory");
  }
  Result<uint8_t *> allocateHost(int64_t bytes, std::string_view use) override;
  void releaseHost(uint8_t *memory) override {
    const InContext current(*this);
    if (memory)
      driver.MemFreeHost(memory);
  }
  Status beginCopyOut(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    const InContext current(*this);
    flush();
    return check(driver.MemcpyDtoHAsync_v2(to, address(from), size_t(bytes), stream),
                 "copying from its memory");
  }
  Status beginCopyIn(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    const InContext current(*this);
    flush();
    return check(driver.MemcpyHtoDAsync_v2(address(to), from, size_t(bytes), stream),
                 "copying to its memory");
  }
  void launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) override;
  Status finish() override;

private:
  /// The driver's calls of a thread are about the context that is current there: ours, as long as
  /// one of these lives; then again what the program had.
  class InContext {
  public:
    explicit InContext(const CudaDevice &device) : device(device) {
      if (device.context)
        device.driver.CtxPushCurrent_v2(device.context);
    }
    ~InContext() {
      CudaContext *popped = nullptr;
      if (device.context)
        device.driver.CtxPopCurrent_v2(&popped);
    }
    InContext(const InContext &) = delete;
    InContext &operator=(const InContext &) = delete;

  private:
    const CudaDevice &device;
  };

  Status load(const moec_device_image &image);
  /// Gives the driver the launches that wait.
  void flush();
  void close();
  CudaStatus start(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments);
  static CudaAddress address(const uint8_t *memory) {
    return reinterpret_cast<CudaAddress>(memory);
  }
  Status check(CudaStatus status, std::string_view what) const {
    if (status == 0)
      return {};
    return {codeOf(status),
            fmt::format("{}: {} fails: {}", gpu.describe(), what, driver.describe(status))};
  }

  const CudaDriver driver;
  const Gpu gpu;
  const std::span<const moec_device_kernel> kernels;
  CudaContext *context = nullptr;
  CudaStream *stream = nullptr;
  CudaModule *code = nullptr;
  std::vector<CudaFunction *> functions; ///< of the kernels
  LaunchList waiting;                    ///< launches since the driver was last given any
  std::optional<CudaGraphs> graphs;      ///< from the start until the stream goes
  std::optional<CudaStaging> staging;    ///< likewise
  Status failure;                        ///< of a launch
};

} // namespace

CudaDevice::~CudaDevice() {
  {
    const InContext current(*this);
    close();
  }
  if (context)
    driver.DevicePrimaryCtxRelease_v2(gpu.number);
}

void CudaDevice::close() {
  if (stream) {
    driver.StreamSynchronize(stream);
    graphs.reset();
    staging.reset();
    driver.StreamDestroy_v2(stream);
  }
  if (code)
    driver.ModuleUnload(code);
}

Status CudaDevice::open(const moec_device_image &image) {
  CudaContext *retained = nullptr;
  if (Status status = check(driver.DevicePrimaryCtxRetain(&retained, gpu.number), "opening it");
      !status.ok())
    return status;
  context = retained;
  const InContext current(*this);
  return load(image);
}

Status CudaDevice::load(const moec_device_image &image) {
  Status status;
  if (status = check(driver.StreamCreate(&stream, kNonBlocking), "making a stream"); !status.ok())
    return status;
  if (status = check(driver.ModuleLoadData(&code, image.bytes), "loading the program's kernels");
      !status.ok())
    return status;
  for (const moec_device_kernel &kernel : kernels) {
    CudaFunction *function = nullptr;
    status = check(driver.ModuleGetFunction(&function, code, kernel.name),
                   fmt::format("finding kernel '{}'", kernel.name));
    if (status.ok() && kernel.shared_bytes > 0)
      status = check(driver.FuncSetAttribute(function, kDynamicSharedBytes, kernel.shared_bytes),
                     fmt::format("giving kernel '{}' {} bytes of shared memory", kernel.name,
                                 kernel.shared_bytes));
    if (!status.ok())
      return status;
    functions.push_back(function);
  }
  graphs.emplace(driver);
  staging.emplace(driver);
  return {};
}

Result<uint8_t *> CudaDevice::allocate(int64_t bytes, std::string_view use) {
  const InContext current(*this);
  CudaAddress found = 0;
  const CudaStatus status = driver.MemAlloc_v2(&found, size_t(std::max<int64_t>(bytes, 1)));
  if (status == kOutOfMemory) {
    size_t left = 0, total = 0;
    driver.MemGetInfo_v2(&left, &total);
    return Status{Code::Resource,
                  fmt::format("{}: no device memory for {}: it needs {} MiB, and {} "
                              "of {} MiB are free",
                              gpu.describe(), use, (bytes + (1 << 20) - 1) >> 20, left >> 20,
                              total >> 20)};
  }
  if (Status failed = check(status, fmt::format("taking memory for {}", use)); !failed.ok())
    return failed;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a device address is a number to the driver.
  return reinterpret_cast<uint8_t *>(found);
}

Result<uint8_t *> CudaDevice::allocateHost(int64_t bytes, std::string_view use) {
  const InContext current(*this);
  void *memory = nullptr;
  const CudaStatus status = driver.MemHostAlloc(&memory, size_t(bytes), /*flags=*/0);
  if (status == kOutOfMemory)
    return Status{
        Code::Resource,
        fmt::format("no memory of the host that the GPU can read, for {}: it needs {} MiB", use,
                    (bytes + (1 << 20) - 1) >> 20)};
  if (Status failed = check(status, fmt::format("taking memory of the host for {}", use));
      !failed.ok())
    return failed;
  return static_cast<uint8_t *>(memory);
}

Status CudaDevice::copyIn(uint8_t *to, const void *from, int64_t bytes) {
  const InContext current(*this);
  flush();
  return check(staging->copy(address(to), from, size_t(bytes), stream), "copying to its memory");
}

Status CudaDevice::copyOut(void *to, const uint8_t *from, int64_t bytes) {
  const InContext current(*this);
  flush();
  if (Status status = check(driver.MemcpyDtoHAsync_v2(to, address(from), size_t(bytes), stream),
                            "copying from its memory");
      !status.ok())
    return status;
  return check(driver.StreamSynchronize(stream), "a kernel");
}

void CudaDevice::launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) {
  if (failure.ok() && blocks > 0)
    waiting.add(kernel, blocks, arguments);
}

CudaStatus CudaDevice::start(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) {
  const moec_device_kernel &what = kernels[size_t(kernel)];
  size_t bytes = arguments.size();
  void *extra[] = {kArgumentsKey, const_cast<uint8_t *>(arguments.data()), kArgumentBytesKey,
                   &bytes, nullptr};
  const CudaStatus status =
      driver.LaunchKernel(functions[size_t(kernel)], unsigned(blocks), 1, 1, unsigned(what.threads),
                          1, 1, unsigned(what.shared_bytes), stream, /*parameters=*/nullptr, extra);
  failure = check(status, fmt::format("starting kernel '{}' in {} blocks", what.name, blocks));
  return status;
}

void CudaDevice::flush() {
  if (waiting.empty())
    return;
  const CudaStatus status = graphs->run(
      waiting, stream, [&](int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) {
        return start(kernel, blocks, arguments);
      });
  waiting.clear();
  if (failure.ok())
    failure = check(status, "starting a step's kernels as a graph");
}

Status CudaDevice::finish() {
  const InContext current(*this);
  flush();
  Status first = std::exchange(failure, {});
  Status waited = check(driver.StreamSynchronize(stream), "a kernel");
  return first.ok() ? waited : first;
}

/// How well the code runs there, larger is better; 0: not at all. Code for just that architecture
/// comes first, then that of the nearest earlier one: cubins, which are for one generation, before
/// PTX, which the driver has to assemble.
static int fitness(const moec_device_image &image, const Gpu &gpu) {
  const int capability = gpu.major * 16 + gpu.minor, wanted = image.major * 16 + image.minor;
  const bool isSame = capability == wanted;
  const bool runs = image.is_specific ? isSame
                    : image.is_text   ? capability >= wanted
                                      : capability >= wanted && image.major == gpu.major;
  constexpr int kSame = 1 << 20, kAssembled = 1 << 16, kSpecific = 1 << 12;
  return runs ? (isSame ? kSame : 0) + (image.is_text ? 0 : kAssembled) +
                    (image.is_specific ? kSpecific : 0) + wanted
              : 0;
}

static std::string describe(std::span<const moec_device_code> codes) {
  std::string text;
  for (const moec_device_code &code : codes) {
    const bool hasText = &code != &codes.back() && // behind it
                         std::string_view(code.architecture) == (&code + 1)->architecture;
    if (hasText)
      continue;
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", code.architecture,
                        code.image.is_text && !code.image.is_specific ? " and later" : "");
  }
  return text;
}

static Result<std::vector<Gpu>> listGpus(const CudaDriver &driver) {
  int count = 0;
  if (CudaStatus status = driver.DeviceGetCount(&count); status != 0)
    return Status{Code::Mismatch,
                  fmt::format("the NVIDIA driver lists no GPUs: {}", driver.describe(status))};
  std::vector<Gpu> gpus;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    Gpu gpu{};
    char name[256] = "";
    if (CudaStatus status = driver.DeviceGet(&gpu.number, ordinal); status != 0)
      return Status{Code::Mismatch, fmt::format("the NVIDIA driver has no GPU number {}: {}",
                                                ordinal, driver.describe(status))};
    driver.DeviceGetName(name, sizeof name, gpu.number);
    driver.DeviceGetAttribute(&gpu.major, kMajorAttribute, gpu.number);
    driver.DeviceGetAttribute(&gpu.minor, kMinorAttribute, gpu.number);
    gpu.name = name;
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

/// The best of `codes` for `gpu`; null where none runs there.
static const moec_device_code *choose(std::span<const moec_device_code> codes, const Gpu &gpu) {
  auto best = std::max_element(codes.begin(), codes.end(), [&](const auto &a, const auto &b) {
    return fitness(a.image, gpu) < fitness(b.image, gpu);
  });
  return best != codes.end() && fitness(best->image, gpu) > 0 ? &*best : nullptr;
}

/// Opens `gpu` with `code`, if there is room for the weights.
static Status openGpu(DeviceOpening &opening, const CudaDriver &driver, const Gpu &gpu,
                      const moec_device_code &code) {
  auto device =
      std::make_unique<CudaDevice>(driver, gpu, std::span(code.kernels, code.kernel_count));
  if (Status status = device->open(code.image); !status.ok())
    return status;
  if (const int64_t left = device->freeBytes(); left < opening.weightBytes)
    return {Code::Resource,
            fmt::format("{}: no device memory for the weights: they need {} MiB, "
                        "and {} MiB are free",
                        gpu.describe(), (opening.weightBytes + (1 << 20) - 1) >> 20, left >> 20)};
  opening.device = std::move(device);
  opening.code = &code;
  return {};
}

static Status open(DeviceOpening &opening, const char *library) {
  Result<CudaDriver> driver = CudaDriver::load(library);
  if (!driver.ok())
    return driver.status();
  Result<std::vector<Gpu>> gpus = listGpus(*driver);
  if (!gpus.ok())
    return gpus.status();
  if (gpus->empty())
    return {Code::Mismatch,
            fmt::format("this program computes on a GPU ({}), and the NVIDIA driver lists none",
                        describe(opening.codes))};
  std::string found;
  Status failure; // of the first that is for the code, but busy or full
  for (const Gpu &gpu : *gpus) {
    found += fmt::format("{}{}", found.empty() ? "" : ", ", gpu.describe());
    const moec_device_code *code = choose(opening.codes, gpu);
    if (!code)
      continue;
    const int wanted = code->image.driver_version;
    if (driver->version() < wanted)
      return {Code::Mismatch, fmt::format("the NVIDIA driver knows CUDA {}.{}, and this program's "
                                          "kernels want {}.{}; install a newer driver",
                                          driver->version() / 1000, driver->version() % 1000 / 10,
                                          wanted / 1000, wanted % 1000 / 10)};
    Status status = openGpu(opening, *driver, gpu, *code);
    if (status.ok())
      return {};
    if (failure.ok())
      failure = status;
    if (opening.isNamed)
      break;
    opening.notice += (opening.notice.empty() ? "" : "; ") + status.message;
  }
  if (!failure.ok())
    return failure;
  return {Code::Mismatch, fmt::format("this program's kernels are for {}, and here is {}; compile "
                                      "again with --gpu for that",
                                      describe(opening.codes), found)};
}

void openCudaDevice(DeviceOpening &opening, const char *library) {
  opening.status = open(opening, library);
}

} // namespace moec

extern "C" void moec_open_cuda_device(void *opening) {
  moec::openCudaDevice(*static_cast<moec::DeviceOpening *>(opening));
}
