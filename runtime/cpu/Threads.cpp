// The pool: workers wait for the next job, copy it and do it.

#include "runtime/cpu/Threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <signal.h>

namespace moec {

Result<std::unique_ptr<Threads>> Threads::start(int64_t count, NodeSplit split) {
  if (count < 1 || count > maxThreads)
    return Status{Code::Usage,
                  fmt::format("{} threads asked for, wanted 1 to {}", count, maxThreads)};
  std::unique_ptr<Threads> pool(new Threads(count, std::move(split)));
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

int Threads::bindToNodes() {
  int64_t end = 0;
  for (size_t node = 0; node < threadNodes.nodes.size(); ++node) {
    int64_t first = std::max<int64_t>(end, 1);
    end += threadNodes.threads[node];
    for (int64_t thread = first; thread < end; ++thread)
      if (int error = bindThread(workers[thread - 1]->handle, threadNodes.nodes[node].cpus))
        return error;
  }
  return 0;
}

Threads::~Threads() { stop(); }

void Threads::stop() {
  stepTeam.wake();
  publish({});
  for (const std::unique_ptr<Worker> &worker : workers)
    pthread_join(worker->handle, nullptr);
  workers.clear();
}

// A worker that has read a word of a later job sees in `begun` that it did.
uint64_t Threads::publish(const Job &job) {
  uint64_t number = jobs.now() + 1;
  JobWords image = std::bit_cast<JobWords>(job);
  begun.store(number, std::memory_order_relaxed);
  for (size_t i = 0; i < image.size(); ++i)
    words[i].store(image[i], std::memory_order_release);
  jobs.reach(number);
  return number;
}

/// The newest job, as soon as there is one after number `last`.
uint64_t Threads::take(uint64_t last, Job &job) {
  for (;;) {
    jobs.wait(last + 1);
    uint64_t number = jobs.now();
    JobWords image;
    for (size_t i = 0; i < image.size(); ++i)
      image[i] = words[i].load(std::memory_order_acquire);
    if (begun.load(std::memory_order_relaxed) != number)
      continue;
    job = std::bit_cast<Job>(image);
    return number;
  }
}

void *Threads::serve(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  Threads &pool = *worker.pool;
  Job job;
  for (uint64_t number = 0;;) {
    number = pool.take(number, job);
    if (!job.work)
      return nullptr;
    if (job.context) {
      job.work(job.context, worker.thread);
      if (pool.running.fetch_sub(1, std::memory_order_acq_rel) == 1)
        pool.returned.reach(number);
    } else {
      pool.stepTeam.join(worker.thread, number, job.tile);
      job.work(job.copy, worker.thread);
      pool.stepTeam.leave(worker.thread);
    }
  }
}

void Threads::run(Work work, void *context) {
  assert(context && "a step has none");
  if (numThreads == 1)
    return work(context, 0);
  running.store(numThreads - 1, std::memory_order_relaxed);
  uint64_t number = publish({work, context, 0, {}});
  work(context, 0);
  returned.wait(number);
}

void Threads::step(Work work, void *context, size_t bytes) {
  assert(bytes <= mostContext && "a context that no job has room for");
  uint64_t number = 0;
  stepTeam.begin(tilesBefore);
  if (numThreads > 1) {
    Job job{work, nullptr, tilesBefore, {}};
    memcpy(job.copy, context, bytes);
    number = publish(job);
  }
  stepTeam.join(0, number, tilesBefore);
  work(context, 0);
  tilesBefore = stepTeam.leave(0);
}

void Threads::step(moec_step_function function, const moec_step_arguments &arguments) {
  struct Call {
    moec_step_function function;
    moec_step_arguments arguments;
  } call{function, arguments};
  static_assert(sizeof call <= mostContext);
  step(
      [](void *context, int64_t thread) {
        const Call &own = *static_cast<const Call *>(context);
        own.function(&own.arguments, thread);
      },
      &call, sizeof call);
}

void Threads::settle() {
  run([](void *, int64_t) {}, this);
}

} // namespace moec
