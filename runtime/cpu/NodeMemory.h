// Which node of memory pages lie on: asked for, found out, changed. By system calls, as the library
// for them is one more to link.

#ifndef MOEC_RUNTIME_CPU_NODE_MEMORY_H
#define MOEC_RUNTIME_CPU_NODE_MEMORY_H

#include <cstdint>
#include <vector>

namespace moec {

/// Nodes that the pages of a mapping lie on by turns.
class NodeSet {
public:
  /// None: the system chooses.
  explicit NodeSet(std::vector<int> nodes = {}) : nodes(std::move(nodes)) {}

  /// For pages that are touched from now on. 0, or what errno says.
  int interleave(void *pages, int64_t bytes) const;
  /// What `interleave` says in this process.
  int tryInterleave() const;

private:
  std::vector<int> nodes;
};

/// Puts pages of mapped files on nodes. A thread has one of its own, and gets back in the end what
/// it had asked the system for before.
class PagePlacer {
public:
  PagePlacer();
  ~PagePlacer();
  PagePlacer(const PagePlacer &) = delete;
  PagePlacer &operator=(const PagePlacer &) = delete;

  /// Reads the pages that begin in [begin, end), so that those that are not in memory yet come to
  /// lie on `node`, and moves there what lies elsewhere. Nothing once there is an `error`.
  void place(const uint8_t *begin, const uint8_t *end, int node);

  /// Bytes of pages placed, and of those that are on another node all the same: other processes
  /// have them mapped too, or the node is full.
  int64_t placedBytes() const { return placed; }
  int64_t strayBytes() const { return strays; }
  /// What errno said where the system does not do such things for this process; else 0.
  int error() const { return failed; }

private:
  static constexpr int64_t mostPages = 512;

  void prefer(int node);
  void movePages(void **pages, int64_t count, int node);

  int preferred = -1;
  int modeBefore = 0;
  std::vector<unsigned long> maskBefore;
  int64_t placed = 0, strays = 0;
  int failed = 0;
};

} // namespace moec

#endif // MOEC_RUNTIME_CPU_NODE_MEMORY_H
