// A device whose memory is the host's and whose kernels are functions, for tests.

#ifndef MOEC_TEST_RUNTIME_DEVICE_HOSTDEVICE_H
#define MOEC_TEST_RUNTIME_DEVICE_HOSTDEVICE_H

#include "runtime/device/Device.h"

#include <cstring>
#include <map>
#include <new>
#include <vector>

namespace moec {

class HostDevice final : public Device {
public:
  using Kernel = void (*)(int64_t blocks, const uint8_t *arguments);

  explicit HostDevice(std::vector<Kernel> kernels = {}, int64_t most = INT64_C(1) << 30)
      : kernels(std::move(kernels)), most(most) {}
  ~HostDevice() override {
    for (auto [memory, bytes] : held)
      operator delete(memory, std::align_val_t(256));
  }

  /// Bytes that are taken and not given back.
  int64_t used() const {
    int64_t sum = 0;
    for (auto [memory, bytes] : held)
      sum += bytes;
    return sum;
  }
  /// Whether the bytes at `at` are within one allocation.
  bool holds(const void *at, int64_t bytes) const {
    auto next = held.upper_bound(const_cast<uint8_t *>(static_cast<const uint8_t *>(at)));
    if (next == held.begin())
      return false;
    auto [memory, size] = *--next;
    return static_cast<const uint8_t *>(at) + bytes <= memory + size;
  }

  std::string name() const override { return "host"; }
  Result<uint8_t *> allocate(int64_t bytes, std::string_view use) override {
    if (used() + bytes > most)
      return Status{Code::Resource, "no memory for " + std::string(use)};
    auto *memory = static_cast<uint8_t *>(operator new(size_t(bytes), std::align_val_t(256)));
    memset(memory, 0xee, size_t(bytes));
    held[memory] = bytes;
    return memory;
  }
  int64_t freeBytes() const override { return most - used(); }
  void release(uint8_t *memory) override {
    if (held.erase(memory))
      operator delete(memory, std::align_val_t(256));
  }
  Status copyIn(uint8_t *to, const void *from, int64_t bytes) override {
    if (bytes > 0) // a null pointer may go with none
      memcpy(to, from, size_t(bytes));
    return {};
  }
  Status copyOut(void *to, const uint8_t *from, int64_t bytes) override {
    if (bytes > 0)
      memcpy(to, from, size_t(bytes));
    return {};
  }
  Status copy(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    memcpy(to, from, size_t(bytes));
    return {};
  }
  Status clear(uint8_t *memory, int64_t bytes) override {
    memset(memory, 0, size_t(bytes));
    return {};
  }
  Result<uint8_t *> allocateHost(int64_t bytes, std::string_view) override {
    return static_cast<uint8_t *>(operator new(size_t(bytes), std::align_val_t(256)));
  }
  void releaseHost(uint8_t *memory) override { operator delete(memory, std::align_val_t(256)); }
  Status beginCopyOut(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    begun.push_back({to, from, bytes});
    return {};
  }
  Status beginCopyIn(uint8_t *to, const uint8_t *from, int64_t bytes) override {
    begun.push_back({to, from, bytes});
    return {};
  }
  void launch(int64_t kernel, int64_t blocks, std::span<const uint8_t> arguments) override {
    kernels[size_t(kernel)](blocks, arguments.data());
  }
  /// What was begun is copied no sooner than now.
  Status finish() override {
    for (auto [to, from, bytes] : begun)
      memcpy(to, from, size_t(bytes));
    begun.clear();
    return std::exchange(failure, {});
  }

  Status failure; ///< that the next `finish` tells

private:
  struct Copy {
    uint8_t *to;
    const uint8_t *from;
    int64_t bytes;
  };

  std::vector<Copy> begun;
  const std::vector<Kernel> kernels;
  const int64_t most;
  std::map<uint8_t *, int64_t> held;
};

} // namespace moec

#endif // MOEC_TEST_RUNTIME_DEVICE_HOSTDEVICE_H
