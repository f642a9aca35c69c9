// The emulated GPU as a device: its memory, launches, and faults as failures.

#include "runtime/device/Device.h"
#include "runtime/emulator/KernelAbi.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace moec;

namespace {

/// What a kernel is given: each thread of each block writes its number.
struct Arguments {
  int32_t *to;
  int64_t first;
};

void number(moec_emulated_thread *thread, void *const *arguments) {
  auto *to = *static_cast<int32_t *const *>(arguments[0]);
  const int64_t first = *static_cast<const int64_t *>(arguments[1]);
  const uint32_t index = thread->registers[emulator::BlockX] * 32 + thread->registers[0];
  *static_cast<int32_t *>(moec_emulator_access(
      thread, to + index, 4, 4, uint32_t(emulator::AccessKind::Write), 0)) = int32_t(first + index);
}

constexpr uint64_t argumentBytes[] = {8, 8};
constexpr moec_emulated_kernel emulatedKernel = {"number", number, argumentBytes, nullptr,
                                                 2,        0,      {32, 1, 1},    0};
constexpr uint64_t offsets[] = {0};
constexpr moec_emulated_module emulated = {
    &emulatedKernel, nullptr, nullptr, "number.mlir:3", offsets, 1, 0, 0, 1};
constexpr moec_device_kernel kernels[] = {{"number", 32, 0}}, others[] = {{"other", 32, 0}};

moec_device_code code(const moec_device_kernel *kernel, const void *module) {
  return {.architecture = "sm_80",
          .step = nullptr,
          .kernels = kernel,
          .kernel_count = 1,
          .image = {},
          .emulated = module};
}

DeviceOpening open(const moec_device_code &code) {
  DeviceOpening opening{.codes = {&code, 1}, .status = {}};
  moec_open_emulated_device(&opening);
  return opening;
}

TEST(EmulatedDevice, RunsKernelsAndTellsFaultsOnce) {
  const moec_device_code own = code(kernels, &emulated);
  DeviceOpening opening = open(own);
  ASSERT_TRUE(opening.status.ok()) << opening.status.message;
  EXPECT_EQ(opening.code, &own);
  Device &device = *opening.device;
  EXPECT_EQ(device.name(), "an emulated GPU (sm_80)");
  Result<uint8_t *> memory = device.allocate(64 * 4, "a test");
  ASSERT_TRUE(memory.ok());
  int32_t out[64] = {};
  ASSERT_TRUE(device.copyOut(out, *memory, sizeof out).ok());
  EXPECT_EQ(out[0], -1) << "memory that nobody wrote is no number";
  auto launch = [&](int64_t blocks, int64_t first) {
    const Arguments arguments{reinterpret_cast<int32_t *>(*memory), first};
    device.launch(0, blocks, {reinterpret_cast<const uint8_t *>(&arguments), sizeof arguments});
    return device.finish();
  };
  EXPECT_TRUE(launch(0, 0).ok());
  EXPECT_TRUE(launch(2, 100).ok());
  ASSERT_TRUE(device.copyOut(out, *memory, sizeof out).ok());
  EXPECT_EQ(out[0], 100);
  EXPECT_EQ(out[63], 163);

  Status status = launch(3, 0);
  EXPECT_EQ(status.code, Code::Internal);
  EXPECT_NE(status.message.find("number.mlir:3: out of bounds"), std::string::npos)
      << status.message;
  EXPECT_TRUE(launch(2, 0).ok());
  device.release(*memory);
}

TEST(EmulatedDevice, WantsItsKernels) {
  EXPECT_EQ(open(code(others, &emulated)).status.message, "there is no emulated kernel 'other'");
  EXPECT_EQ(open(code(kernels, nullptr)).status.code, Code::Usage);
}

} // namespace
