// The pool runs every thread once per job, cores are counted right.

#include "runtime/cpu/Threads.h"
#include "runtime/cpu/Resources.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace moec;

namespace {

/// A folder that stands for the root of a system.
class FakeRoot : public testing::Test {
protected:
  void SetUp() override {
    char name[] = "/tmp/moec-root-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root = name;
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  void write(const std::string &path, const std::string &text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  std::string root;
};

TEST(Threads, EveryThreadWorksOncePerJob) {
  Result<std::unique_ptr<Threads>> pool = Threads::start(4);
  ASSERT_TRUE(pool.ok()) << pool.status().message;
  std::atomic<int> calls[4] = {};
  for (int job = 0; job < 200; ++job)
    (*pool)->run(
        [](void *context, int64_t thread) { ++static_cast<std::atomic<int> *>(context)[thread]; },
        calls);
  for (std::atomic<int> &count : calls)
    EXPECT_EQ(count.load(), 200);
}

TEST(Threads, SleepersWakeUp) {
  Result<std::unique_ptr<Threads>> pool = Threads::start(2);
  ASSERT_TRUE(pool.ok());
  std::atomic<int> calls = 0;
  for (int job = 0; job < 3; ++job) {
    usleep(2000); // far longer than the worker spins
    (*pool)->run([](void *context, int64_t) { ++*static_cast<std::atomic<int> *>(context); },
                 &calls);
  }
  EXPECT_EQ(calls.load(), 6);
}

TEST(Threads, RefusesSillyCounts) {
  EXPECT_EQ(Threads::start(0).status().code, Code::Usage);
  EXPECT_EQ(Threads::start(maxThreads + 1).status().code, Code::Usage);
}

TEST_F(FakeRoot, SiblingsShareACore) {
  for (int cpu = 0; cpu < 4; ++cpu)
    write("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
          cpu % 2 ? "1,3\n" : "0,2\n");
  EXPECT_EQ(physicalCores({0, 1, 2, 3}, root), 2);
  EXPECT_EQ(physicalCores({0, 2}, root), 1);
  EXPECT_EQ(physicalCores({1}, root), 1);
}

TEST_F(FakeRoot, QuotaOfVersionTwoIsTheSmallestOnTheWayUp) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/cpu.max", "350000 100000\n");
  EXPECT_EQ(quotaCores(root), 3);
  write("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(quotaCores(root), 1);
}

TEST_F(FakeRoot, QuotaOfVersionOne) {
  write("/proc/self/cgroup", "4:memory:/x\n2:cpu,cpuacct:/job\n0::/\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quotaCores(root), 0);
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(quotaCores(root), 2);
}

TEST_F(FakeRoot, ContainerSeesItsGroupAsTheRoot) {
  write("/proc/self/cgroup", "0::/../host/path\n");
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(quotaCores(root), 2);
}

} // namespace
