// A count that only grows, and threads that wait for it: they spin briefly, then sleep.

#ifndef MOEC_RUNTIME_CPU_PROGRESS_H
#define MOEC_RUNTIME_CPU_PROGRESS_H

#include <atomic>
#include <cstdint>

namespace moec {

/// Nanoseconds of the clock that does not jump.
int64_t clockNanoseconds();

/// Starts out zero. Who sees a value of it also sees what was written before it was reached.
class alignas(64) Progress {
public:
  /// How long a thread spins.
  static constexpr int64_t spinNanoseconds = 50'000;

  uint64_t now() const { return value.load(std::memory_order_acquire); }

  /// Grows to `to`, where it is not there yet, and wakes those who wait.
  void reach(uint64_t to);

  /// Returns when the count is at least `target`: spins for at most that long, then sleeps.
  void wait(uint64_t target) {
    if (!spin(target))
      sleep(target);
  }
  /// The first half of `wait`: whether the count came that far in time.
  bool spin(uint64_t target) const;
  /// The second half: returns when the count is at least `target`, or, where a `deadline` is given
  /// (as of clockNanoseconds), after that.
  void sleep(uint64_t target, int64_t deadline = 0);

private:
  std::atomic<uint64_t> value{0};
  std::atomic<uint32_t> sleepers{0}; ///< so that `reach` can leave out the system call
};

} // namespace moec

#endif // MOEC_RUNTIME_CPU_PROGRESS_H
