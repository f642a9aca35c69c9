// A pool of threads that runs one function on all of them at once (SPMD).

#ifndef MOEC_RUNTIME_CPU_THREADS_H
#define MOEC_RUNTIME_CPU_THREADS_H

#include "runtime/core/Result.h"
#include "runtime/core/Step.h"
#include "runtime/cpu/Nodes.h"
#include "runtime/cpu/Team.h"

#include <array>
#include <memory>
#include <pthread.h>
#include <string>
#include <vector>

namespace moec {

/// Most threads that a program takes.
inline constexpr int64_t maxThreads = 1024;

/// A pool of `count` threads, one of which is whoever calls `run`. No thread is pinned to a
/// processor: one that shares it would stall all others. Where there are several nodes of memory,
/// those that the pool starts may be kept to the processors of one node, among which the system
/// moves them; the caller's affinity is its own affair.
class Threads {
public:
  using Work = void (*)(void *context, int64_t thread);

  /// `split` says which threads belong to which node; empty: there is one. Code::Usage where
  /// `count` is not 1 to maxThreads, Code::Resource where the system starts no more.
  static Result<std::unique_ptr<Threads>> start(int64_t count, NodeSplit split = {});
  ~Threads();
  Threads(const Threads &) = delete;
  Threads &operator=(const Threads &) = delete;

  int64_t count() const { return numThreads; }
  const NodeSplit &split() const { return threadNodes; }

  /// Keeps each thread but the caller's to the processors of its node. 0, or what errno says of the
  /// first that stays where it is.
  int bindToNodes();

  /// Calls `work(context, t)` for each t in [0, count), each on its own thread, and returns when
  /// all have returned. One call of this or of `step` at a time.
  void run(Work work, void *context);

  /// Calls `work` on the threads, each with a copy of the `bytes` at `context`, at most
  /// mostContext: all of it is phases that `team` shares out, and it ends in Team::wait. Returns
  /// when the caller's call has returned. A thread may be late with its call, see Team.
  void step(Work work, void *context, size_t bytes);
  /// The same of compiled code, each thread with a copy of the arguments.
  void step(moec_step_function function, const moec_step_arguments &arguments);

  /// Returns when no thread is in the `work` of a step any more.
  void settle();

  Team &team() { return stepTeam; }

  static constexpr size_t mostContext = 256;

private:
  struct Worker {
    Threads *pool;
    int64_t thread;
    pthread_t handle;
  };

  /// What the workers are told to do.
  struct Job {
    Work work;     ///< null: return
    void *context; ///< of `run`; null for a step
    uint64_t tile; ///< the first of a step
    uint8_t copy[mostContext];
  };
  using JobWords = std::array<uint64_t, sizeof(Job) / sizeof(uint64_t)>;

  Threads(int64_t count, NodeSplit split)
      : numThreads(count), threadNodes(std::move(split)), stepTeam(count, threadNodes.threads) {}
  static void *serve(void *worker);
  void stop();
  uint64_t publish(const Job &job);
  uint64_t take(uint64_t last, Job &job);

  int64_t numThreads;
  NodeSplit threadNodes;
  std::vector<std::unique_ptr<Worker>> workers;
  Team stepTeam;
  uint64_t tilesBefore = 0; ///< number of the next step's first tile
  // The job at hand, which workers copy while the next may be written: `begun` is the number of the
  // job that was written to `words` last or is being written, `jobs` of that which can be read.
  std::atomic<uint64_t> begun{0};
  std::array<std::atomic<uint64_t>, std::tuple_size_v<JobWords>> words = {};
  Progress jobs;
  alignas(64) std::atomic<int64_t> running{0}; ///< workers in the `work` of `run`
  Progress returned;                           ///< number of the last `run` that all are through
};

} // namespace moec

#endif // MOEC_RUNTIME_CPU_THREADS_H
