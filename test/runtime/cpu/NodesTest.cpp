// Nodes of memory are found as the system describes them, and threads divide over them.

#include "runtime/cpu/Nodes.h"
#include "runtime/cpu/Resources.h"
#include "runtime/cpu/Threads.h"

#include "test/ScratchFolder.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <sched.h>

using namespace moec;

namespace {

/// A described system: of each node the CPUs, and which nodes have memory.
struct System {
  System(const std::vector<std::string> &cpulists, const std::string &memory) {
    size_t last = cpulists.size() - 1;
    folder.write("sys/devices/system/node/online",
                 last ? "0-" + std::to_string(last) + "\n" : "0\n");
    folder.write("sys/devices/system/node/has_memory", memory + "\n");
    for (size_t node = 0; node <= last; ++node)
      write(node, "cpulist", cpulists[node]);
  }
  void write(size_t node, const std::string &file, const std::string &text) {
    folder.write("sys/devices/system/node/node" + std::to_string(node) + "/" + file, text + "\n");
  }
  /// "0:0,1 1:2,3": each node with its CPUs.
  std::string nodes(const std::vector<int> &cpus) {
    std::string text;
    for (const NumaNode &node : numaNodes(cpus, folder.path())) {
      text += (text.empty() ? "" : " ") + std::to_string(node.number);
      for (size_t i = 0; i < node.cpus.size(); ++i)
        text += (i ? "," : ":") + std::to_string(node.cpus[i]);
    }
    return text;
  }
  ScratchFolder folder;
};

const std::vector<int> four = {0, 1, 2, 3};

TEST(Nodes, AsDescribed) {
  System system({"0-1", "2-3"}, "0-1");
  EXPECT_EQ(system.nodes(four), "0:0,1 1:2,3");
  System mixed({"0,2", "1,3-7"}, "0-1");
  EXPECT_EQ(mixed.nodes({0, 1, 2, 3, 4, 5, 6, 7}), "0:0,2 1:1,3,4,5,6,7");
}

TEST(Nodes, OnlyCpusThatMayBeUsed) {
  System system({"0-1", "2-3"}, "0-1");
  EXPECT_EQ(system.nodes({1, 2}), "0:1 1:2");
  EXPECT_EQ(system.nodes({2, 3}), "0 1:2,3");
}

TEST(Nodes, OneWithoutCpusHasMemoryAllTheSame) {
  System system({"0-3", ""}, "0-1");
  EXPECT_EQ(system.nodes(four), "0:0,1,2,3 1");
  auto policy = [&](NumaPolicy wanted) {
    return chooseNodeUse(wanted, 4, four, system.folder.path()).policy;
  };
  EXPECT_EQ(policy(NumaPolicy::Split), NumaPolicy::Off);
  EXPECT_EQ(policy(NumaPolicy::Interleave), NumaPolicy::Interleave);
}

TEST(Nodes, CpusWithoutMemoryGoToTheNearestThatHasIt) {
  System system({"0", "1", "2-3"}, "0,2");
  system.write(1, "distance", "32 10 21");
  EXPECT_EQ(system.nodes(four), "0:0 2:1,2,3");
  system.write(1, "distance", "21 10 32");
  EXPECT_EQ(system.nodes(four), "0:0,1 2:2,3");
  system.write(1, "distance", "");
  EXPECT_EQ(system.nodes(four), "0:0,1 2:2,3");
}

TEST(Nodes, MemoryThatControlGroupsForbidCountsAsNone) {
  System system({"0-1", "2-3"}, "0-1");
  system.folder.write("proc/self/status", "Name:\tx\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
  EXPECT_EQ(system.nodes(four), "0:0,1,2,3");
}

TEST(Nodes, NoneWhereTheSystemDoesNotTell) {
  ScratchFolder empty;
  EXPECT_TRUE(numaNodes(four, empty.path()).empty());
  NodeUse use = chooseNodeUse(NumaPolicy::Split, 4, four, empty.path());
  EXPECT_EQ(use.policy, NumaPolicy::Off);
  EXPECT_TRUE(use.split.threads.empty());
}

/// Threads of each node, where `cpus` says how many CPUs each has.
std::vector<int64_t> threadsOver(const std::vector<int> &cpus, int64_t threads) {
  std::vector<NumaNode> nodes;
  for (int count : cpus)
    nodes.push_back({static_cast<int>(nodes.size()), std::vector<int>(count)});
  NodeSplit split = splitThreads(nodes, threads);
  EXPECT_EQ(split.nodes.size(), split.threads.size());
  return split.threads;
}

TEST(Nodes, ThreadsInProportionToCpus) {
  using Counts = std::vector<int64_t>;
  EXPECT_EQ(threadsOver({4, 4}, 4), (Counts{2, 2}));
  EXPECT_EQ(threadsOver({4, 4}, 5), (Counts{3, 2}));
  EXPECT_EQ(threadsOver({6, 2}, 8), (Counts{6, 2}));
  EXPECT_EQ(threadsOver({6, 2}, 4), (Counts{3, 1}));
  EXPECT_EQ(threadsOver({1, 1, 1, 1}, 16), (Counts{4, 4, 4, 4}));
  // Nodes without a thread are left out, and one alone is none.
  EXPECT_EQ(threadsOver({4, 4, 4, 4}, 2), (Counts{1, 1}));
  EXPECT_EQ(threadsOver({4, 4}, 1), Counts());
  EXPECT_EQ(threadsOver({31, 1}, 4), Counts());
  EXPECT_EQ(threadsOver({8}, 4), Counts());
  EXPECT_EQ(threadsOver({}, 4), Counts());
  EXPECT_EQ(threadsOver({0, 0}, 4), Counts());
  EXPECT_EQ(threadsOver({2, 0, 2}, 4), (Counts{2, 2}));
}

TEST(Nodes, PolicyFollowsWhatThereIs) {
  System two({"0-1", "2-3"}, "0-1"), one({"0-3"}, "0");
  auto policy = [](System &system, NumaPolicy wanted, int64_t threads = 4) {
    return chooseNodeUse(wanted, threads, four, system.folder.path()).policy;
  };
  EXPECT_EQ(policy(two, NumaPolicy::Default), NumaPolicy::Split);
  EXPECT_EQ(policy(two, NumaPolicy::Split), NumaPolicy::Split);
  EXPECT_EQ(policy(two, NumaPolicy::Interleave), NumaPolicy::Interleave);
  EXPECT_EQ(policy(two, NumaPolicy::Off), NumaPolicy::Off);
  EXPECT_EQ(policy(two, NumaPolicy::Default, 1), NumaPolicy::Off);
  for (NumaPolicy wanted : {NumaPolicy::Default, NumaPolicy::Split, NumaPolicy::Interleave})
    EXPECT_EQ(policy(one, wanted), NumaPolicy::Off);
}

TEST(Nodes, PolicyNames) {
  for (NumaPolicy policy : {NumaPolicy::Split, NumaPolicy::Interleave, NumaPolicy::Off})
    EXPECT_EQ(parseNumaPolicy(numaPolicyName(policy)), policy);
  EXPECT_FALSE(parseNumaPolicy("default").has_value());
  EXPECT_FALSE(parseNumaPolicy("").has_value());
}

TEST(Nodes, AThreadNeedsACpu) { EXPECT_EQ(bindThread(pthread_self(), {}), EINVAL); }

TEST(Nodes, ThreadsAreKeptToTheirNode) {
  std::vector<int> cpus = allowedProcessors();
  if (cpus.size() < 2)
    GTEST_SKIP() << "needs two CPUs";
  NodeSplit split{{{0, {cpus[0]}}, {1, {cpus[1]}}}, {2, 1}};
  Result<std::unique_ptr<Threads>> pool = Threads::start(3, split);
  ASSERT_TRUE(pool.ok());
  ASSERT_EQ((*pool)->bindToNodes(), 0);
  std::vector<std::vector<int>> allowed(3);
  (*pool)->run(
      [](void *context, int64_t thread) {
        (*static_cast<std::vector<std::vector<int>> *>(context))[thread] = allowedProcessors();
      },
      &allowed);
  EXPECT_EQ(allowed[0], cpus); // the caller's are its own affair
  EXPECT_EQ(allowed[1], std::vector<int>{cpus[0]});
  EXPECT_EQ(allowed[2], std::vector<int>{cpus[1]});
}

TEST(Memory, IsWhatTheSystemAndTheGroupsAllow) {
  ScratchFolder folder;
  EXPECT_EQ(availableMemory(folder.path()), std::nullopt);
  folder.write("proc/meminfo", "MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:    4000 kB\n");
  EXPECT_EQ(availableMemory(folder.path()), 4000 * 1024);
  folder.write("proc/self/cgroup", "0::/a/b\n");
  folder.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  folder.write("sys/fs/cgroup/a/memory.max", "1048576\n");
  EXPECT_EQ(availableMemory(folder.path()), 1048576);
  folder.write("sys/fs/cgroup/a/memory.current", "1000000\n");
  folder.write("sys/fs/cgroup/a/memory.stat", "anon 200000\nfile 800000\nfile_dirty 3\n");
  EXPECT_EQ(availableMemory(folder.path()), 1048576 - 200000); // pages of files make room
  folder.write("sys/fs/cgroup/a/memory.stat", "anon 1200000\n");
  folder.write("sys/fs/cgroup/a/memory.current", "1200000\n");
  EXPECT_EQ(availableMemory(folder.path()), 0); // which is none, not no limit
  folder.write("sys/fs/cgroup/a/memory.max", "1048576000\n");
  EXPECT_EQ(availableMemory(folder.path()), 4000 * 1024);
  folder.write("proc/self/cgroup", "4:memory:/x\n2:cpu,cpuacct:/job\n");
  folder.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2097152\n");
  EXPECT_EQ(availableMemory(folder.path()), 2097152);
  folder.write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "500000\n");
  folder.write("sys/fs/cgroup/memory/x/memory.stat", "cache 1\ntotal_cache 400000\n");
  EXPECT_EQ(availableMemory(folder.path()), 2097152 - 100000);
}

} // namespace
