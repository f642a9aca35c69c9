// Asks the kernel, and reads /proc and /sys.

#include "runtime/cpu/Resources.h"

#include "runtime/cpu/SystemFiles.h"
#include "runtime/cpu/Threads.h"

#include <fmt/format.h>

#include <algorithm>
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
    if (!set)
      break;
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

/// What a control group's folder says of a limit; nothing where it sets none.
using ReadLimit = std::optional<double> (*)(const std::string &folder);

/// The smaller one of those that there are.
static std::optional<double> smaller(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::min(*a, *b) : a ? a : b;
}

/// The smallest limit that `read` finds in the folders from `path` up to `mount`, in which the path
/// lies.
static std::optional<double> smallestLimit(const std::string &mount, std::string path,
                                           ReadLimit read) {
  std::optional<double> least;
  for (;;) {
    least = smaller(least, read(mount + path));
    size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos)
      return least;
    path.resize(slash);
  }
}

/// The smallest limit of all control groups of this process: of version 2 as `read` has it, of
/// version 1 as `readFirst` has it, below each of `mounts` that is of `controller`.
static std::optional<double> groupLimit(const std::string &root, ReadLimit read,
                                        std::string_view controller,
                                        std::initializer_list<const char *> mounts,
                                        ReadLimit readFirst) {
  std::optional<double> least;
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
      least = smaller(least, smallestLimit(root + "/sys/fs/cgroup", path, read));
    else if (controllers.find(fmt::format(",{},", controller)) != std::string::npos)
      for (const char *mount : mounts)
        least = smaller(least, smallestLimit(root + "/sys/fs/cgroup/" + mount, path, readFirst));
  }
  return least;
}

/// Cores that `quota` microseconds in each period of so many are; a quota below 0 is none.
static std::optional<double> coresOf(std::optional<double> quota, std::optional<double> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0)
    return std::nullopt;
  return *quota / *period;
}

int64_t quotaCores(const std::string &root) {
  std::optional<double> least = groupLimit(
      root,
      [](const std::string &folder) {
        // "max 100000" or "150000 100000"
        std::string text = readSmallFile(folder + "/cpu.max");
        size_t space = std::min(text.find(' '), text.size());
        return coresOf(numberIn(text), numberIn(text.substr(space)));
      },
      "cpu", {"cpu", "cpu,cpuacct"},
      [](const std::string &folder) {
        return coresOf(numberIn(readSmallFile(folder + "/cpu.cfs_quota_us")),
                       numberIn(readSmallFile(folder + "/cpu.cfs_period_us")));
      });
  // A quota of one and a half cores feeds one thread all the time, two only by turns.
  return least ? std::max<int64_t>(static_cast<int64_t>(*least), 1) : 0;
}

/// Bytes below the limit of a group of which `used` are taken, `files` of them by pages of files,
/// which make room for others.
static std::optional<double> roomOf(std::optional<double> limit, std::optional<double> used,
                                    std::optional<double> files) {
  if (!limit)
    return std::nullopt;
  return std::max(*limit - std::max(used.value_or(0) - files.value_or(0), 0.0), 0.0);
}

std::optional<int64_t> availableMemory(const std::string &root) {
  std::optional<double> available = fieldIn(readSmallFile(root + "/proc/meminfo"), "MemAvailable:");
  if (!available)
    return std::nullopt;
  std::optional<double> room = groupLimit(
      root,
      [](const std::string &folder) {
        return roomOf(numberIn(readSmallFile(folder + "/memory.max")),
                      numberIn(readSmallFile(folder + "/memory.current")),
                      fieldIn(readSmallFile(folder + "/memory.stat"), "file "));
      },
      "memory", {"memory"},
      [](const std::string &folder) {
        return roomOf(numberIn(readSmallFile(folder + "/memory.limit_in_bytes")),
                      numberIn(readSmallFile(folder + "/memory.usage_in_bytes")),
                      fieldIn(readSmallFile(folder + "/memory.stat"), "total_cache "));
      });
  return static_cast<int64_t>(*smaller(1024 * *available, room));
}

int64_t defaultThreads(const std::string &root) {
  int64_t cores = physicalCores(allowedProcessors(), root);
  if (int64_t quota = quotaCores(root))
    cores = std::min(cores, quota);
  return std::min(cores, maxThreads);
}

} // namespace moec
