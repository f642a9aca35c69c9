// How the threads of a step share its tiles, so that one without a CPU is not waited for.

#ifndef MOEC_RUNTIME_CPU_TEAM_H
#define MOEC_RUNTIME_CPU_TEAM_H

#include "runtime/cpu/Progress.h"

#include <memory>

namespace moec {

/// The threads of a pool while they carry out steps. All run the same code, a step's phases one
/// after another: in each they claim tiles until none is left (`claim`), and where later phases
/// need what earlier ones made they wait until that is done (`wait`).
///
/// **Tiles.** The tiles of all phases are numbered through, from the first step on, and each thread
/// counts along: all come to the same numbers, as a phase's number of tiles follows from the
/// arguments of the step alone, of which each thread has a copy. Of a phase with n tiles, T threads
/// have a share each, tiles [t*n/T, (t+1)*n/T), which a thread takes in order: it reads memory
/// where it lies in a row, the same in every step. Whoever is done with its own share takes the
/// next tiles of others'. `next` of a share is the number of its tile that comes next; where that
/// is one of an earlier phase, none of this phase's is taken yet. Nobody has to prepare a phase.
///
/// Why that is right:
/// 1. No tile is done twice: it is claimed by moving `next` past it, and `next` only grows.
/// 2. `done` counts the tiles that are done; each thread adds its own after it has done them, at
///    the latest in `wait`. A tile behind a wait is claimed only by who has come through it, so
///    `done` comes to the number of the first tile behind it exactly when all before are done.
///    The one thread whose addition does that lets `finished` follow, for which the others wait.
/// 3. A thread is waited for only while it holds claimed tiles, which `done` lacks. So memory that
///    a tile uses is not used for anything else before the tile is done.
/// 4. A thread that is late, by a phase or by several steps, finds all shares of what is over
///    taken (`next` is at the end of each that is not empty, or beyond) and `finished` so far that
///    it waits for nothing, until it comes to the phase at hand. On the way it reads nothing but
///    its own copy of the arguments: no memory of the step, which may be gone.
/// 5. What a tile wrote is seen by all behind the wait: additions to `done` are releases, the last
///    one acquires all of them and releases `finished`, which who waits acquires.
///
/// **Rest.** A thread that the system takes off its CPU mostly holds a tile then, and all wait
/// until it gets the CPU back: two threads, one of which shares its CPU with a neighbour, would do
/// less than one alone. So who ends such a wait, and has lost its CPU in this step, rests for 16
/// times as long as the others waited: its tiles go to the others, and the neighbour costs a
/// seventeenth of its time. Only a thread for which another waits begins to rest, so one is always
/// awake.
class Team {
public:
  explicit Team(int64_t threads);

  /// Begins step number `step` for `thread`, whose first tile has number `tile`.
  void join(int64_t thread, uint64_t step, uint64_t tile);
  /// Ends it, behind its last wait; returns the number of the first tile of the next step.
  uint64_t leave(int64_t thread);
  /// Ends every rest but the caller's.
  void wake() { stopped.reach(1); }

  /// Claims tiles of the phase at hand, which has `tiles`: from the result up to `end`, none where
  /// they are equal. Then the phase is over for this thread, and the next call is about the next.
  int64_t claim(int64_t thread, int64_t tiles, int64_t &end);
  /// Returns when all tiles are done of the phases before.
  void wait(int64_t thread);

private:
  /// What a thread knows of where it is; nobody else looks at it but for `next`.
  struct alignas(64) Member {
    std::atomic<uint64_t> next{0};  ///< of the thread's share
    alignas(64) uint64_t first = 0; ///< number of the first tile behind the phase, or of its first
    bool inPhase = false;
    int64_t share = 0, tried = 0; ///< whose tiles it takes, and how many shares it is through with
    uint64_t begin = 0, end = 0;  ///< of that share
    uint64_t undone = 0;          ///< tiles done, but not added to `done` yet
    uint64_t sum = 0;             ///< `done` after its last addition, 0 behind a wait
    uint64_t step = 0;
    int64_t switches = 0; ///< how often it had lost its CPU when the step began
    int64_t restsUntil = 0;
  };

  void chooseShare(Member &member, int64_t share, int64_t tiles);
  void report(Member &member);
  void rest(int64_t thread, Member &member);
  void considerRest(int64_t thread, Member &member);

  int64_t threads;
  std::unique_ptr<Member[]> members;
  alignas(64) std::atomic<uint64_t> done{0};
  Progress finished;
  /// Who sleeps for `finished`: for which count, since when.
  alignas(64) std::atomic<uint64_t> awaited{0};
  std::atomic<int64_t> awaitedSince{0};
  Progress ended;   ///< the last step that is done, for the first thread's rests
  Progress stopped; ///< 1: no more rests
};

} // namespace moec

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

#endif // MOEC_RUNTIME_CPU_TEAM_H
