// The pool: workers wait for a job number to change, work, and meet at a barrier.

#include "runtime/cpu/Threads.h"

#include <fmt/format.h>

#include <cstring>
#include <signal.h>

namespace moec {

Result<std::unique_ptr<Threads>> Threads::start(int64_t count) {
  if (count < 1 || count > maxThreads)
    return Status{Code::Usage,
                  fmt::format("{} threads asked for, wanted 1 to {}", count, maxThreads)};
  std::unique_ptr<Threads> pool(new Threads(count));
  // Signals go to the thread that the host or the program expects them on.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  for (int64_t thread = 1; thread < count && !error; ++thread) {
    auto worker = std::make_unique<Worker>(Worker{pool.get(), thread, {}});
    error = pthread_create(&worker->handle, nullptr, serve, worker.get());
    if (!error)
      pool->workers.push_back(std::move(worker));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error)
    return Status{Code::Resource, fmt::format("cannot start thread {} of {}: {}; use --threads",
                                              pool->workers.size() + 2, count, strerror(error))};
  return pool;
}

Threads::~Threads() { stop(); }

void Threads::stop() {
  stopping = true;
  job.fetch_add(1, std::memory_order_seq_cst);
  wakeSleepers(job, jobSleepers);
  for (const std::unique_ptr<Worker> &worker : workers)
    pthread_join(worker->handle, nullptr);
  workers.clear();
}

void *Threads::serve(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  Threads &pool = *worker.pool;
  for (uint32_t seen = 0;;) {
    waitForChange(pool.job, seen, pool.jobSleepers);
    ++seen; // one job at a time: all workers have met at `done` before the next number
    if (pool.stopping)
      return nullptr;
    pool.work(pool.context, worker.thread);
    pool.done.wait(pool.numThreads);
  }
}

void Threads::run(Work newWork, void *newContext) {
  if (numThreads == 1)
    return newWork(newContext, 0);
  work = newWork;
  context = newContext;
  job.fetch_add(1, std::memory_order_seq_cst);
  wakeSleepers(job, jobSleepers);
  newWork(newContext, 0);
  done.wait(numThreads);
}

} // namespace moec
