// The emulated GPU as a device: a step whose kernels do what they must not fails.

#include "runtime/cpu/Resources.h"
#include "runtime/device/Device.h"
#include "runtime/emulator/Emulator.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <new>
#include <vector>

namespace moec {

static constexpr size_t kMostFaults = 8; ///< that a message tells
static constexpr int kFresh = 0xff;      ///< in memory that nobody wrote: no number as a float
static constexpr uintptr_t kAlignment = 256;
/// Addresses of device memory begin here, where no process has any: a host that reads what it must
/// leave to kernels does not get far.
static constexpr uintptr_t kFirstAddress = UINT64_C(1) << 56;

namespace {

class EmulatedDevice final : public Device {
public:
  explicit EmulatedDevice(const moec_device_code &ofCode)
      : code(ofCode), module(*static_cast<const moec_emulated_module *>(ofCode.emulated)) {}

  /// Finds the kernels.
  Status start();

  std::string name() const override {
    return fmt::format("an emulated GPU ({})", code.architecture);
  }
  Result<uint8_t *> allocate(int64_t bytes, std::string_view use) override;
  int64_t freeBytes() const override { return availableMemory().value_or(0); }
  void release(uint8_t *memory) override;
  Status copyIn(uint8_t *to, const void *from, int64_t bytes) override {
    memcpy(hostOf(to), from, size_t(bytes));
    return {};
  }
  Status copyOut(void *to, const uint8_t *from, int64_t bytes) override {
    memcpy(to, hostOf(from), size_t(bytes));
    return {};
  }
  Status copy(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    memcpy(hostOf(to), hostOf(from), size_t(bytes));
    return {};
  }
  Status clear(uint8_t *memory, int64_t bytes) override {
    memset(hostOf(memory), 0, size_t(bytes));
    return {};
  }
  Result<uint8_t *> allocateHost(int64_t bytes, std::string_view use) override;
  void releaseHost(uint8_t *memory) override {
    operator delete[](memory, std::align_val_t(kAlignment));
  }
  Status beginCopyOut(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    return copyOut(to, from, bytes);
  }
  Status beginCopyIn(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    return copyIn(to, from, bytes);
  }
  void launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) override;
  Status finish() override;

private:
  uint8_t *hostOf(const uint8_t *memory) const {
    const auto address = reinterpret_cast<uintptr_t>(memory);
    auto found = --held.upper_bound(address);
    return found->second.get() + (address - found->first);
  }

  const moec_device_code &code;
  const moec_emulated_module &module;
  std::vector<const moec_emulated_kernel *> kernels;
  emulator::Gpu gpu;
  std::map<uintptr_t, std::unique_ptr<uint8_t[]>> held; ///< by the addresses that kernels know
  uintptr_t next = kFirstAddress;
  Status failure; ///< of a launch
};

} // namespace

Status EmulatedDevice::start() {
  for (uint64_t i = 0; i < code.kernel_count; ++i) {
    kernels.push_back(emulator::findKernel(module, code.kernels[i].name));
    if (!kernels.back())
      return {Code::Mismatch,
              fmt::format("there is no emulated kernel '{}'", code.kernels[i].name)};
  }
  return {};
}

Result<uint8_t *> EmulatedDevice::allocate(int64_t bytes, std::string_view use) {
  const auto size = size_t(bytes);
  std::unique_ptr<uint8_t[]> memory(new (std::nothrow) uint8_t[size]);
  if (!memory)
    return Status{Code::Resource, fmt::format("{}: no memory for {}: it needs {} MiB", name(), use,
                                              (bytes + (1 << 20) - 1) >> 20)};
  memset(memory.get(), kFresh, size);
  const uintptr_t address = next;
  next += (size / kAlignment + 2) * kAlignment;       // two are never next to each other
  auto *known = reinterpret_cast<uint8_t *>(address); // NOLINT(performance-no-int-to-ptr)
  gpu.addBuffer({.address = known, .bytes = size, .host = reinterpret_cast<char *>(memory.get())});
  held[address] = std::move(memory);
  return known;
}

Result<uint8_t *> EmulatedDevice::allocateHost(int64_t bytes, std::string_view use) {
  void *memory = operator new[](size_t(bytes), std::align_val_t(kAlignment), std::nothrow);
  if (!memory)
    return Status{Code::Resource, fmt::format("no memory for {}: it needs {} MiB", use,
                                              (bytes + (1 << 20) - 1) >> 20)};
  return static_cast<uint8_t *>(memory);
}

void EmulatedDevice::release(uint8_t *memory) {
  if (!memory)
    return;
  gpu.removeBuffer(memory);
  held.erase(reinterpret_cast<uintptr_t>(memory));
}

void EmulatedDevice::launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) {
  if (!failure.ok() || blocks == 0)
    return;
  const moec_device_kernel &what = code.kernels[kernel];
  const moec_emulated_kernel &function = *kernels[size_t(kernel)];
  std::vector<void *> pointers;
  size_t offset = 0;
  for (uint64_t i = 0; i < function.argumentCount; ++i) {
    const size_t bytes = function.argumentBytes[i];
    offset = (offset + bytes - 1) / bytes * bytes;
    pointers.push_back(const_cast<uint8_t *>(arguments.data() + offset));
    offset += bytes;
  }
  failure = gpu.launch(module, function,
                       {.grid = {uint32_t(blocks), 1, 1},
                        .block = {uint32_t(what.threads), 1, 1},
                        .dynamicSharedBytes = uint32_t(what.shared_bytes),
                        .arguments = pointers});
}

Status EmulatedDevice::finish() {
  Status first = std::exchange(failure, {});
  std::span<const emulator::Report> reports = gpu.reports();
  if (first.ok() && reports.empty())
    return {};
  std::string text = fmt::format("{}: kernels did what they must not:", name());
  if (!first.ok()) // what the emulator refuses is a launch that we have made
    text += "\n  " + first.message;
  for (const emulator::Report &report : reports.first(std::min(reports.size(), kMostFaults)))
    text += "\n  " + emulator::reportText(report, module);
  if (reports.size() > kMostFaults)
    text += fmt::format("\n  and {} more", reports.size() - kMostFaults);
  gpu.clearReports();
  return {Code::Internal, text};
}

} // namespace moec

extern "C" void moec_open_emulated_device(void *given) {
  auto &opening = *static_cast<moec::DeviceOpening *>(given);
  for (const moec_device_code &code : opening.codes) {
    if (!code.emulated)
      continue;
    auto device = std::make_unique<moec::EmulatedDevice>(code);
    opening.status = device->start();
    if (opening.status.ok()) {
      opening.device = std::move(device);
      opening.code = &code;
    }
    return;
  }
  opening.status = {moec::Code::Usage, "this program has no emulated kernels"};
}
