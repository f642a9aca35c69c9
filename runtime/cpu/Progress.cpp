// Waits on a futex: the low half of the count.

#include "runtime/cpu/Progress.h"

#include <bit>
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace moec {

static constexpr int64_t second = 1'000'000'000;

int64_t clockNanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * second + time.tv_nsec;
}

static void pauseOnce() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// `number` is what the word has to hold still, or how many to wake.
static void futex(const std::atomic<uint64_t> &word, int operation, uint32_t number,
                  const timespec *patience = nullptr) {
  static_assert(std::endian::native == std::endian::little, "the low half comes first");
  static_assert(sizeof word == sizeof(uint64_t), "the kernel reads a plain word");
  syscall(SYS_futex, &word, operation, number, patience, nullptr, 0);
}

bool Progress::spin(uint64_t target) const {
  for (int64_t end = 0;;) {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) >= target)
        return true;
      pauseOnce();
    }
    int64_t time = clockNanoseconds();
    if (end == 0)
      end = time + spinNanoseconds;
    else if (time > end)
      return false;
  }
}

// A sleeper counts itself before it looks at the count for the last time, and `reach` looks for
// sleepers after it has changed the count: one of the two sees the other. Between that look and its
// sleep the kernel compares the low half again; other threads would have to do 2^32 tiles in that
// moment to come out at the same half.
void Progress::sleep(uint64_t target, int64_t deadline) {
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    uint64_t seen = value.load(std::memory_order_seq_cst);
    if (seen >= target)
      break;
    timespec patience;
    if (deadline) {
      int64_t left = deadline - clockNanoseconds();
      if (left <= 0)
        break;
      patience = {left / second, left % second};
    }
    futex(value, FUTEX_WAIT_PRIVATE, static_cast<uint32_t>(seen), deadline ? &patience : nullptr);
  }
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void Progress::reach(uint64_t to) {
  uint64_t seen = value.load(std::memory_order_relaxed);
  while (seen < to && !value.compare_exchange_weak(seen, to, std::memory_order_seq_cst))
    ;
  if (sleepers.load(std::memory_order_seq_cst) != 0)
    futex(value, FUTEX_WAKE_PRIVATE, INT_MAX);
}

} // namespace moec
