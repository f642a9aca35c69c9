// Runs a C++ function as a kernel: once for each thread of a launch.

#ifndef MOEC_TEST_RUNTIME_EMULATOR_KERNELRUN_H
#define MOEC_TEST_RUNTIME_EMULATOR_KERNELRUN_H

#include "runtime/emulator/Emulator.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <vector>

namespace moec::emulator {

constexpr uint32_t kAllLanes = 0xffffffff;

/// What a test's kernel sees of its thread. Places in it are numbers that the test chooses.
struct KernelThread {
  moec_emulated_thread *self;

  uint32_t index() const { return self->registers[ThreadX]; }
  uint32_t block() const { return self->registers[BlockX]; }
  char *shared() const { return static_cast<char *>(self->objects[0]); }
  void barrier(uint32_t place) const { moec_emulator_barrier(self, 0, 0, 0, 0, place); }

  template <typename T> void store(T *address, T value, uint32_t place) const {
    *static_cast<T *>(access(address, sizeof(T), AccessKind::Write, place)) = value;
  }
  template <typename T> T load(T *address, uint32_t place) const {
    return *static_cast<T *>(access(address, sizeof(T), AccessKind::Read, place));
  }
  void *access(void *address, uint64_t bytes, AccessKind kind, uint32_t place) const {
    return moec_emulator_access(self, address, bytes, uint32_t(std::min<uint64_t>(bytes, 16)),
                                uint32_t(kind), place);
  }
  /// Atomic accesses of 32 bits with these bits of Order.
  uint32_t atomicAdd(uint32_t *address, uint32_t value, uint32_t order, uint32_t place) const {
    auto *at = static_cast<uint32_t *>(moec_emulator_atomic(self, address, 4, order, place));
    const uint32_t old = *at;
    *at += value;
    return old;
  }
  uint32_t atomicLoad(uint32_t *address, uint32_t order, uint32_t place) const {
    return *static_cast<uint32_t *>(
        moec_emulator_atomic(self, address, 4, ReadOnly | order, place));
  }
};

using Kernel = std::function<void(const KernelThread &)>;

/// A GPU, and a module with one kernel and one shared object.
class KernelRun {
public:
  explicit KernelRun(Options options = {}) : gpu(options) {}

  uint64_t sharedBytes = 1024;
  uint32_t grid = 1;
  Gpu gpu;

  /// A launch of `grid` blocks of `threads`.
  Status launch(uint32_t threads, Kernel body) {
    object.bytes = sharedBytes;
    void *pointer = &body;
    const moec_emulated_module module{&kernel, &object, nullptr, nullptr, nullptr, 1, 1, 0, 0};
    return gpu.launch(module, kernel,
                      {.grid = {grid, 1, 1}, .block = {threads, 1, 1}, .arguments = {&pointer, 1}});
  }
  /// The faults that were found, each as often as places differ.
  std::vector<Fault> faults() const {
    std::vector<Fault> all;
    for (const Report &report : gpu.reports())
      all.push_back(report.fault);
    return all;
  }

private:
  static void run(moec_emulated_thread *thread, void *const *arguments) {
    (*static_cast<Kernel *>(arguments[0]))(KernelThread{thread});
  }

  const uint64_t argumentBytes = 8, objectIndex = 0;
  moec_emulated_object object{1024, 16};
  const moec_emulated_kernel kernel{"test", run, &argumentBytes, &objectIndex, 1, 1, {0, 0, 0}, 0};
};

/// `{}`: nothing was found.
using Faults = std::vector<Fault>;

} // namespace moec::emulator

#endif // MOEC_TEST_RUNTIME_EMULATOR_KERNELRUN_H
