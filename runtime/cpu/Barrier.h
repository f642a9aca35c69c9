// The barrier between the phases of a step: spins briefly, then sleeps.

#ifndef MOEC_RUNTIME_CPU_BARRIER_H
#define MOEC_RUNTIME_CPU_BARRIER_H

#include <atomic>
#include <cstdint>

namespace moec {

/// Waits until `word` differs from `old`: spins for at most 50 us, then sleeps. `sleepers` counts
/// those that sleep, so that who changes `word` can leave out the system call.
void waitForChange(std::atomic<uint32_t> &word, uint32_t old, std::atomic<uint32_t> &sleepers);

/// Wakes all that sleep on `word`; called after it was changed.
void wakeSleepers(std::atomic<uint32_t> &word, std::atomic<uint32_t> &sleepers);

/// One barrier; starts out zero. The parties may change between rounds, never within one.
struct Barrier {
  alignas(64) std::atomic<uint32_t> arrived{0};
  alignas(64) std::atomic<uint32_t> round{0};
  std::atomic<uint32_t> sleepers{0};

  /// Returns when `parties` threads have called it; what they wrote before is then visible.
  void wait(int64_t parties);
};

} // namespace moec

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

#endif // MOEC_RUNTIME_CPU_BARRIER_H
