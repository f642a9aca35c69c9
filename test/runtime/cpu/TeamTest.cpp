// Threads share the tiles of phases: each is done once, and after what it needs, whatever thread
// has no CPU when.

#include "runtime/cpu/Threads.h"

#include <gtest/gtest.h>

#include <time.h>
#include <vector>

using namespace moec;

namespace {

void sleepMicroseconds(int64_t count) {
  timespec time = {0, static_cast<long>(count) * 1000};
  nanosleep(&time, nullptr);
}

/// Random numbers that need no state.
uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) + b + 1;
  x ^= x >> 29;
  x *= UINT64_C(0xbf58476d1ce4e5b9);
  return x ^ (x >> 32);
}

/// Steps of phases of up to 23 tiles, some empty, some without a wait between them. Tile i of a
/// stretch of phases between two waits makes value i of one row out of two values of the row before
/// it, and counts its runs.
struct Work {
  static constexpr int64_t mostTiles = 64;
  struct Row {
    uint64_t values[mostTiles];
    std::atomic<int> runs[mostTiles];
  };

  Team *team;
  uint64_t seed;
  int64_t phases;
  int64_t sleepEvery; ///< 0: no thread ever sleeps
  Row *rows;          ///< two, used in turns

  int64_t tilesOf(int64_t phase) const { return mix(seed, 2 * phase) % 24; }
  /// Length of the runs of tiles: some number that divides how many there are.
  int64_t runOf(int64_t phase) const {
    int64_t tiles = tilesOf(phase), run = tiles ? 1 + mix(seed, phase) % tiles : 0;
    while (run && tiles % run)
      ++run;
    return run;
  }
  bool waitsBehind(int64_t phase) const {
    return phase + 1 == phases || mix(seed, 2 * phase + 1) % 4 != 0 || phase % 2 == 1;
  }

  void sleepAtRandom(uint64_t where) const {
    if (sleepEvery && mix(seed + 77, where) % sleepEvery == 0)
      sleepMicroseconds(mix(where, seed) % 1000);
  }

  void tile(int64_t stretch, int64_t index) const {
    Row &from = rows[stretch % 2], &to = rows[(stretch + 1) % 2];
    uint64_t a = from.values[index], b = from.values[mix(seed, index) % mostTiles];
    sleepAtRandom(1000 * stretch + index);
    to.values[index] = mix(a, b);
    to.runs[index].fetch_add(1, std::memory_order_relaxed);
  }

  void run(int64_t thread) const {
    int64_t stretch = 0, before = 0; // tiles of earlier phases of the stretch
    for (int64_t phase = 0; phase < phases; ++phase) {
      sleepAtRandom(mix(phase, thread));
      int64_t tiles = tilesOf(phase);
      for (int64_t end, first; (first = team->claim(thread, tiles, runOf(phase), end)) < end;)
        for (; first < end; ++first)
          tile(stretch, before + first);
      before += tiles;
      if (!waitsBehind(phase))
        continue;
      team->wait(thread);
      before = 0;
      ++stretch;
    }
  }

  /// The same, one tile after another.
  void runAlone() const {
    int64_t stretch = 0, before = 0;
    for (int64_t phase = 0; phase < phases; ++phase) {
      for (int64_t i = 0; i < tilesOf(phase); ++i)
        tile(stretch, before + i);
      before += tilesOf(phase);
      if (waitsBehind(phase))
        before = 0, ++stretch;
    }
  }
};

/// Threads that belong to nodes, so many to each.
NodeSplit splitOf(const std::vector<int64_t> &threads) {
  return {std::vector<NumaNode>(threads.size(), {0, {0}}), threads};
}

/// Runs `steps` steps on `threads` threads and compares each with what one thread makes of it.
void expectSameAsAlone(int64_t threads, int64_t steps, int64_t phases, int64_t sleepEvery,
                       const std::vector<int64_t> &nodes = {}) {
  Result<std::unique_ptr<Threads>> pool = Threads::start(threads, splitOf(nodes));
  ASSERT_TRUE(pool.ok()) << pool.status().message;
  for (int64_t step = 0; step < steps; ++step) {
    // The rows of a step are gone when it is over.
    auto rows = std::make_unique<Work::Row[]>(2), expected = std::make_unique<Work::Row[]>(2);
    Work work{&(*pool)->team(), mix(threads, step), phases, sleepEvery, rows.get()};
    (*pool)->step([](void *work, int64_t thread) { static_cast<const Work *>(work)->run(thread); },
                  &work, sizeof work);
    Work alone{nullptr, work.seed, phases, 0, expected.get()};
    alone.runAlone();
    for (int row = 0; row < 2; ++row)
      for (int64_t i = 0; i < Work::mostTiles; ++i) {
        ASSERT_EQ(rows[row].values[i], expected[row].values[i]) << "step " << step << ", " << i;
        ASSERT_EQ(rows[row].runs[i].load(), expected[row].runs[i].load()) << "step " << step;
      }
  }
}

TEST(Team, OneThread) { expectSameAsAlone(1, 20, 50, 0); }
TEST(Team, TwoThreads) { expectSameAsAlone(2, 50, 100, 0); }
TEST(Team, MoreThreadsThanTiles) { expectSameAsAlone(48, 10, 50, 0); }
TEST(Team, ThreadsThatSleep) {
  for (int64_t threads : {2, 3, 8})
    expectSameAsAlone(threads, 30, 40, 40);
}
TEST(Team, StepsThatAreOverBeforeAThreadComes) {
  for (int64_t threads : {2, 5})
    expectSameAsAlone(threads, 300, 3, 20);
}

TEST(Team, NodesOfSeveralThreads) {
  expectSameAsAlone(2, 50, 100, 0, {1, 1});
  expectSameAsAlone(5, 20, 50, 0, {2, 3});
  expectSameAsAlone(48, 10, 50, 0, {1, 30, 17});
}
TEST(Team, NodesWhoseThreadsSleep) {
  expectSameAsAlone(2, 30, 40, 40, {1, 1});
  expectSameAsAlone(8, 30, 40, 40, {4, 4});
  expectSameAsAlone(8, 30, 40, 40, {1, 5, 1, 1});
  expectSameAsAlone(5, 300, 3, 20, {3, 2});
}

TEST(Team, SharesAreInOrderAndEven) {
  Team team(3);
  for (int64_t thread = 0; thread < 3; ++thread)
    team.join(thread, 1, 0);
  // Shares of 8 tiles are 2, 3 and 3; each thread takes its own from the front.
  int64_t end = 0;
  EXPECT_EQ(team.claim(2, 8, 8, end), 5);
  EXPECT_EQ(team.claim(0, 8, 8, end), 0);
  EXPECT_EQ(team.claim(2, 8, 8, end), 6);
  EXPECT_EQ(team.claim(1, 8, 8, end), 2);
  EXPECT_EQ(team.claim(2, 8, 8, end), 7);
  // Then others', from the next thread on.
  EXPECT_EQ(team.claim(2, 8, 8, end), 1);
  EXPECT_EQ(team.claim(2, 8, 8, end), 3);
  EXPECT_EQ(team.claim(2, 8, 8, end), 4);
  for (int64_t thread : {2, 0, 1}) {
    int64_t first = team.claim(thread, 8, 8, end);
    EXPECT_EQ(first, end);
  }
}

/// The tiles of a phase that `thread` gets where no other comes.
std::vector<int64_t> claimAll(Team &team, int64_t thread, int64_t tiles, int64_t run) {
  std::vector<int64_t> claimed;
  for (int64_t end, first; (first = team.claim(thread, tiles, run, end)) < end;)
    for (; first < end; ++first)
      claimed.push_back(first);
  return claimed;
}

TEST(Team, NodesHaveTheSameSliceOfEachRun) {
  Team team(4, {1, 3});
  for (int64_t thread = 0; thread < 4; ++thread)
    team.join(thread, 1, 0);
  // Of each run of 8 tiles the first node has 2, the other one 6, which its threads share evenly.
  std::vector<int64_t> own[4];
  int64_t end = 0;
  for (int64_t thread : {3, 1, 0, 2})
    for (int64_t tile = 0; tile < 6; ++tile)
      own[thread].push_back(team.claim(thread, 24, 8, end));
  EXPECT_EQ(own[0], (std::vector<int64_t>{0, 1, 8, 9, 16, 17}));
  EXPECT_EQ(own[1], (std::vector<int64_t>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(own[2], (std::vector<int64_t>{10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(own[3], (std::vector<int64_t>{18, 19, 20, 21, 22, 23}));
  for (int64_t thread : {1, 3, 2, 0})
    EXPECT_TRUE(claimAll(team, thread, 24, 8).empty());
}

TEST(Team, OwnNodeComesBeforeOthers) {
  Team team(4, {2, 2});
  team.join(3, 1, 0);
  team.join(0, 1, 0);
  // Threads 1 and 2 are asleep. Runs of 4 tiles: the last two are of the second node.
  EXPECT_EQ(claimAll(team, 3, 8, 4), (std::vector<int64_t>{6, 7, 2, 3, 4, 5, 0, 1}));
  team.wait(3); // for nobody
  EXPECT_TRUE(claimAll(team, 0, 8, 4).empty());
  team.wait(0);
  EXPECT_EQ(claimAll(team, 0, 8, 4), (std::vector<int64_t>{0, 1, 4, 5, 2, 3, 6, 7}));
  team.wait(0);
  // A phase that not each node has a tile of.
  EXPECT_TRUE(claimAll(team, 3, 8, 4).empty());
  team.wait(3);
  EXPECT_EQ(claimAll(team, 3, 1, 1), (std::vector<int64_t>{0}));
  team.wait(3);
  EXPECT_TRUE(claimAll(team, 0, 1, 1).empty());
  team.wait(0);
  EXPECT_EQ(team.leave(0), 17u);
  EXPECT_EQ(team.leave(3), 17u);
}

TEST(Team, ThreadThatNeverComesIsMissed) {
  Team team(4);
  team.join(0, 1, 0);
  team.join(2, 1, 0);
  int64_t done = 0;
  for (int phase = 0; phase < 100; ++phase) {
    for (int64_t thread : {0, 2})
      for (int64_t end, first; (first = team.claim(thread, 9, 9, end)) < end;)
        done += end - first;
    team.wait(0); // it has taken all
    team.wait(2);
  }
  EXPECT_EQ(done, 900);
  // It finds nothing left, and waits for nothing.
  team.join(1, 1, 0);
  for (int phase = 0; phase < 100; ++phase) {
    int64_t end, first = team.claim(1, 9, 9, end);
    ASSERT_EQ(first, end);
    team.wait(1);
  }
  EXPECT_EQ(team.leave(1), 900u);
}

TEST(Team, SettledThreadsAreOutOfTheStep) {
  Result<std::unique_ptr<Threads>> pool = Threads::start(3);
  ASSERT_TRUE(pool.ok());
  struct Call {
    std::atomic<int> *inside;
    Team *team;
  };
  std::atomic<int> inside = 0;
  for (int step = 0; step < 50; ++step) {
    Call call{&inside, &(*pool)->team()};
    (*pool)->step(
        [](void *context, int64_t thread) {
          const Call &call = *static_cast<const Call *>(context);
          ++*call.inside;
          for (int64_t end, first; (first = call.team->claim(thread, 2, 2, end)) < end;)
            ;
          call.team->wait(thread);
          if (thread)
            sleepMicroseconds(300);
          --*call.inside;
        },
        &call, sizeof call);
    (*pool)->settle();
    ASSERT_EQ(inside.load(), 0);
  }
}

} // namespace
