// mbind for memory of the program's own, set_mempolicy and move_pages for pages of files, whose
// node does not follow from the mapping.

#include "runtime/cpu/NodeMemory.h"

#include <algorithm>
#include <cerrno>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace moec {

static constexpr int mostNodes = 1024; // that a kernel can be built for
static constexpr int wordBits = 8 * sizeof(unsigned long);
static constexpr long maskBits = mostNodes + 1; // the kernel takes one off

static std::vector<unsigned long> maskOf(const std::vector<int> &nodes) {
  std::vector<unsigned long> mask(mostNodes / wordBits);
  for (int node : nodes)
    if (node < mostNodes)
      mask[node / wordBits] |= 1UL << node % wordBits;
  return mask;
}

int NodeSet::interleave(void *pages, int64_t bytes) const {
  if (nodes.size() < 2)
    return 0;
  std::vector<unsigned long> mask = maskOf(nodes);
  return syscall(SYS_mbind, pages, bytes, MPOL_INTERLEAVE, mask.data(), maskBits, 0) ? errno : 0;
}

int NodeSet::tryInterleave() const {
  int64_t bytes = sysconf(_SC_PAGESIZE);
  void *page = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return errno;
  int error = interleave(page, bytes);
  munmap(page, bytes);
  return error;
}

PagePlacer::PagePlacer() : maskBefore(mostNodes / wordBits) {
  if (syscall(SYS_get_mempolicy, &modeBefore, maskBefore.data(), mostNodes, nullptr, 0))
    failed = errno;
}

PagePlacer::~PagePlacer() {
  if (preferred >= 0)
    syscall(SYS_set_mempolicy, modeBefore, maskBefore.data(), maskBits);
}

/// Where pages go that the thread is the first to touch, those of files among them.
void PagePlacer::prefer(int node) {
  if (failed || node == preferred)
    return;
  if (syscall(SYS_set_mempolicy, MPOL_PREFERRED, maskOf({node}).data(), maskBits))
    failed = errno;
  else
    preferred = node;
}

void PagePlacer::movePages(void **pages, int64_t count, int node) {
  int nodes[mostPages], found[mostPages];
  // A page that is no longer there, or has no node for another reason, is not astray.
  auto areStray = [&]() -> int64_t {
    if (syscall(SYS_move_pages, 0, count, pages, nullptr, found, 0)) {
      failed = errno;
      return 0;
    }
    int64_t stray = 0;
    for (int64_t i = 0; i < count; ++i)
      if (found[i] >= 0 && found[i] != node)
        pages[stray++] = pages[i];
    return stray;
  };
  count = areStray();
  if (count == 0)
    return;
  std::fill_n(nodes, count, node);
  // It gives how many it could not move, or that the node is full, or that all have gone there
  // meanwhile: what is astray is found again below.
  if (syscall(SYS_move_pages, 0, count, pages, nodes, found, MPOL_MF_MOVE) < 0 && errno != ENOMEM &&
      errno != ENOENT)
    failed = errno;
  else
    strays += areStray() * sysconf(_SC_PAGESIZE);
}

void PagePlacer::place(const uint8_t *begin, const uint8_t *end, int node) {
  prefer(node);
  const int64_t size = sysconf(_SC_PAGESIZE);
  const auto *page = begin + (size - reinterpret_cast<uintptr_t>(begin) % size) % size;
  void *pages[mostPages];
  while (page < end && !failed) {
    int64_t count = 0;
    for (; page < end && count < mostPages; page += size, ++count) {
      // As a step reads it: a file that has become shorter is found out in the same way.
      static_cast<void>(*static_cast<const volatile uint8_t *>(page));
      pages[count] = const_cast<uint8_t *>(page);
    }
    placed += count * size;
    movePages(pages, count, node);
  }
}

} // namespace moec
