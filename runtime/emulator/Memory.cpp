// Finds what an address belongs to, hands out shared memory, and gathers reports.

#include "runtime/emulator/Memory.h"

#include <algorithm>
#include <sys/mman.h>

namespace moec::emulator {

constexpr size_t kMostReports = 1000;

Memory::~Memory() {
  for (const auto &arena : arenas)
    munmap(arena->data, arena->bytes);
}

void Memory::remove(const void *address) {
  auto found = buffers.find(uintptr_t(address));
  if (found == buffers.end())
    return;
  const uintptr_t begin = found->first;
  shadow.forget(begin, begin + found->second.bytes);
  buffers.erase(found);
  last = nullptr;
}

const Buffer *Memory::findBelow(uintptr_t address) const {
  auto above = buffers.upper_bound(address);
  return above == buffers.begin() ? nullptr : &std::prev(above)->second;
}

const Buffer *Memory::find(uintptr_t address) {
  if (last && address - uintptr_t(last->address) < last->bytes)
    return last;
  const Buffer *buffer = findBelow(address);
  if (!buffer || address - uintptr_t(buffer->address) >= buffer->bytes)
    return nullptr;
  last = buffer;
  return last;
}

SharedArena *Memory::takeArena(uint64_t bytes) {
  for (size_t i = 0; i < unusedArenas.size(); ++i) {
    SharedArena *arena = unusedArenas[i];
    if (arena->bytes < bytes)
      continue;
    unusedArenas.erase(unusedArenas.begin() + std::ptrdiff_t(i));
    return arena;
  }
  const uint64_t size = std::max<uint64_t>((bytes + 4095) & ~uint64_t(4095), 4096);
  // Kernels may keep addresses of shared memory in 32 bits: so low, if the system agrees, they fit.
  const uintptr_t low = uintptr_t(0x30000000) + arenas.size() * (uintptr_t(1) << 20);
  void *wanted = reinterpret_cast<void *>(low); // NOLINT(performance-no-int-to-ptr)
  void *data = mmap(wanted, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return nullptr;
  auto arena = std::make_unique<SharedArena>();
  arena->data = static_cast<char *>(data);
  arena->bytes = size;
  arenas.push_back(std::move(arena));
  return arenas.back().get();
}

void Memory::report(Fault fault, const Site &site, std::string detail, std::optional<Site> other) {
  const ReportKey key{fault, site.location, other ? other->location : UINT32_MAX, site.isWrite,
                      other && other->isWrite};
  auto [entry, isNew] = reportIndex.try_emplace(key, reports.size());
  if (!isNew) {
    ++reports[entry->second].count;
    return;
  }
  if (reports.size() == kMostReports) {
    reportIndex.erase(entry);
    return;
  }
  reports.push_back({fault, site, other, std::move(detail), 1});
}

const SharedArena::Object *SharedArena::find(uint64_t begin, uint64_t count) const {
  for (const Object &object : objects)
    if (begin >= object.begin && count <= object.bytes &&
        begin - object.begin <= object.bytes - count)
      return &object;
  return nullptr;
}

} // namespace moec::emulator
