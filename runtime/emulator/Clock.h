// What happened before what: vector clocks of a block's threads and of their asynchronous copies.

#ifndef MOEC_RUNTIME_EMULATOR_CLOCK_H
#define MOEC_RUNTIME_EMULATOR_CLOCK_H

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace moec::emulator {

/// Of each slot of a block how far its past is known. Slot t is thread t, slot N + t the copies it
/// has issued; N threads.
using ClockVector = std::vector<uint32_t>;
using ClockRef = std::shared_ptr<const ClockVector>;

/// What is known of several blocks, by their serial numbers, ascending.
using Knowledge = std::vector<std::pair<uint32_t, ClockRef>>;
using KnowledgeRef = std::shared_ptr<const Knowledge>;

/// The larger of both in each slot.
ClockRef joinClocks(const ClockRef &a, const ClockRef &b);
KnowledgeRef joinKnowledge(const KnowledgeRef &a, const KnowledgeRef &b);

/// What one thread knows. Most of it is shared with the threads that it last met at a barrier.
class View {
public:
  void start(uint32_t block, uint32_t thread, uint32_t threads);

  /// The clock that marks this thread's accesses from its last release on.
  uint32_t now() const { return own; }
  /// Whether what slot `slot` of this block did at `clock` happened before.
  bool knows(uint32_t slot, uint32_t clock) const {
    if (slot == thread)
      return true;
    if (slot == threads + thread && clock <= copies)
      return true;
    return base && (*base)[slot] >= clock;
  }
  /// The same of a slot of another block.
  bool knowsOther(uint32_t block, uint32_t slot, uint32_t clock) const;

  /// The thread's own copies up to `clock` are waited for.
  void waitCopies(uint32_t clock) { copies = clock > copies ? clock : copies; }
  /// What a release hands on: all that this thread knows and did; what it does from now on is not
  /// part of it.
  KnowledgeRef release();
  /// That the thread's copies up to `clock` are made, and nothing else.
  KnowledgeRef copiesUpTo(uint32_t clock) const;
  void acquire(const KnowledgeRef &knowledge);
  /// A barrier of these threads, all of one block: each then knows what any of them knew.
  static void meet(std::span<View *const> views);

private:
  uint32_t block = 0, thread = 0, threads = 0;
  uint32_t own = 1;
  uint32_t copies = 0;
  ClockRef base;        // of this block; null: nothing
  KnowledgeRef foreign; // of other blocks
};

} // namespace moec::emulator

#endif // MOEC_RUNTIME_EMULATOR_CLOCK_H
