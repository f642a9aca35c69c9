// Reads the nodes from /sys, and what of them is allowed from /proc.

#include "runtime/cpu/Nodes.h"

#include "runtime/cpu/SystemFiles.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sched.h>

namespace moec {

std::optional<NumaPolicy> parseNumaPolicy(std::string_view word) {
  for (NumaPolicy policy : {NumaPolicy::Split, NumaPolicy::Interleave, NumaPolicy::Off})
    if (word == numaPolicyName(policy))
      return policy;
  return std::nullopt;
}

std::string_view numaPolicyName(NumaPolicy policy) {
  switch (policy) {
  case NumaPolicy::Default:
    return "default";
  case NumaPolicy::Split:
    return "split";
  case NumaPolicy::Interleave:
    return "interleave";
  case NumaPolicy::Off:
    return "off";
  }
  return "";
}

static bool contains(const std::vector<int> &numbers, int number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

static std::vector<int> both(const std::vector<int> &a, const std::vector<int> &b) {
  std::vector<int> common;
  std::copy_if(a.begin(), a.end(), std::back_inserter(common),
               [&](int number) { return contains(b, number); });
  return common;
}

/// The nodes whose memory this process may use; all where control groups do not restrict it.
static std::vector<int> allowedMemory(const std::vector<int> &nodes, const std::string &root) {
  std::string status = readSmallFile(root + "/proc/self/status");
  constexpr std::string_view field = "\nMems_allowed_list:";
  size_t at = status.find(field);
  if (at == std::string::npos)
    return nodes;
  at = status.find_first_not_of(" \t", at + field.size());
  return at == std::string::npos
             ? nodes
             : both(nodes, parseNumberList(std::string_view(status).substr(at)));
}

/// The one of `candidates`, not empty, that is nearest to `node`; of several the first.
static size_t nearest(int node, const std::vector<NumaNode> &candidates,
                      const std::vector<int> &online, const std::string &folder) {
  // A number for each node that is online, in their order.
  std::string text = readSmallFile(folder + "/node" + std::to_string(node) + "/distance");
  std::vector<int64_t> distances;
  for (const char *at = text.c_str();;) {
    char *end = nullptr;
    int64_t distance = strtol(at, &end, 10);
    if (end == at)
      break;
    distances.push_back(distance);
    at = end;
  }
  auto distanceTo = [&](int other) {
    size_t place = std::find(online.begin(), online.end(), other) - online.begin();
    return place < distances.size() ? distances[place] : INT64_MAX;
  };
  auto less = [&](const NumaNode &a, const NumaNode &b) {
    return distanceTo(a.number) < distanceTo(b.number);
  };
  return std::min_element(candidates.begin(), candidates.end(), less) - candidates.begin();
}

std::vector<NumaNode> numaNodes(const std::vector<int> &cpus, const std::string &root) {
  std::string folder = root + "/sys/devices/system/node";
  std::vector<int> online = parseNumberList(readSmallFile(folder + "/online"));
  std::vector<int> memory =
      allowedMemory(both(online, parseNumberList(readSmallFile(folder + "/has_memory"))), root);
  std::vector<NumaNode> nodes;
  nodes.reserve(memory.size());
  for (int node : memory)
    nodes.push_back({node, {}});
  if (nodes.empty())
    return {};
  for (int node : online) {
    std::vector<int> near = both(
        parseNumberList(readSmallFile(folder + "/node" + std::to_string(node) + "/cpulist")), cpus);
    if (near.empty())
      continue;
    auto own = std::find_if(nodes.begin(), nodes.end(),
                            [&](const NumaNode &entry) { return entry.number == node; });
    NumaNode &entry = own == nodes.end() ? nodes[nearest(node, nodes, online, folder)] : *own;
    entry.cpus.insert(entry.cpus.end(), near.begin(), near.end());
  }
  return nodes;
}

NodeSplit splitThreads(const std::vector<NumaNode> &nodes, int64_t threads) {
  int64_t all = 0, before = 0, given = 0;
  for (const NumaNode &node : nodes)
    all += static_cast<int64_t>(node.cpus.size());
  if (all == 0)
    return {};
  NodeSplit split;
  for (const NumaNode &node : nodes) {
    before += static_cast<int64_t>(node.cpus.size());
    int64_t until = (threads * before + all / 2) / all; // rounded
    if (until > given) {
      split.nodes.push_back(node);
      split.threads.push_back(until - given);
    }
    given = until;
  }
  return split.nodes.size() < 2 ? NodeSplit() : split;
}

NodeUse chooseNodeUse(NumaPolicy wanted, int64_t threads, const std::vector<int> &cpus,
                      const std::string &root) {
  NodeUse use;
  use.nodes = numaNodes(cpus, root);
  if (wanted == NumaPolicy::Interleave && use.nodes.size() > 1)
    use.policy = wanted;
  if (wanted == NumaPolicy::Split || wanted == NumaPolicy::Default)
    use.split = splitThreads(use.nodes, threads);
  if (!use.split.nodes.empty())
    use.policy = NumaPolicy::Split;
  return use;
}

int bindThread(pthread_t thread, const std::vector<int> &cpus) {
  if (cpus.empty())
    return EINVAL;
  int count = *std::max_element(cpus.begin(), cpus.end()) + 1;
  cpu_set_t *set = CPU_ALLOC(count);
  if (!set)
    return ENOMEM;
  size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set);
  for (int cpu : cpus)
    CPU_SET_S(cpu, bytes, set);
  int error = pthread_setaffinity_np(thread, bytes, set);
  CPU_FREE(set);
  return error;
}

} // namespace moec
