// How many cores and how much memory this process may use: affinity, siblings, control groups.

#include "runtime/cpu/SystemFiles.h"
#include "runtime/cpu/Threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <set>
#include <string_view>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moec {

std::vector<int> allowedProcessors() {
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

/// The smallest limit that `read` finds in the folders from `path` up to `mount`, in which the path
/// lies; 0 for none.
static double smallestLimit(const std::string &mount, std::string path,
                            double (*read)(const std::string &folder)) {
  double least = 0;
  for (;;) {
    double limit = read(mount + path);
    if (limit > 0 && (least == 0 || limit < least))
      least = limit;
    size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos)
      return least;
    path.resize(slash);
  }
}

/// The smallest limit of all control groups of this process: of version 2 as `read` has it, of
/// version 1 as `readFirst` has it, below each of `mounts` that is of `controller`. 0 for none.
static double groupLimit(const std::string &root, double (*read)(const std::string &folder),
                         std::string_view controller, std::initializer_list<const char *> mounts,
                         double (*readFirst)(const std::string &folder)) {
  double least = 0;
  auto consider = [&](double limit) {
    if (limit > 0 && (least == 0 || limit < least))
      least = limit;
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
    if (controllers == ",,")
      consider(smallestLimit(root + "/sys/fs/cgroup", path, read));
    else if (controllers.find(fmt::format(",{},", controller)) != std::string::npos)
      for (const char *mount : mounts)
        consider(smallestLimit(root + "/sys/fs/cgroup/" + mount, path, readFirst));
  }
  return least;
}

int64_t quotaCores(const std::string &root) {
  double least = groupLimit(
      root,
      [](const std::string &folder) {
        // "max 100000" or "150000 100000"
        std::string text = readSmallFile(folder + "/cpu.max");
        size_t space = text.find(' ');
        double period = space == text.npos ? 0 : numberIn(text.substr(space));
        return period > 0 ? numberIn(text) / period : 0;
      },
      "cpu", {"cpu", "cpu,cpuacct"},
      [](const std::string &folder) {
        double period = numberIn(readSmallFile(folder + "/cpu.cfs_period_us"));
        return period > 0 ? numberIn(readSmallFile(folder + "/cpu.cfs_quota_us")) / period : 0;
      });
  // A quota of one and a half cores feeds one thread all the time, two only by turns.
  return least == 0 ? 0 : std::max<int64_t>(static_cast<int64_t>(least), 1);
}

int64_t availableMemory(const std::string &root) {
  std::string memory = readSmallFile(root + "/proc/meminfo");
  constexpr std::string_view field = "\nMemAvailable:";
  size_t at = memory.find(field);
  if (at == std::string::npos)
    return 0;
  double available = 1024 * numberIn(memory.substr(at + field.size()));
  double limit = groupLimit(
      root,
      [](const std::string &folder) { return numberIn(readSmallFile(folder + "/memory.max")); },
      "memory", {"memory"},
      [](const std::string &folder) {
        return numberIn(readSmallFile(folder + "/memory.limit_in_bytes"));
      });
  return static_cast<int64_t>(limit > 0 ? std::min(limit, available) : available);
}

int64_t defaultThreads(const std::string &root) {
  int64_t cores = physicalCores(allowedProcessors(), root);
  if (int64_t quota = quotaCores(root))
    cores = std::min(cores, quota);
  return std::min(cores, maxThreads);
}

} // namespace moec
