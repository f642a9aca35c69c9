// What a program does with NVIDIA's driver, by a driver library that has no GPU.

#include "runtime/device/CudaDevice.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <thread>
#include <vector>

using namespace moec;

namespace {

struct FillArguments {
  uint8_t *to;
  int32_t value, count;
};

const moec_device_kernel kernels[] = {{"fill", 32, 1024}};

moec_device_code code(int major, int minor, bool isSpecific = false, bool isText = false) {
  static const uint8_t bytes[] = "fill";
  static std::map<std::string, bool> names; // which stay where they are
  const std::string name = "sm_" + std::to_string(major * 10 + minor) + (isSpecific ? "a" : "");
  return {.architecture = names.emplace(name, true).first->first.c_str(),
          .step = nullptr,
          .kernels = kernels,
          .kernel_count = 1,
          .image = {major, minor, isSpecific, isText, 13000, bytes, sizeof bytes},
          .emulated = nullptr};
}

class CudaDevice : public testing::Test {
protected:
  /// Opens a device where the driver is as `settings` say.
  Result<std::unique_ptr<Device>> open(std::vector<moec_device_code> given,
                                       std::map<std::string, std::string> settings = {},
                                       const char *library = FAKE_CUDA) {
    codes = std::move(given);
    for (const char *name : {"VERSION", "GPUS", "MEMORY", "FAILS"}) {
      const std::string variable = std::string("FAKE_CUDA_") + name;
      if (auto found = settings.find(name); found != settings.end())
        setenv(variable.c_str(), found->second.c_str(), 1);
      else
        unsetenv(variable.c_str());
    }
    DeviceOpening opening{
        .codes = codes, .status = {}, .weightBytes = weightBytes, .isNamed = isNamed};
    openCudaDevice(opening, library);
    notice = opening.notice;
    if (!opening.status.ok())
      return opening.status;
    opened = opening.code;
    return std::move(opening.device);
  }

  void expectFailure(const Result<std::unique_ptr<Device>> &device, Code code,
                     const std::string &words) {
    ASSERT_FALSE(device.ok());
    EXPECT_EQ(device.status().code, code);
    EXPECT_NE(device.status().message.find(words), std::string::npos) << device.status().message;
  }

  std::vector<moec_device_code> codes;
  const moec_device_code *opened = nullptr; ///< that the last device runs
  std::string notice;                       ///< of the last opening
  int64_t weightBytes = 0;
  bool isNamed = false;
};

TEST_F(CudaDevice, RunsKernelsOnItsMemory) {
  Result<std::unique_ptr<Device>> device = open({code(9, 0)});
  ASSERT_TRUE(device.ok()) << device.status().message;
  EXPECT_EQ((*device)->name(), "Fake GPU 0");
  Result<uint8_t *> memory = (*device)->allocate(64, "a test");
  ASSERT_TRUE(memory.ok()) << memory.status().message;
  EXPECT_TRUE((*device)->clear(*memory, 64).ok());
  const FillArguments arguments{*memory, 7, 40};
  (*device)->launch(0, 2, {reinterpret_cast<const uint8_t *>(&arguments), sizeof arguments});
  (*device)->launch(0, 0, {}); // no block, nothing to run
  const uint8_t last = 9;
  EXPECT_TRUE((*device)->copyIn(*memory + 63, &last, 1).ok());
  EXPECT_TRUE((*device)->copy(*memory + 62, *memory + 63, 1).ok());
  std::vector<uint8_t> out(64), expected(64);
  EXPECT_TRUE((*device)->copyOut(out.data(), *memory, 64).ok());
  std::fill_n(expected.begin(), 40, 7);
  expected[62] = expected[63] = 9;
  EXPECT_EQ(out, expected);
  EXPECT_TRUE((*device)->finish().ok());
  (*device)->release(*memory);
  (*device)->release(nullptr);
}

TEST_F(CudaDevice, TakesTheFirstGpuThatRunsTheCode) {
  for (const char *gpus : {"75 80", "86", "89"}) { // an earlier one does not; later ones of 8.x do
    Result<std::unique_ptr<Device>> device = open({code(8, 0)}, {{"GPUS", gpus}});
    ASSERT_TRUE(device.ok()) << device.status().message;
    EXPECT_EQ((*device)->name(), gpus == std::string("75 80") ? "Fake GPU 1" : "Fake GPU 0");
  }
  expectFailure(open({code(8, 0)}, {{"GPUS", "90"}}), Code::Mismatch,
                "kernels are for sm_80, and here is Fake GPU 0 (sm_90)");
  expectFailure(open({code(9, 0, /*isSpecific=*/true)}, {{"GPUS", "100"}}), Code::Mismatch,
                "kernels are for sm_90a");
  EXPECT_TRUE(open({code(8, 0, false, /*isText=*/true)}, {{"GPUS", "120"}}).ok());
  expectFailure(open({code(9, 0)}, {{"GPUS", ""}}), Code::Mismatch, "lists none");
}

TEST_F(CudaDevice, PrefersCodeForTheGpuItself) {
  const moec_device_code text = code(8, 0, false, true), same = code(9, 0),
                         specific = code(9, 0, true);
  EXPECT_TRUE(open({text, same, specific}).ok());
  EXPECT_EQ(opened, &codes[2]);
  EXPECT_TRUE(open({text, same}).ok());
  EXPECT_EQ(opened, &codes[1]);
  EXPECT_TRUE(open({code(8, 6), code(8, 0), text}, {{"GPUS", "86"}}).ok());
  EXPECT_EQ(opened, &codes[0]);
  // Of earlier ones the nearest.
  EXPECT_TRUE(open({code(8, 0), code(8, 6), text}, {{"GPUS", "89"}}).ok());
  EXPECT_EQ(opened, &codes[1]);
  EXPECT_TRUE(open({code(8, 0), code(8, 9), text}, {{"GPUS", "86"}}).ok());
  EXPECT_EQ(opened, &codes[0]);
  EXPECT_TRUE(open({text, code(8, 9, false, true), code(8, 9)}, {{"GPUS", "90"}}).ok());
  EXPECT_EQ(opened, &codes[1]);
}

TEST_F(CudaDevice, PassesOverAGpuThatIsFullOrBusyUnlessItIsNamed) {
  weightBytes = 5 << 20;
  const std::map<std::string, std::string> settings = {{"GPUS", "90 75 90"},
                                                       {"MEMORY", "4194304 9000000 8388608"}};
  Result<std::unique_ptr<Device>> device = open({code(9, 0)}, settings);
  ASSERT_TRUE(device.ok()) << device.status().message;
  EXPECT_EQ((*device)->name(), "Fake GPU 2");
  EXPECT_EQ(notice, "Fake GPU 0 (sm_90): no device memory for the weights: they need 5 MiB, and 4 "
                    "MiB are free");
  isNamed = true;
  expectFailure(open({code(9, 0)}, settings), Code::Resource, "Fake GPU 0 (sm_90): no device");
  isNamed = false;
  expectFailure(open({code(9, 0)}, {{"GPUS", "90 90"}, {"MEMORY", "4194304 2097152"}}),
                Code::Resource, "Fake GPU 0 (sm_90): no device memory");
}

TEST_F(CudaDevice, SaysWhatIsMissing) {
  expectFailure(open({code(9, 0)}, {}, "/nowhere/libcuda.so.1"), Code::Mismatch,
                "there is no driver for one here (/nowhere/libcuda.so.1");
  expectFailure(open({code(9, 0)}, {}, "libc.so.6"), Code::Mismatch, "it lacks cuInit");
  expectFailure(open({code(9, 0)}, {{"FAILS", "cuInit"}}), Code::Mismatch,
                "does not start: told to fail (error 999)");
  expectFailure(open({code(9, 0)}, {{"VERSION", "12040"}}), Code::Mismatch,
                "knows CUDA 12.4, and this program's kernels want 13.0");
  expectFailure(open({code(9, 0)}, {{"FAILS", "cuModuleLoadData"}}), Code::Mismatch,
                "loading the program's kernels fails: told to fail");
}

TEST_F(CudaDevice, SaysWhatMemoryWasNeeded) {
  Result<std::unique_ptr<Device>> device = open({code(9, 0)}, {{"MEMORY", "4194304"}});
  ASSERT_TRUE(device.ok()) << device.status().message;
  Result<uint8_t *> cache = (*device)->allocate(int64_t(1) << 20, "the cache");
  ASSERT_TRUE(cache.ok()) << cache.status().message;
  Result<uint8_t *> memory = (*device)->allocate(int64_t(5) << 20, "the weights");
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.status().code, Code::Resource);
  EXPECT_EQ(memory.status().message,
            "Fake GPU 0 (sm_90): no device memory for the weights: it needs "
            "5 MiB, and 3 of 4 MiB are free");
  (*device)->release(*cache);
}

TEST_F(CudaDevice, IsUsedByOneThreadAfterAnother) {
  Result<std::unique_ptr<Device>> device = open({code(9, 0)});
  ASSERT_TRUE(device.ok()) << device.status().message;
  std::thread([&] {
    Result<uint8_t *> memory = (*device)->allocate(64, "a test");
    ASSERT_TRUE(memory.ok()) << memory.status().message;
    (*device)->release(*memory);
    *device = nullptr;
  }).join();
}

TEST_F(CudaDevice, CopiesMoreThanItStagesAtATime) {
  const int64_t bytes = (INT64_C(100) << 20) + 3;
  Result<std::unique_ptr<Device>> device =
      open({code(9, 0)}, {{"MEMORY", std::to_string(bytes + 1)}});
  ASSERT_TRUE(device.ok()) << device.status().message;
  Result<uint8_t *> memory = (*device)->allocate(bytes, "a test");
  ASSERT_TRUE(memory.ok());
  std::vector<uint8_t> from(bytes), to(bytes);
  for (int64_t i = 0; i < bytes; ++i)
    from[i] = uint8_t(i * 7 + (i >> 20));
  ASSERT_TRUE((*device)->copyIn(*memory, from.data(), bytes).ok());
  ASSERT_TRUE((*device)->copyOut(to.data(), *memory, bytes).ok());
  EXPECT_TRUE(from == to);
  (*device)->release(*memory);
  *device = nullptr;
  Result<std::unique_ptr<Device>> other = open({code(9, 0)}, {{"FAILS", "cuMemHostAlloc"}});
  ASSERT_TRUE(other.ok());
  EXPECT_NE((*other)->copyIn(nullptr, from.data(), 1).message.find("copying to its memory fails"),
            std::string::npos);
}

TEST_F(CudaDevice, CopiesByMemoryOfTheHost) {
  Result<std::unique_ptr<Device>> device = open({code(9, 0)});
  ASSERT_TRUE(device.ok()) << device.status().message;
  Result<uint8_t *> memory = (*device)->allocate(8, "a test"),
                    host = (*device)->allocateHost(16, "a test");
  ASSERT_TRUE(memory.ok() && host.ok());
  const FillArguments arguments{*memory, 7, 8};
  (*device)->launch(0, 1, {reinterpret_cast<const uint8_t *>(&arguments), sizeof arguments});
  ASSERT_TRUE((*device)->beginCopyOut(*host, *memory, 8).ok());
  ASSERT_TRUE((*device)->finish().ok());
  EXPECT_EQ((*host)[7], 7) << "what was launched before is done";
  (*host)[8] = 9;
  ASSERT_TRUE((*device)->beginCopyIn(*memory, *host + 8, 1).ok());
  uint8_t first = 0;
  ASSERT_TRUE((*device)->copyOut(&first, *memory, 1).ok());
  EXPECT_EQ(first, 9);
  (*device)->release(*memory);
  (*device)->releaseHost(*host);
  setenv("FAKE_CUDA_FAILS", "cuMemHostAlloc", 1);
  Result<uint8_t *> none = (*device)->allocateHost(16, "a test");
  unsetenv("FAKE_CUDA_FAILS");
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.status().message.find("taking memory of the host for a test fails"),
            std::string::npos);
}

TEST_F(CudaDevice, MakesAGraphOfWhatComesAgain) {
  void *library = dlopen(FAKE_CUDA, RTLD_NOW);
  ASSERT_TRUE(library) << dlerror();
  auto count = [&](const char *name) { return *static_cast<int *>(dlsym(library, name)); };
  const int before = count("fakeCudaLaunches"), replays = count("fakeCudaGraphLaunches");
  Result<std::unique_ptr<Device>> device = open({code(9, 0)});
  ASSERT_TRUE(device.ok()) << device.status().message;
  Result<uint8_t *> memory = (*device)->allocate(8, "a test");
  ASSERT_TRUE(memory.ok());
  auto step = [&](int32_t value) {
    ASSERT_TRUE((*device)->clear(*memory, 8).ok());
    for (int32_t count : {8, 3}) { // the second covers a part of what the first wrote
      const FillArguments arguments{*memory, count == 8 ? 1 : value, count};
      (*device)->launch(0, 1, {reinterpret_cast<const uint8_t *>(&arguments), sizeof arguments});
    }
    std::vector<uint8_t> out(8);
    ASSERT_TRUE((*device)->copyOut(out.data(), *memory, 8).ok());
    const auto b = uint8_t(value);
    EXPECT_EQ(out, (std::vector<uint8_t>{b, b, b, 1, 1, 1, 1, 1}));
  };
  step(5);
  EXPECT_EQ(count("fakeCudaLaunches") - before, 2);
  EXPECT_EQ(count("fakeCudaGraphs"), 0);
  for (int again = 1; again <= 3; ++again) {
    step(5);
    EXPECT_EQ(count("fakeCudaGraphLaunches") - replays, again);
  }
  step(6); // other arguments are another list
  EXPECT_EQ(count("fakeCudaLaunches") - before, 4);
  EXPECT_EQ(count("fakeCudaGraphs"), 1);
  constexpr int32_t kMany = 1100; // more lists than are kept
  for (int32_t value = 10; value < 10 + kMany; ++value) {
    step(value);
    step(value);
  }
  EXPECT_LE(count("fakeCudaGraphs"), 1024);
  step(5);
  EXPECT_EQ(count("fakeCudaLaunches") - before, 4 + 2 * kMany + 2);
  (*device)->release(*memory);
  *device = nullptr;
  EXPECT_EQ(count("fakeCudaGraphs"), 0);
  dlclose(library);
}

TEST_F(CudaDevice, TellsAFailedLaunchOnce) {
  Result<std::unique_ptr<Device>> device = open({code(9, 0)});
  ASSERT_TRUE(device.ok()) << device.status().message;
  setenv("FAKE_CUDA_FAILS", "cuLaunchKernel", 1);
  const FillArguments arguments{};
  (*device)->launch(0, 3, {reinterpret_cast<const uint8_t *>(&arguments), sizeof arguments});
  Status failed = (*device)->finish();
  EXPECT_EQ(failed.code, Code::Mismatch);
  EXPECT_NE(failed.message.find("starting kernel 'fill' in 3 blocks fails"), std::string::npos)
      << failed.message;
  EXPECT_TRUE((*device)->finish().ok());
  setenv("FAKE_CUDA_FAILS", "cuStreamSynchronize", 1);
  EXPECT_EQ((*device)->finish().code, Code::Mismatch);
  unsetenv("FAKE_CUDA_FAILS");
}

} // namespace
