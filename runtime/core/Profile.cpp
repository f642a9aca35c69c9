// Reads the clock of the system, which costs far less than a phase.

#include "runtime/core/Profile.h"

#include <time.h>

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

namespace moec {

static int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1'000'000'000) + time.tv_nsec;
}

Profile::Profile(int64_t phases, int64_t threads) : phases(phases), threads(threads) { clear(); }

void Profile::clear() {
  for (Thread &thread : threads) {
    thread.runs.assign(2 * phases, 0);
    thread.nanoseconds.assign(2 * phases, 0);
  }
}

void Profile::note(int64_t thread, int64_t interval) {
  Thread &noted = threads[thread];
  int64_t time = now();
  if (interval >= 0) {
    ++noted.runs[interval];
    noted.nanoseconds[interval] += time - noted.last;
  }
  noted.last = time;
}

double Profile::seconds(int64_t interval) const {
  double sum = 0;
  for (const Thread &thread : threads)
    sum += static_cast<double>(thread.nanoseconds[interval]);
  return sum * 1e-9 / static_cast<double>(threads.size());
}

int64_t Profile::runs(int64_t phase) const { return threads.front().runs[phase]; }
double Profile::secondsIn(int64_t phase) const { return seconds(phase); }
double Profile::secondsBehind(int64_t phase) const { return seconds(phases + phase); }

} // namespace moec

extern "C" void moec_profile_note(void *profile, int64_t thread, int64_t interval) {
  static_cast<moec::Profile *>(profile)->note(thread, interval);
}
