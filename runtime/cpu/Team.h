// How the threads of a step share its tiles, so that one without a CPU is not waited for.

#ifndef MOEC_RUNTIME_CPU_TEAM_H
#define MOEC_RUNTIME_CPU_TEAM_H

#include "runtime/cpu/Progress.h"

#include <memory>
#include <vector>

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
/// **Nodes.** Threads may belong to several nodes of memory. A phase's tiles come in runs, each of
/// which reads one weight from its first panel to its last. Every node has a slice of each run, in
/// proportion to its threads (`sliceBegin`), so that a node reads the same panels of a weight in
/// every step, and these can lie in its memory. Tiles are numbered so that the slices of a node
/// follow one another: its threads share them as the threads of a team with one node share all.
/// Who finds nothing left on its own node goes on to the next one.
///
/// Why that is right:
/// 1. No tile is done twice: it is claimed by moving `next` past it, and `next` only grows.
/// 2. `done` of a node counts the tiles of its slices that are done; each thread adds those that it
///    did after it has done them, at the latest in `wait`. A tile behind a wait is claimed only by
///    who has come through it, so `done` comes to the number of the node's first tile behind it
///    exactly when all before are done. The one thread whose addition does that adds them, in
///    `wait`, to the count of all nodes, and the one whose addition completes that one lets
///    `finished` of each node follow, for which the node's threads wait: counters that change
///    often are shared within a node only.
/// 3. A thread is waited for only while it holds claimed tiles, which `done` lacks. So memory that
///    a tile uses is not used for anything else before the tile is done.
/// 4. A thread that is late, by a phase or by several steps, finds all shares of what is over
///    taken (`next` is at the end of each that is not empty, or beyond) and `finished` so far that
///    it waits for nothing, until it comes to the phase at hand. On the way it reads nothing but
///    its own copy of the arguments: no memory of the step, which may be gone.
/// 5. What a tile wrote is seen by all behind the wait: additions to counts are releases, the last
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
  /// `nodes` says how many of the threads belong to each node, at least one: the first so many to
  /// the first, and so on. Empty: there is one node.
  explicit Team(int64_t threads, const std::vector<int64_t> &nodes = {});

  /// Gets ready for a step whose first tile has number `tile`; before any thread joins.
  void begin(uint64_t tile);
  /// Begins step number `step` for `thread`, whose first tile has number `tile`.
  void join(int64_t thread, uint64_t step, uint64_t tile);
  /// Ends it, behind its last wait; returns the number of the first tile of the next step.
  uint64_t leave(int64_t thread);
  /// Ends every rest but the caller's.
  void wake() { stopped.reach(1); }

  /// Claims tiles of the phase at hand, which has `tiles` in runs of `run`: from the result up to
  /// `end`, none where they are equal. Then the phase is over for this thread, and the next call is
  /// about the next.
  int64_t claim(int64_t thread, int64_t tiles, int64_t run, int64_t &end);
  /// Returns when all tiles are done of the phases before.
  void wait(int64_t thread);

private:
  /// What the threads of a node share.
  struct alignas(64) Node {
    std::atomic<uint64_t> done{0};
    /// Number of the first tile behind the newest phase of which somebody found all claimed: spares
    /// the others the look at each share.
    alignas(64) std::atomic<uint64_t> claimed{0};
    Progress finished;
  };

  /// What a thread knows of a node; nobody else looks at it.
  struct alignas(64) Tally {
    uint64_t first = 0;  ///< as Member::first, of the node's tiles
    uint64_t behind = 0; ///< the same behind the last wait
    uint64_t sum = 0;    ///< `done` after this thread's last addition, 0 behind a wait
  };

  /// What a thread knows of where it is; nobody else looks at it but for `next`.
  struct alignas(64) Member {
    std::atomic<uint64_t> next{0};  ///< of the thread's share
    alignas(64) uint64_t first = 0; ///< number of the first tile behind the phase, or of its first
    bool inPhase = false;
    int64_t node = 0, share = 0;             ///< whose tiles it takes
    int64_t nodesTried = 0, sharesTried = 0; ///< how many it is through with, of all and of `node`
    uint64_t begin = 0, end = 0;             ///< of the share
    uint64_t undone = 0;                     ///< tiles of `node` done, but not added to `done` yet
    std::unique_ptr<Tally[]> tallies;        ///< by node
    int64_t home = 0;                        ///< the node that the thread belongs to
    uint64_t step = 0;
    int64_t switches = 0; ///< how often it had lost its CPU when the step began
    int64_t restsUntil = 0;
  };

  int64_t threadsOf(int64_t node) const { return firstThreads[node + 1] - firstThreads[node]; }
  int64_t sliceOf(int64_t node, int64_t run) const;
  void enterPhase(int64_t thread, Member &member, int64_t tiles, int64_t run);
  void chooseShare(Member &member, int64_t tiles, int64_t run);
  bool allClaimed(const Member &member);
  bool nextShare(int64_t thread, Member &member, int64_t tiles, int64_t run);
  int64_t tileAt(const Member &member, uint64_t number, int64_t tiles, int64_t run) const;
  void report(Member &member);
  bool completesPhases(Member &member);
  void rest(int64_t thread, Member &member);
  void considerRest(int64_t thread, Member &member);

  int64_t threads;
  std::vector<int64_t> firstThreads; ///< of each node, then `threads`
  int64_t numNodes;
  std::unique_ptr<Node[]> nodes;
  std::unique_ptr<Member[]> members;
  alignas(64) std::atomic<uint64_t> done{0}; ///< tiles of all nodes, where there are several
  /// Who sleeps for `finished`: for which count, since when.
  alignas(64) std::atomic<uint64_t> awaited{0};
  std::atomic<int64_t> awaitedSince{0};
  Progress ended;   ///< the last step that is done, for the first thread's rests
  Progress stopped; ///< 1: no more rests
};

/// Where the slice of a node begins in `count` panels or tiles, whose first thread is `firstThread`
/// of `threads`; it ends where the next node's begins.
constexpr int64_t sliceBegin(int64_t count, int64_t firstThread, int64_t threads) {
  return count * firstThread / threads;
}

} // namespace moec

#define MOEC_RT(name, result, parameters) extern "C" result name parameters;
#include "runtime/include/moec/abi.def"
#undef MOEC_RT

#endif // MOEC_RUNTIME_CPU_TEAM_H
