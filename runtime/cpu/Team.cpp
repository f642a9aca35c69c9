// Claims by compare-and-exchange, one counter of tiles done, and the rests.

#include "runtime/cpu/Team.h"

#include <algorithm>
#include <sys/resource.h>

namespace moec {

static constexpr int64_t restFactor = 16;
static constexpr int64_t mostRest = 100'000'000; // ns

/// How often the system has taken this thread off its CPU for another one.
static int64_t lostCpu() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

Team::Team(int64_t threads) : threads(threads), members(new Member[threads]) {}

void Team::join(int64_t thread, uint64_t step, uint64_t tile) {
  Member &member = members[thread];
  member.first = tile;
  member.sum = 0;
  member.step = step;
  if (threads == 1)
    return;
  member.switches = lostCpu();
  if (member.restsUntil)
    rest(thread, member);
}

uint64_t Team::leave(int64_t thread) {
  if (threads > 1)
    ended.reach(members[thread].step);
  return members[thread].first;
}

void Team::chooseShare(Member &member, int64_t share, int64_t tiles) {
  uint64_t start = member.first - tiles;
  member.share = share;
  member.begin = start + static_cast<uint64_t>(share) * tiles / threads;
  member.end = start + static_cast<uint64_t>(share + 1) * tiles / threads;
}

int64_t Team::claim(int64_t thread, int64_t tiles, int64_t &end) {
  Member &member = members[thread];
  if (threads == 1) {
    int64_t first = member.inPhase ? tiles : 0;
    member.inPhase = first < tiles;
    end = tiles;
    return first;
  }
  if (!member.inPhase) {
    member.inPhase = true;
    member.first += tiles;
    member.tried = 0;
    chooseShare(member, thread, tiles);
  }
  for (;;) {
    std::atomic<uint64_t> &next = members[member.share].next;
    for (uint64_t seen = next.load(std::memory_order_relaxed);;) {
      uint64_t from = std::max(seen, member.begin);
      if (from >= member.end)
        break;
      if (next.compare_exchange_weak(seen, from + 1, std::memory_order_relaxed)) {
        ++member.undone;
        int64_t tile = static_cast<int64_t>(from - (member.first - tiles));
        end = tile + 1;
        return tile;
      }
    }
    // Others may wait for what this thread has done. If that was the last, nothing is left.
    report(member);
    if (++member.tried == threads || member.sum >= member.first)
      break;
    chooseShare(member, member.share + 1 == threads ? 0 : member.share + 1, tiles);
  }
  member.inPhase = false;
  return end = 0;
}

void Team::report(Member &member) {
  if (member.undone)
    member.sum = done.fetch_add(member.undone, std::memory_order_acq_rel) + member.undone;
  member.undone = 0;
}

void Team::wait(int64_t thread) {
  if (threads == 1)
    return;
  Member &member = members[thread];
  report(member);
  if (member.sum && member.sum == member.first) {
    bool wasAwaited = awaited.load(std::memory_order_acquire) == member.first;
    finished.reach(member.first);
    if (wasAwaited)
      considerRest(thread, member);
  } else if (!finished.spin(member.first)) {
    awaitedSince.store(clockNanoseconds() - Progress::spinNanoseconds, std::memory_order_relaxed);
    awaited.store(member.first, std::memory_order_release);
    finished.sleep(member.first);
  }
  member.sum = 0;
}

void Team::considerRest(int64_t thread, Member &member) {
  if (lostCpu() == member.switches)
    return;
  int64_t time = clockNanoseconds();
  int64_t waited = time - awaitedSince.load(std::memory_order_relaxed);
  member.restsUntil = time + std::min(restFactor * waited, mostRest);
  rest(thread, member);
}

/// The first thread's rest ends with the step, which it has to return from; the next step goes on
/// with it.
void Team::rest(int64_t thread, Member &member) {
  if (thread == 0)
    ended.sleep(member.step, member.restsUntil);
  else
    stopped.sleep(1, member.restsUntil);
  if (clockNanoseconds() >= member.restsUntil)
    member.restsUntil = 0;
  member.switches = lostCpu();
}

} // namespace moec

extern "C" int64_t moec_tiles_claim(void *team, int64_t thread, int64_t tiles, int64_t *end) {
  return static_cast<moec::Team *>(team)->claim(thread, tiles, *end);
}

extern "C" void moec_tiles_wait(void *team, int64_t thread) {
  static_cast<moec::Team *>(team)->wait(thread);
}
