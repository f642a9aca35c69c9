// Where the time of a step goes, in a program that was compiled with --profile.

#ifndef MOEC_RUNTIME_CORE_PROFILE_H
#define MOEC_RUNTIME_CORE_PROFILE_H

#include <cstdint>
#include <vector>

namespace moec {

/// Nanoseconds of each thread in each interval. Interval i of P phases is the phase i itself,
/// interval P + i the wait at the barrier behind it.
class Profile {
public:
  Profile(int64_t phases, int64_t threads);

  /// Called by `thread` alone: see moec_profile_note.
  void note(int64_t thread, int64_t interval);
  /// Forgets what was noted; not while a step runs.
  void clear();

  /// How often the phase ran on the first thread.
  int64_t runs(int64_t phase) const;
  /// Of the mean thread.
  double secondsIn(int64_t phase) const;
  double secondsBehind(int64_t phase) const;

private:
  struct alignas(64) Thread {
    int64_t last = 0;
    std::vector<int64_t> runs, nanoseconds; ///< by interval
  };

  double seconds(int64_t interval) const;

  int64_t phases;
  std::vector<Thread> threads;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_PROFILE_H
