// Asynchronous copies: made when they are waited for, or, as chance has it, at once.

#include "runtime/emulator/Launch.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace moec::emulator {

static void make(const PendingCopy &copy) {
  if (copy.sourceBytes)
    std::memcpy(copy.to, copy.from, copy.sourceBytes);
  std::memset(copy.to + copy.sourceBytes, 0, copy.bytes - copy.sourceBytes);
}

/// Makes the copies up to `clock`.
static void makeCopies(Thread &thread, uint32_t clock) {
  auto later = std::find_if(thread.copies.begin(), thread.copies.end(),
                            [&](const PendingCopy &copy) { return copy.clock > clock; });
  std::for_each(thread.copies.begin(), later, make);
  thread.copies.erase(thread.copies.begin(), later);
}

} // namespace moec::emulator

using namespace moec;
using namespace moec::emulator;

void moec_emulator_copy(moec_emulated_thread *self, void *to, void *from, uint32_t bytes,
                        uint32_t sourceBytes, uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  if (sourceBytes > bytes) {
    launch.report(Fault::InvalidArgument, thread.site(location),
                  fmt::format("a copy of {} bytes from {}", bytes, sourceBytes));
    sourceBytes = bytes;
  }
  ++thread.copyClock;
  const char *source = nullptr;
  if (sourceBytes)
    source = launch.check(thread, from, sourceBytes, bytes, false, false, location, true);
  char *target = launch.check(thread, to, bytes, bytes, true, false, location, true);
  if (!target || (sourceBytes && !source))
    return;
  if (launch.options.countBankConflicts)
    thread.block->warps[thread.index / kWarpLanes].add(
        thread.lane(), location, 0, true, uint32_t(target - thread.block->arena->data), bytes);
  const PendingCopy copy{target, source, bytes, sourceBytes, thread.copyClock};
  if (launch.isRandom() && launch.random() % 2)
    make(copy);
  else
    thread.copies.push_back(copy);
}

void moec_emulator_copy_commit(moec_emulated_thread *self) {
  Thread &thread = threadOf(self);
  thread.groups.push_back(thread.copyClock);
}

void moec_emulator_copy_wait(moec_emulated_thread *self, uint32_t groups) {
  Thread &thread = threadOf(self);
  while (thread.groups.size() > groups) {
    makeCopies(thread, thread.groups.front());
    thread.view.waitCopies(thread.groups.front());
    thread.groups.pop_front();
  }
}

void moec_emulator_copy_arrive(moec_emulated_thread *self, void *address, uint32_t noIncrement,
                               uint32_t location) {
  Launch &launch = launchOf(self);
  Thread &thread = threadOf(self);
  makeCopies(thread, thread.copyClock);
  auto found = thread.block->objects.find(uintptr_t(address));
  if (found == thread.block->objects.end()) {
    launch.report(Fault::BarrierObject, thread.site(location),
                  "no barrier object was initialized here");
    return;
  }
  if (!launch.check(thread, address, 8, 8, false, true, location))
    return;
  BarrierObject &object = found->second;
  if (launch.options.checkRaces)
    object.gathering = joinKnowledge(object.gathering, thread.view.copiesUpTo(thread.copyClock));
  // Without noinc the arrival was added to those that are waited for, and so changes nothing.
  if (!noIncrement)
    return;
  if (object.pending == 0) {
    launch.report(Fault::BarrierObject, thread.site(location),
                  "an arrival at a barrier object that waits for none");
    return;
  }
  --object.pending;
  launch.settleObject(object);
}
