// Runs emulated kernels on the CPU and reports what they do that they must not.

#ifndef MOEC_RUNTIME_EMULATOR_EMULATOR_H
#define MOEC_RUNTIME_EMULATOR_EMULATOR_H

#include "runtime/core/Result.h"
#include "runtime/emulator/KernelAbi.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec::emulator {

using Dim3 = std::array<uint32_t, 3>;

enum class Fault : uint8_t {
  OutOfBounds,      ///< not within a buffer, a shared object or the thread's own stack
  Misaligned,       ///< an address that the instruction does not take
  ReadOnlyWrite,    ///< a write to constant memory or a buffer that is only read
  Race,             ///< two accesses, one of them a write, that nothing orders
  UnwaitedCopy,     ///< the same with an asynchronous copy that was not waited for
  Uninitialized,    ///< shared memory read that nobody wrote
  DivergentBarrier, ///< a barrier that not all its threads reach
  DivergentWarp,    ///< a warp's instruction that not all its lanes execute
  BarrierObject,    ///< a barrier object used before it is made, or arrived at too often
  InvalidArgument,  ///< a code or count that the instruction does not take
  Division,         ///< one that has no quotient
  Trap,             ///< the kernel gave up
  Deadlock,         ///< nobody can go on
};
/// As reports name it: `race`.
std::string_view faultName(Fault fault);

/// Where and by whom an access or a call was made.
struct Site {
  uint32_t location = 0; ///< in the module's table
  Dim3 block{}, thread{};
  bool isWrite = false;
};

struct Report {
  Fault fault = Fault::OutOfBounds;
  Site site;
  std::optional<Site> other; ///< the access it is in conflict with
  std::string detail;        ///< what was found and what was wanted
  uint64_t count = 1;        ///< how often it happened at this place
};

/// Of an instruction's accesses to shared memory.
struct BankUse {
  uint32_t location = 0;
  bool isWrite = false;
  uint64_t instructions = 0; ///< of whole warps
  uint64_t passes = 0;       ///< over the banks that these took
  uint64_t fewest = 0;       ///< passes without any conflict

  uint64_t conflicts() const { return passes - fewest; }
};

/// Memory that kernels may use.
struct Buffer {
  void *address = nullptr; ///< that kernels know it by
  uint64_t bytes = 0;
  bool readOnly = false;
  char *host = nullptr; ///< where it is in this process; null: at the same address
};

struct Options {
  bool checkBounds = true; ///< and alignment
  bool checkRaces = true;
  bool checkInitialized = true;
  bool countBankConflicts = false;
  /// Orders blocks and threads, and when copies happen; 0: ascending, copies as late as they may.
  uint64_t seed = 0;
  size_t stackBytes = 128 << 10;
  uint32_t sharedLimit = 228 << 10; ///< bytes of shared memory that a block may ask for
  /// Switches between threads that only look, none changing anything, after which they are
  /// deadlocked.
  uint64_t pollLimit = 20'000'000;
};

struct LaunchConfig {
  Dim3 grid{1, 1, 1}, block{1, 1, 1};
  uint32_t dynamicSharedBytes = 0;
  std::span<void *const> arguments = {}; ///< a pointer to each argument's value
};

class Memory;

/// An emulated GPU: its buffers and what was found so far. One thread at a time may use it.
class Gpu {
public:
  explicit Gpu(Options options = {});
  ~Gpu();
  Gpu(const Gpu &) = delete;
  Gpu &operator=(const Gpu &) = delete;

  void addBuffer(const Buffer &buffer);
  void removeBuffer(const void *address);

  /// Runs all threads of a launch. Fails where the launch itself is refused; what the kernel does
  /// wrong is in the reports.
  Status launch(const moec_emulated_module &module, const moec_emulated_kernel &kernel,
                const LaunchConfig &config);

  /// One for each fault and pair of places, in the order in which they were found.
  std::span<const Report> reports() const;
  /// With countBankConflicts, of each instruction that used shared memory; by location.
  std::vector<BankUse> bankUses() const;
  void clearReports();

private:
  friend class Launch;
  Options options;
  std::unique_ptr<Memory> memory;
};

/// The kernel of that name; null if there is none.
const moec_emulated_kernel *findKernel(const moec_emulated_module &module, std::string_view name);

/// The name of a place in the module: `kernel.mlir:12:5`.
std::string_view locationName(const moec_emulated_module &module, uint32_t location);

/// A report as one line.
std::string reportText(const Report &report, const moec_emulated_module &module);

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_EMULATOR_H
