// Barriers of a block: sixteen with numbers, and objects in shared memory.

#include "runtime/emulator/Launch.h"

#include <algorithm>
#include <fmt/format.h>

namespace moec::emulator {

void Launch::settleBarrier(Block &block, uint32_t id) {
  NumberedBarrier &barrier = block.barriers[id];
  if (barrier.waiting.empty())
    return;
  const uint32_t expected = barrier.expected ? barrier.expected : block.live;
  if (barrier.arrived < expected)
    return;
  const auto threads = uint32_t(block.threads.size());
  if (!barrier.expected && block.live < threads) {
    const Thread &thread = *barrier.waiting.front();
    report(Fault::DivergentBarrier, thread.site(thread.waitLocation),
           fmt::format("{} of {} threads ended without reaching this barrier", threads - block.live,
                       threads));
  }
  NumberedBarrier complete = std::move(barrier);
  barrier = {};
  if (options.checkRaces) {
    std::vector<View *> views;
    for (Thread *thread : complete.waiting) {
      if (complete.released)
        thread->view.acquire(complete.released);
      views.push_back(&thread->view);
    }
    View::meet(views);
  }
  if (options.countBankConflicts && !complete.expected)
    for (WarpAccesses &warp : block.warps)
      warp.meet(memory.bankUses);
  for (Thread *thread : complete.waiting) {
    thread->barrierResult = thread->reduction == BarrierReduction::Count ? complete.count
                            : thread->reduction == BarrierReduction::And ? complete.andAll
                                                                         : complete.orAll;
    wake(*thread);
  }
}

/// Whether the call is one that the hardware takes.
static bool checkBarrier(Launch &launch, Thread &thread, uint32_t id, uint32_t threads,
                         uint32_t location) {
  if (id >= std::size(thread.block->barriers)) {
    launch.report(Fault::InvalidArgument, thread.site(location),
                  fmt::format("barrier {}, where 0 to 15 exist", id));
    return false;
  }
  const auto size = uint32_t(thread.block->threads.size());
  if (threads % kWarpLanes != 0 || threads > (size + kWarpLanes - 1) / kWarpLanes * kWarpLanes) {
    launch.report(
        Fault::InvalidArgument, thread.site(location),
        fmt::format("a barrier of {} threads, where a multiple of 32 is wanted, of a block of {}",
                    threads, size));
    return false;
  }
  NumberedBarrier &barrier = thread.block->barriers[id];
  if (barrier.arrived && barrier.expected != threads) {
    std::optional<Site> other;
    if (!barrier.waiting.empty())
      other = barrier.waiting.front()->site(barrier.waiting.front()->waitLocation);
    launch.report(Fault::DivergentBarrier, thread.site(location),
                  fmt::format("barrier {} of {} threads, where others expect {} (0: all)", id,
                              threads, barrier.expected),
                  other);
  }
  barrier.expected = threads;
  return true;
}

static BarrierObject *findObject(Launch &launch, Thread &thread, void *address, uint32_t location) {
  auto found = thread.block->objects.find(uintptr_t(address));
  if (found == thread.block->objects.end()) {
    launch.report(Fault::BarrierObject, thread.site(location),
                  "no barrier object was initialized here");
    return nullptr;
  }
  return launch.check(thread, address, 8, 8, false, true, location) ? &found->second : nullptr;
}

static bool isOver(const BarrierObject &object, uint64_t phase, bool isParity) {
  return isParity ? (object.phase & 1) != (phase & 1) : object.phase > phase;
}

void Launch::settleObject(BarrierObject &object) {
  if (object.pending != 0 || object.bytes != 0)
    return;
  ++object.phase;
  object.pending = object.expected;
  object.completed = std::move(object.gathering);
  object.gathering.reset();
  noteProgress();
  std::erase_if(object.waiting, [&](const auto &waiting) {
    if (!isOver(object, waiting.second, true))
      return false;
    waiting.first->view.acquire(object.completed);
    wake(*waiting.first);
    return true;
  });
}

} // namespace moec::emulator

using namespace moec;
using namespace moec::emulator;

uint32_t moec_emulator_barrier(moec_emulated_thread *self, uint32_t id, uint32_t threads,
                               uint32_t reduction, uint32_t predicate, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  Block &block = *thread.block;
  if (!checkBarrier(launch, thread, id, threads, location))
    return 0;
  NumberedBarrier &barrier = block.barriers[id];
  for (const Thread *other : barrier.waiting) {
    if (other->index / kWarpLanes != thread.index / kWarpLanes)
      continue;
    if (other->waitLocation != location)
      launch.report(Fault::DivergentBarrier, thread.site(location),
                    "lanes of one warp are at different barrier instructions",
                    other->site(other->waitLocation));
    break;
  }
  ++barrier.arrived;
  barrier.count += predicate != 0;
  barrier.andAll &= uint32_t(predicate != 0);
  barrier.orAll |= uint32_t(predicate != 0);
  barrier.waiting.push_back(&thread);
  thread.reduction = BarrierReduction(reduction);
  thread.state = ThreadState::AtBarrier;
  thread.waitLocation = location;
  launch.settleBarrier(block, id);
  thread.fiber.suspend();
  return thread.barrierResult;
}

void moec_emulator_barrier_arrive(moec_emulated_thread *self, uint32_t id, uint32_t threads,
                                  uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (threads == 0 || !checkBarrier(launch, thread, id, threads, location))
    return;
  NumberedBarrier &barrier = thread.block->barriers[id];
  ++barrier.arrived;
  if (launch.options.checkRaces)
    barrier.released = joinKnowledge(barrier.released, thread.view.release());
  launch.settleBarrier(*thread.block, id);
}

void moec_emulator_object_init(moec_emulated_thread *self, void *address, uint32_t count,
                               uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (!launch.check(thread, address, 8, 8, true, false, location))
    return;
  if (count == 0 || count >= 1u << 20) {
    launch.report(
        Fault::InvalidArgument, thread.site(location),
        fmt::format("a barrier object for {} arrivals, where 1 to 1048575 are possible", count));
    return;
  }
  if (!Launch::isShared(*thread.block, address)) {
    launch.report(Fault::BarrierObject, thread.site(location),
                  "a barrier object outside of shared memory");
    return;
  }
  BarrierObject object;
  object.expected = object.pending = count;
  thread.block->objects[uintptr_t(address)] = std::move(object);
}

void moec_emulator_object_invalidate(moec_emulated_thread *self, void *address, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (launch.check(thread, address, 8, 8, true, false, location) &&
      !thread.block->objects.erase(uintptr_t(address)))
    launch.report(Fault::BarrierObject, thread.site(location),
                  "no barrier object was initialized here");
}

uint64_t moec_emulator_object_arrive(moec_emulated_thread *self, void *address, uint32_t count,
                                     uint32_t bytes, uint32_t drop, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  BarrierObject *object = findObject(launch, thread, address, location);
  if (!object)
    return 0;
  const uint64_t token = object->phase;
  object->bytes += bytes;
  if (count > object->pending) {
    launch.report(Fault::BarrierObject, thread.site(location),
                  fmt::format("{} arrivals at a barrier object that waits for {} of {}", count,
                              object->pending, object->expected));
    return token;
  }
  object->pending -= count;
  if (drop)
    object->expected -= std::min(count, object->expected);
  if (count) {
    if (launch.options.checkRaces)
      object->gathering = joinKnowledge(object->gathering, thread.view.release());
    launch.settleObject(*object);
  }
  return token;
}

void moec_emulator_object_complete(moec_emulated_thread *self, void *address, uint32_t bytes,
                                   uint32_t location) {
  Launch &launch = launchOf(self);
  if (BarrierObject *object = findObject(launch, threadOf(self), address, location)) {
    object->bytes -= bytes;
    launch.settleObject(*object);
  }
}

uint32_t moec_emulator_object_test(moec_emulated_thread *self, void *address, uint64_t phase,
                                   uint32_t isParity, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  thread.waitLocation = location;
  launch.pause(thread);
  BarrierObject *object = findObject(launch, thread, address, location);
  if (!object || !isOver(*object, phase, isParity != 0))
    return object ? 0 : 1; // without an object nobody would ever stop asking
  thread.view.acquire(object->completed);
  launch.noteProgress();
  return 1;
}

void moec_emulator_object_wait(moec_emulated_thread *self, void *address, uint32_t parity,
                               uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  BarrierObject *object = findObject(launch, thread, address, location);
  if (!object)
    return;
  if (isOver(*object, parity, true)) {
    thread.view.acquire(object->completed);
    return;
  }
  object->waiting.emplace_back(&thread, parity);
  launch.wait(thread, ThreadState::AtObject, location);
}
