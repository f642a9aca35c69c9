// Claims by compare-and-exchange, counters of tiles done, and the rests.

#include "runtime/cpu/Team.h"

#include <algorithm>
#include <cassert>
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

Team::Team(int64_t threads, const std::vector<int64_t> &byNode)
    : threads(threads), firstThreads{0}, members(new Member[threads]) {
  for (int64_t count : byNode.empty() ? std::vector{threads} : byNode)
    firstThreads.push_back(firstThreads.back() + count);
  assert(firstThreads.back() == threads && "each thread belongs to a node");
  numNodes = static_cast<int64_t>(firstThreads.size()) - 1;
  nodes = std::make_unique<Node[]>(numNodes);
  for (int64_t node = 0; node < numNodes; ++node)
    for (int64_t thread = firstThreads[node]; thread < firstThreads[node + 1]; ++thread) {
      members[thread].home = node;
      members[thread].tallies = std::make_unique<Tally[]>(numNodes);
    }
}

// All tiles of the step before are counted, and nobody adds to the counts before the first tile of
// this one is claimed. With one node they stand at `tile` already.
void Team::begin(uint64_t tile) {
  for (int64_t node = 0; node < numNodes; ++node)
    nodes[node].done.store(tile, std::memory_order_relaxed);
}

void Team::join(int64_t thread, uint64_t step, uint64_t tile) {
  Member &member = members[thread];
  member.first = tile;
  for (int64_t node = 0; node < numNodes; ++node)
    member.tallies[node] = {tile, tile, 0};
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

/// How many tiles of each run are the node's.
int64_t Team::sliceOf(int64_t node, int64_t run) const {
  return sliceBegin(run, firstThreads[node + 1], threads) -
         sliceBegin(run, firstThreads[node], threads);
}

void Team::enterPhase(int64_t thread, Member &member, int64_t tiles, int64_t run) {
  assert((run == 0 ? tiles : tiles % run) == 0 && "a phase is whole runs");
  member.inPhase = true;
  member.first += tiles;
  int64_t runs = numNodes > 1 && run > 0 ? tiles / run : 1;
  for (int64_t node = 0; node < numNodes; ++node)
    member.tallies[node].first += numNodes > 1 ? runs * sliceOf(node, run) : tiles;
  member.node = member.home;
  member.share = thread;
  member.nodesTried = member.sharesTried = 0;
  chooseShare(member, tiles, run);
}

/// Sets the bounds of the share. The tiles of a node are those of the nodes before it later.
void Team::chooseShare(Member &member, int64_t tiles, int64_t run) {
  uint64_t start = member.first - tiles;
  int64_t count = tiles; // of the node
  if (numNodes > 1 && run > 0) {
    count = tiles / run * sliceOf(member.node, run);
    start += tiles / run * sliceBegin(run, firstThreads[member.node], threads);
  }
  int64_t among = threadsOf(member.node), place = member.share - firstThreads[member.node];
  member.begin = start + static_cast<uint64_t>(place) * count / among;
  member.end = start + static_cast<uint64_t>(place + 1) * count / among;
}

/// The tile that has `number`, one of the node whose tiles the thread takes.
int64_t Team::tileAt(const Member &member, uint64_t number, int64_t tiles, int64_t run) const {
  auto place = static_cast<int64_t>(number - (member.first - tiles));
  if (numNodes == 1 || run == tiles)
    return place;
  int64_t begin = sliceBegin(run, firstThreads[member.node], threads);
  int64_t width = sliceOf(member.node, run);
  place -= tiles / run * begin;
  return place / width * run + begin + place % width;
}

/// Whether nothing is left of the node whose tiles the thread takes.
bool Team::allClaimed(const Member &member) {
  const Tally &tally = member.tallies[member.node];
  std::atomic<uint64_t> &claimed = nodes[member.node].claimed;
  bool known = numNodes > 1 && claimed.load(std::memory_order_relaxed) >= member.first;
  if (known || (member.sharesTried < threadsOf(member.node) && tally.sum < tally.first))
    return known;
  if (numNodes > 1)
    claimed.store(member.first, std::memory_order_relaxed);
  return true;
}

/// Goes on to another thread's share; false where no more is left.
bool Team::nextShare(int64_t thread, Member &member, int64_t tiles, int64_t run) {
  ++member.sharesTried;
  while (allClaimed(member)) {
    if (++member.nodesTried == numNodes)
      return false;
    // Not all begin with the same thread's share.
    int64_t place = thread - firstThreads[member.home];
    member.node = member.node + 1 == numNodes ? 0 : member.node + 1;
    member.share = firstThreads[member.node] + place % threadsOf(member.node) - 1;
    member.sharesTried = 0;
  }
  ++member.share;
  if (member.share == firstThreads[member.node + 1])
    member.share = firstThreads[member.node];
  chooseShare(member, tiles, run);
  return true;
}

int64_t Team::claim(int64_t thread, int64_t tiles, int64_t run, int64_t &end) {
  Member &member = members[thread];
  if (threads == 1) {
    int64_t first = member.inPhase ? tiles : 0;
    member.inPhase = first < tiles;
    end = tiles;
    return first;
  }
  if (!member.inPhase)
    enterPhase(thread, member, tiles, run);
  do {
    std::atomic<uint64_t> &next = members[member.share].next;
    for (uint64_t seen = next.load(std::memory_order_relaxed);;) {
      uint64_t from = std::max(seen, member.begin);
      if (from >= member.end)
        break;
      if (next.compare_exchange_weak(seen, from + 1, std::memory_order_relaxed)) {
        ++member.undone;
        int64_t tile = tileAt(member, from, tiles, run);
        end = tile + 1;
        return tile;
      }
    }
    // Others may wait for what this thread has done.
    report(member);
  } while (nextShare(thread, member, tiles, run));
  member.inPhase = false;
  return end = 0;
}

void Team::report(Member &member) {
  if (member.undone)
    member.tallies[member.node].sum =
        nodes[member.node].done.fetch_add(member.undone, std::memory_order_acq_rel) + member.undone;
  member.undone = 0;
}

/// Whether this thread's additions made all counts complete that the wait is for.
bool Team::completesPhases(Member &member) {
  uint64_t added = 0, sum = 0;
  for (int64_t node = 0; node < numNodes; ++node) {
    Tally &tally = member.tallies[node];
    if (tally.sum == tally.first)
      added += tally.first - tally.behind;
    tally.behind = tally.first;
    tally.sum = 0;
  }
  if (added)
    sum = numNodes == 1 ? member.first : done.fetch_add(added, std::memory_order_acq_rel) + added;
  return added && sum == member.first;
}

void Team::wait(int64_t thread) {
  if (threads == 1)
    return;
  Member &member = members[thread];
  report(member);
  Progress &finished = nodes[member.home].finished;
  if (completesPhases(member)) {
    bool wasAwaited = awaited.load(std::memory_order_acquire) == member.first;
    for (int64_t node = 0; node < numNodes; ++node)
      nodes[node].finished.reach(member.first);
    if (wasAwaited)
      considerRest(thread, member);
  } else if (!finished.spin(member.first)) {
    awaitedSince.store(clockNanoseconds() - Progress::spinNanoseconds, std::memory_order_relaxed);
    awaited.store(member.first, std::memory_order_release);
    finished.sleep(member.first);
  }
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

extern "C" int64_t moec_tiles_claim(void *team, int64_t thread, int64_t tiles, int64_t run,
                                    int64_t *end) {
  return static_cast<moec::Team *>(team)->claim(thread, tiles, run, *end);
}

extern "C" void moec_tiles_wait(void *team, int64_t thread) {
  static_cast<moec::Team *>(team)->wait(thread);
}
