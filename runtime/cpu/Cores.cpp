// How many cores this process may use: affinity, siblings, control groups.

#include "runtime/cpu/Threads.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <set>
#include <string_view>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moec {

/// The first bytes of a small file; empty where it cannot be read.
static std::string readSmallFile(const std::string &path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return {};
  std::string text(16384, '\0');
  ssize_t size = read(file, text.data(), text.size());
  close(file);
  text.resize(size > 0 ? size : 0);
  return text;
}

static std::vector<int> allowedProcessors() {
  std::vector<int> cpus;
  // The kernel's own mask may be wider than cpu_set_t.
  for (int size = 1024; size <= 65536 && cpus.empty(); size *= 4) {
    cpu_set_t *set = CPU_ALLOC(size);
    size_t bytes = CPU_ALLOC_SIZE(size);
    if (sched_getaffinity(0, bytes, set) == 0)
      for (int cpu = 0; cpu < size; ++cpu)
        if (CPU_ISSET_S(cpu, bytes, set))
          cpus.push_back(cpu);
    CPU_FREE(set);
  }
  return cpus;
}

/// Processors that share a core, by cpuid; 1 where it does not say.
static int64_t processorsPerCore() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (__get_cpuid_count(0xb, 0, &a, &b, &c, &d) && ((c >> 8) & 0xff) == 1 && (b & 0xffff) > 0)
    return b & 0xffff;
#endif
  return 1;
}

int64_t physicalCores(const std::vector<int> &cpus, const std::string &root) {
  std::set<std::string> cores;
  for (int cpu : cpus) {
    std::string siblings = readSmallFile(root + "/sys/devices/system/cpu/cpu" +
                                         std::to_string(cpu) + "/topology/thread_siblings_list");
    if (siblings.empty()) {
      int64_t share = processorsPerCore();
      return std::max<int64_t>((static_cast<int64_t>(cpus.size()) + share - 1) / share, 1);
    }
    cores.insert(siblings);
  }
  return std::max<int64_t>(static_cast<int64_t>(cores.size()), 1);
}

/// The number that `text` begins with; 0 where there is none, such as in "max".
static double numberIn(const std::string &text) { return strtod(text.c_str(), nullptr); }

/// The smallest quota in cores of `path` and the groups above it, both below `mount`; 0 for none.
static double smallestQuota(const std::string &mount, std::string path, bool unified) {
  double least = 0;
  for (;;) {
    double quota = 0, period = 0;
    if (unified) {
      // "max 100000" or "150000 100000"
      std::string text = readSmallFile(mount + path + "/cpu.max");
      size_t space = text.find(' ');
      quota = numberIn(text);
      period = space == text.npos ? 0 : numberIn(text.substr(space));
    } else {
      quota = numberIn(readSmallFile(mount + path + "/cpu.cfs_quota_us"));
      period = numberIn(readSmallFile(mount + path + "/cpu.cfs_period_us"));
    }
    if (quota > 0 && period > 0 && (least == 0 || quota / period < least))
      least = quota / period;
    size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos)
      return least;
    path.resize(slash);
  }
}

int64_t quotaCores(const std::string &root) {
  double least = 0;
  auto consider = [&](double quota) {
    if (quota > 0 && (least == 0 || quota < least))
      least = quota;
  };
  std::string groups = readSmallFile(root + "/proc/self/cgroup");
  // Inside a container the path is often that of the host, while /sys shows the group as the root:
  // the walk up from the path ends there in any case.
  for (std::string_view rest = groups; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    size_t first = line.find(':');
    size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos)
      continue;
    std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string path(line.substr(second + 1));
    if (path == "/")
      path.clear();
    if (controllers == ",,") {
      consider(smallestQuota(root + "/sys/fs/cgroup", path, true));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      consider(smallestQuota(root + "/sys/fs/cgroup/cpu", path, false));
      consider(smallestQuota(root + "/sys/fs/cgroup/cpu,cpuacct", path, false));
    }
  }
  // A quota of one and a half cores feeds one thread all the time, two only by turns.
  return least == 0 ? 0 : std::max<int64_t>(static_cast<int64_t>(least), 1);
}

int64_t defaultThreads(const std::string &root) {
  int64_t cores = physicalCores(allowedProcessors(), root);
  if (int64_t quota = quotaCores(root))
    cores = std::min(cores, quota);
  return std::min(cores, maxThreads);
}

} // namespace moec
