// Nodes of memory (NUMA): which there are, which CPUs are near them, and how threads divide over
// them.

#ifndef MOEC_RUNTIME_CPU_NODES_H
#define MOEC_RUNTIME_CPU_NODES_H

#include <cstdint>
#include <optional>
#include <pthread.h>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// How a program uses several nodes.
enum class NumaPolicy {
  Default,    ///< split where there are several, else off
  Split,      ///< threads and panels of weights are divided over the nodes
  Interleave, ///< pages of weights lie on the nodes by turns; threads run anywhere
  Off,        ///< as the system has it
};
/// `split`, `interleave` and `off`, or nothing for another word.
std::optional<NumaPolicy> parseNumaPolicy(std::string_view word);
std::string_view numaPolicyName(NumaPolicy policy);

/// A node that has memory, and those of the usable CPUs to which no other is nearer; it may be
/// none.
struct NumaNode {
  int number = 0;
  std::vector<int> cpus;
};

/// The nodes below `root` with memory that this process may use, by number, and which of `cpus` are
/// near each. The CPUs of a node without such memory count as those of the nearest that has it.
/// Empty where the system does not tell.
std::vector<NumaNode> numaNodes(const std::vector<int> &cpus, const std::string &root = "");

/// Threads divided over nodes in proportion to their CPUs: the first `threads[0]` belong to
/// `nodes[0]`, and so on.
struct NodeSplit {
  std::vector<NumaNode> nodes;
  std::vector<int64_t> threads; ///< at least one for each node
};

/// Divides `threads` over `nodes`; those that get none are left out. Empty where fewer than two
/// remain.
NodeSplit splitThreads(const std::vector<NumaNode> &nodes, int64_t threads);

/// What a program does with the nodes that it finds.
struct NodeUse {
  NumaPolicy policy = NumaPolicy::Off; ///< not Default
  std::vector<NumaNode> nodes;         ///< of this process, also where the policy is Off
  NodeSplit split;                     ///< empty but for Split

  /// The nodes that memory is put on: by Split those that have threads.
  const std::vector<NumaNode> &memory() const {
    return policy == NumaPolicy::Split ? split.nodes : nodes;
  }
};

/// What becomes of `wanted` below `root`, for `threads` threads of a process that may use `cpus`:
/// off where what it divides, threads or memory, cannot be on more than one node.
NodeUse chooseNodeUse(NumaPolicy wanted, int64_t threads, const std::vector<int> &cpus,
                      const std::string &root = "");

/// Lets `thread` run on these CPUs only; 0, or what errno says.
int bindThread(pthread_t thread, const std::vector<int> &cpus);

} // namespace moec

#endif // MOEC_RUNTIME_CPU_NODES_H
