// What threads pay for a phase of a step besides its tiles: claiming them, and the barrier behind.
//
// build: ninja -C build/release barrier_cost
// run:   build/release/test/bin/barrier_cost [threads] [rounds]     (defaults: the cores, 21)
//
// Each figure is printed as min / median / max over the rounds, for phases of empty tiles.

#include "runtime/cpu/Resources.h"
#include "runtime/cpu/Threads.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace moec;

namespace {

constexpr int64_t kPhases = 2000;

struct EmptyStep {
  Team *team;
  int64_t tiles;
};

void runStep(void *context, int64_t thread) {
  const EmptyStep step = *static_cast<const EmptyStep *>(context);
  for (int64_t phase = 0; phase < kPhases; ++phase) {
    for (int64_t end; step.team->claim(thread, step.tiles, step.tiles, end) < end;)
      ;
    step.team->wait(thread);
  }
}

double nanosecondsPerPhase(Threads &pool, int64_t tiles) {
  using Clock = std::chrono::steady_clock;
  EmptyStep step{&pool.team(), tiles};
  const auto start = Clock::now();
  pool.step(runStep, &step, sizeof step);
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kPhases;
}

} // namespace

int main(int argc, char **argv) {
  const int64_t most = argc > 1 ? std::atoll(argv[1]) : defaultThreads();
  const int64_t rounds = argc > 2 ? std::atoll(argv[2]) : 21;
  if (most < 1 || most > maxThreads || rounds < 1) {
    std::fprintf(stderr, "usage: barrier_cost [threads] [rounds], at most %lld threads\n",
                 static_cast<long long>(maxThreads));
    return 2;
  }
  for (int64_t threads = 1; threads <= most;
       threads = threads < most ? std::min(2 * threads, most) : most + 1) {
    Result<std::unique_ptr<Threads>> pool = Threads::start(threads);
    if (!pool.ok()) {
      std::fprintf(stderr, "%s\n", pool.status().message.c_str());
      return 1;
    }
    for (int64_t tiles : {int64_t(1), threads, 24 * threads}) {
      std::vector<double> taken;
      for (int64_t round = 0; round < rounds; ++round)
        taken.push_back(nanosecondsPerPhase(**pool, tiles));
      std::sort(taken.begin(), taken.end());
      std::printf("%lld threads, %lld tiles: %8.0f / %8.0f / %8.0f ns a phase\n",
                  static_cast<long long>(threads), static_cast<long long>(tiles), taken.front(),
                  taken[taken.size() / 2], taken.back());
    }
  }
}
