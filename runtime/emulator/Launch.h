// A launch at work: its blocks, warps and threads, and who runs next.

#ifndef MOEC_RUNTIME_EMULATOR_LAUNCH_H
#define MOEC_RUNTIME_EMULATOR_LAUNCH_H

#include "runtime/emulator/Banks.h"
#include "runtime/emulator/Clock.h"
#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Fiber.h"
#include "runtime/emulator/Memory.h"
#include "runtime/emulator/Shadow.h"

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

namespace moec::emulator {

class Launch;
struct Block;
struct Thread;

constexpr uint32_t kWarpLanes = 32;

enum class WarpInstruction : uint8_t {
  Barrier,
  Shuffle,
  Vote,
  Match,
  Reduce,
  Elect,
  LoadMatrix,
  StoreMatrix,
  Multiply
};

/// What a lane brings to an instruction of its warp, and takes from it.
struct WarpCall {
  WarpInstruction instruction = WarpInstruction::Barrier;
  uint32_t mask = 0;
  uint32_t qualifiers = 0; ///< equal for all lanes
  uint32_t location = 0;
  uint64_t value = 0;
  uint32_t offset = 0, clamp = 0;
  void *address = nullptr;
  const uint32_t *a = nullptr, *b = nullptr, *c = nullptr;
  uint32_t *registers = nullptr; ///< results of matrix instructions
  uint64_t result = 0;
};

/// A copy that was issued and may not have been made yet.
struct PendingCopy {
  char *to = nullptr;
  const char *from = nullptr;
  uint32_t bytes = 0, sourceBytes = 0, clock = 0;
};

enum class ThreadState : uint8_t { Ready, AtBarrier, InWarp, AtObject, Done };

struct Thread : moec_emulated_thread {
  Block *block = nullptr;
  uint32_t index = 0; ///< in the block
  ThreadState state = ThreadState::Ready;
  uint32_t waitLocation = 0;
  Fiber fiber;
  View view;
  WarpCall *call = nullptr; ///< while InWarp
  BarrierReduction reduction = BarrierReduction::None;
  uint32_t barrierResult = 0;
  uint32_t copyClock = 0;          ///< copies issued
  std::vector<PendingCopy> copies; ///< not yet made
  std::deque<uint32_t> groups;     ///< of each committed group its last copy's clock
  KnowledgeRef fenced;             ///< what the last fence released
  KnowledgeRef seen;               ///< what a fence would acquire
  bool polled = false;             ///< since it last was resumed it may only have looked
  void *watched = nullptr;         ///< what its last atomic access may have changed
  uint32_t watchedBytes = 0;
  char watchedValue[16];
  alignas(16) char scratch[512]; ///< where an access goes that must not happen

  uint32_t lane() const { return index % kWarpLanes; }
  Site site(uint32_t location, bool isWrite = false) const;
};

/// A barrier of a block with a number.
struct NumberedBarrier {
  uint32_t expected = 0; ///< 0: all threads
  uint32_t arrived = 0;  ///< waiting or not
  uint32_t count = 0, andAll = 1, orAll = 0;
  std::vector<Thread *> waiting;
  KnowledgeRef released; ///< by those that do not wait
};

/// A barrier object in shared memory.
struct BarrierObject {
  uint32_t expected = 0, pending = 0;
  int64_t bytes = 0; ///< of transactions outstanding
  uint64_t phase = 0;
  KnowledgeRef gathering, completed;                  ///< of this phase; of the last
  std::vector<std::pair<Thread *, uint32_t>> waiting; ///< with the parity
};

/// Lanes of a warp, as bits.
struct WarpState {
  uint32_t live = 0;    ///< have not ended
  uint32_t waiting = 0; ///< in an instruction of the warp
};

struct Block {
  Launch *launch = nullptr;
  uint32_t serial = 0; ///< over all launches
  Dim3 index{};
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<char *> stacks;
  std::vector<WarpAccesses> warps;
  std::vector<WarpState> warpStates;
  SharedArena *arena = nullptr;
  std::vector<void *> objectAddresses;
  NumberedBarrier barriers[16];
  std::unordered_map<uintptr_t, BarrierObject> objects;
  std::unordered_map<uintptr_t, KnowledgeRef> released; ///< at addresses of shared memory
  uint32_t live = 0;
};

class Launch {
public:
  Launch(Gpu &gpu, const moec_emulated_module &module, const moec_emulated_kernel &kernel,
         const LaunchConfig &config);

  Status run();

  // For what threads call.

  /// Lets others run; the thread is ready.
  void pause(Thread &thread);
  /// Until wake().
  void wait(Thread &thread, ThreadState state, uint32_t location);
  void wake(Thread &thread);
  /// Ends the calling thread.
  [[noreturn]] void finish(Thread &thread);
  /// Someone changed something that others may look at.
  void noteProgress() { polls = 0; }

  void report(Fault fault, const Site &site, std::string detail, std::optional<Site> other = {}) {
    memory.report(fault, site, std::move(detail), other);
  }
  Site siteOf(const PastAccess &past, bool isWrite) const;
  /// Checks an access by `slot`, the thread or its copies, with the clock that goes with it. Null
  /// where it must not happen.
  char *check(Thread &thread, void *address, uint64_t bytes, uint32_t alignment, bool isWrite,
              bool isStrong, uint32_t location, bool isCopy = false);
  /// Whether `address` lies in the block's shared memory.
  static bool isShared(const Block &block, const void *address);
  uint64_t random() { return nextRandom(randomState); }
  bool isRandom() const { return options.seed != 0; }
  uint32_t firstBlock() const { return firstSerial; }

  /// A barrier that may be complete now, as a thread came or left.
  void settleBarrier(Block &block, uint32_t id);
  /// A warp's instruction likewise: the one that `thread` waits in; all of a warp.
  void settleCall(Thread &thread);
  void settleWarp(Block &block, uint32_t warp);
  void settleObject(BarrierObject &object);

  Memory &memory;
  const Options &options;
  const moec_emulated_module &module;
  const moec_emulated_kernel &kernel;
  const LaunchConfig &config;

private:
  Status startBlock();
  void startThread(Block &block, uint32_t index, char *stack);
  void endThread(Thread &thread);
  void endBlock(Block &block);
  void layOut(Block &block);
  Thread &next();
  void reportDeadlock(bool isPolling);
  /// Gives up the blocks that run: their threads never go on.
  void abandon();
  static void runThread(void *thread);

  Dim3 indexOf(uint64_t block) const;

  std::vector<std::unique_ptr<Block>> blocks; // all ever made; used again
  std::vector<Block *> running, unused;
  std::vector<uint64_t> order; // of blocks to start
  uint64_t started = 0;
  std::deque<Thread *> ready;
  uint32_t threadCount;
  uint32_t firstSerial = 0;
  uint64_t polls = 0;
  uint64_t randomState;
  uint64_t staticBytes = 0;
};

inline Launch &launchOf(moec_emulated_thread *thread) {
  return *static_cast<Thread *>(thread)->block->launch;
}
inline Thread &threadOf(moec_emulated_thread *thread) { return *static_cast<Thread *>(thread); }

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_LAUNCH_H
