// The threads of a step: a pool that runs one function on all of them at once (SPMD).

#ifndef MOEC_RUNTIME_CPU_THREADS_H
#define MOEC_RUNTIME_CPU_THREADS_H

#include "runtime/core/Result.h"
#include "runtime/cpu/Barrier.h"

#include <memory>
#include <pthread.h>
#include <string>
#include <vector>

namespace moec {

/// Most threads that a program takes.
inline constexpr int64_t maxThreads = 1024;

/// The physical cores that this process may use: those of its affinity, and no more than the quota
/// of its control groups (v1 or v2) allows. At least 1. `root` is put in front of /proc and /sys.
int64_t defaultThreads(const std::string &root = "");

/// Physical cores among the processors `cpus`, by the sibling lists below `root`; where these are
/// missing, each processor counts as a core unless cpuid says how many share one.
int64_t physicalCores(const std::vector<int> &cpus, const std::string &root = "");

/// Whole cores that the control groups' quota allows, or 0 where there is none.
int64_t quotaCores(const std::string &root = "");

/// A pool of `count` threads, one of which is whoever calls `run`. The threads are not pinned: the
/// host process owns its affinity, and a bound thread that shares its core stalls all others.
class Threads {
public:
  using Work = void (*)(void *context, int64_t thread);

  static Result<std::unique_ptr<Threads>> start(int64_t count);
  ~Threads();
  Threads(const Threads &) = delete;
  Threads &operator=(const Threads &) = delete;

  int64_t count() const { return numThreads; }

  /// Calls `work(context, t)` for each t in [0, count), each on its own thread, and returns when
  /// all have returned. One call at a time.
  void run(Work work, void *context);

  /// A barrier for `work` to wait at.
  Barrier &barrier() { return workBarrier; }

private:
  struct Worker {
    Threads *pool;
    int64_t thread;
    pthread_t handle;
  };

  explicit Threads(int64_t count) : numThreads(count) {}
  static void *serve(void *worker);
  void stop();

  alignas(64) std::atomic<uint32_t> job{0};
  std::atomic<uint32_t> jobSleepers{0};
  int64_t numThreads;
  Work work = nullptr;
  void *context = nullptr;
  std::vector<std::unique_ptr<Worker>> workers;
  bool stopping = false;
  Barrier done;
  Barrier workBarrier;
};

} // namespace moec

#endif // MOEC_RUNTIME_CPU_THREADS_H
