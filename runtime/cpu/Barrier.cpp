// Sense-reversing barrier on a futex; the round number is the sense.

#include "runtime/cpu/Barrier.h"

#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace moec {

static constexpr int64_t spinNanoseconds = 50'000;

static int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1'000'000'000) + time.tv_nsec;
}

static void pauseOnce() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

static long futex(std::atomic<uint32_t> &word, int operation, uint32_t value) {
  static_assert(sizeof word == sizeof(uint32_t), "the kernel reads a plain word");
  return syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

void waitForChange(std::atomic<uint32_t> &word, uint32_t old, std::atomic<uint32_t> &sleepers) {
  int64_t end = 0;
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) != old)
        return;
      pauseOnce();
    }
    int64_t time = now();
    if (end == 0)
      end = time + spinNanoseconds;
    else if (time > end)
      break;
  }
  // Counted before the kernel compares the word: a waker that still sees no sleeper has changed the
  // word before that comparison, which then fails.
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (word.load(std::memory_order_seq_cst) == old)
    futex(word, FUTEX_WAIT_PRIVATE, old);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void wakeSleepers(std::atomic<uint32_t> &word, std::atomic<uint32_t> &sleepers) {
  if (sleepers.load(std::memory_order_seq_cst) != 0)
    futex(word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void Barrier::wait(int64_t parties) {
  if (parties <= 1)
    return;
  uint32_t current = round.load(std::memory_order_relaxed);
  if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 < static_cast<uint32_t>(parties))
    return waitForChange(round, current, sleepers);
  arrived.store(0, std::memory_order_relaxed);
  round.store(current + 1, std::memory_order_seq_cst);
  wakeSleepers(round, sleepers);
}

} // namespace moec

extern "C" void moec_barrier_wait(void *barrier, int64_t threads) {
  static_cast<moec::Barrier *>(barrier)->wait(threads);
}
