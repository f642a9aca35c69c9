// Pools grow by remapping, so that what was written is not copied, but on devices; used blocks are
// cleared when handed out again.

#include "runtime/core/KvCache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <sys/mman.h>

namespace moec {

// A chunk: small enough to fail early where memory is short, large enough to be rare.
static constexpr int64_t leastChunk = INT64_C(4) << 20;
static constexpr int64_t mostChunk = INT64_C(256) << 20;

BlockPool::~BlockPool() {
  if (device)
    device->release(base);
  else if (base)
    munmap(base, capacity);
}

/// Whole pages of at least so many bytes.
static int64_t pagesOf(int64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

Status BlockPool::reserve(int64_t blocks) {
  const int64_t more = pagesOf(blocks * blockBytes - capacity);
  return more > 0 ? grow(more) : Status();
}

Status BlockPool::grow(int64_t more) {
  if (device)
    return growOnDevice(more);
  void *grown =
      base ? mremap(base, capacity, capacity + more, MREMAP_MAYMOVE)
           : mmap(nullptr, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (grown == MAP_FAILED)
    return {Code::Resource,
            fmt::format(
                "no memory for the key/value cache: it holds {} MiB and needs {} MiB more ({}); "
                "use a smaller --context",
                capacity >> 20, more >> 20, strerror(errno))};
  base = static_cast<uint8_t *>(grown);
  // A step reads one layer's part of many blocks: with small pages, each begins with page tables.
  madvise(base, capacity + more, MADV_HUGEPAGE);
  nodes.interleave(base, capacity + more); // a failure was told when the model was opened
  capacity += more;
  return {};
}

Status BlockPool::growOnDevice(int64_t more) {
  Result<uint8_t *> grown = device->allocate(capacity + more, "the key/value cache");
  if (!grown.ok())
    return {grown.status().code, grown.status().message + "; use a smaller --context"};
  Status status = device->clear(*grown + capacity, more);
  if (status.ok() && base)
    status = device->copy(*grown, base, capacity);
  if (status.ok())
    status = device->finish(); // nobody uses what is released
  if (!status.ok()) {
    device->release(*grown);
    return status;
  }
  device->release(base);
  base = *grown;
  capacity += more;
  return {};
}

Status BlockPool::clear(int32_t block) {
  if (device)
    return device->clear(base + block * blockBytes, blockBytes);
  memset(base + block * blockBytes, 0, blockBytes);
  return {};
}

Result<int32_t> BlockPool::take() {
  if (!idle.empty()) {
    int32_t block = idle.back();
    if (Status status = clear(block); !status.ok())
      return status;
    idle.pop_back();
    return block;
  }
  if (next == std::numeric_limits<int32_t>::max())
    return Status{Code::Resource, "the key/value cache has no block numbers left"};
  if ((next + 1) * blockBytes > capacity) {
    // Doubling keeps remappings few; what is not touched costs no memory.
    const int64_t more = std::clamp(capacity, leastChunk, mostChunk);
    if (Status status = grow(std::max(more, pagesOf(blockBytes))); !status.ok())
      return status;
  }
  return static_cast<int32_t>(next++); // the kernel's fresh pages are zero
}

void BlockPool::give(int32_t block) { idle.push_back(block); }

KvCache::KvCache(const std::vector<ManifestCache> &groups, int64_t blockTokens)
    : tokensPerBlock(blockTokens), kinds(groups) {
  for (const ManifestCache &group : groups)
    pools.push_back(std::make_unique<BlockPool>(group.bytesPerBlock));
}

Status KvCache::reserve(int64_t tokens, int64_t rows) {
  for (size_t group = 0; group < groups(); ++group)
    if (Status status =
            pools[group]->reserve(kinds[group].mostBlocks(tokens, rows, tokensPerBlock));
        !status.ok())
      return status;
  return {};
}

CacheBlocks::CacheBlocks(KvCache &cache) : cache(&cache), tables(cache.groups()) {}

CacheBlocks::~CacheBlocks() {
  for (size_t group = 0; group < tables.size(); ++group)
    while (!tables[group].blocks.empty())
      giveLast(group);
}

void CacheBlocks::giveLast(size_t group) {
  Table &table = tables[group];
  if (table.held.back())
    cache->pool(group).give(table.blocks.back());
  table.blocks.pop_back();
  table.held.pop_back();
}

Status CacheBlocks::reserve(int64_t end) {
  size_t wanted = (end + cache->blockTokens() - 1) / cache->blockTokens();
  size_t before = tables.empty() ? 0 : tables.front().blocks.size(); // the same in all groups
  for (size_t group = 0; group < tables.size(); ++group) {
    Table &table = tables[group];
    while (table.blocks.size() < wanted) {
      Result<int32_t> block = cache->pool(group).take();
      if (block.ok()) {
        table.blocks.push_back(*block);
        table.held.push_back(true);
        continue;
      }
      for (size_t undo = 0; undo <= group; ++undo)
        while (tables[undo].blocks.size() > before)
          giveLast(undo);
      return block.status();
    }
  }
  return {};
}

/// Blocks in front that no position from `next` on sees.
static int64_t unseenBlocks(const KvCache &cache, size_t group, int64_t next) {
  return cache.oldestSeen(group, next) / cache.blockTokens();
}

void CacheBlocks::release(int64_t next, int64_t keptUntil) {
  int64_t first = (keptUntil + cache->blockTokens() - 1) / cache->blockTokens();
  for (size_t group = 0; group < tables.size(); ++group) {
    Table &table = tables[group];
    int64_t unseen = std::min<int64_t>(unseenBlocks(*cache, group, next), table.blocks.size());
    for (int64_t block = first; block < unseen; ++block) {
      if (!table.held[block])
        continue;
      cache->pool(group).give(table.blocks[block]);
      table.held[block] = false;
      table.blocks[block] = 0; // not looked at, but still a block of the pool
    }
  }
}

bool CacheBlocks::truncate(int64_t end) {
  size_t kept = (end + cache->blockTokens() - 1) / cache->blockTokens();
  for (size_t group = 0; group < tables.size(); ++group) {
    const Table &table = tables[group];
    size_t block = unseenBlocks(*cache, group, end);
    for (; block < std::min(kept, table.blocks.size()); ++block)
      if (!table.held[block])
        return false;
  }
  for (size_t group = 0; group < tables.size(); ++group)
    while (tables[group].blocks.size() > kept)
      giveLast(group);
  return true;
}

} // namespace moec
