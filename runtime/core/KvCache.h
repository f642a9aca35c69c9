// The paged cache: per group of layers a pool of blocks, and per sequence the blocks it holds.

#ifndef MOEC_RUNTIME_CORE_KV_CACHE_H
#define MOEC_RUNTIME_CORE_KV_CACHE_H

#include "runtime/core/Manifest.h"
#include "runtime/core/Result.h"
#include "runtime/cpu/NodeMemory.h"
#include "runtime/device/Device.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace moec {

/// Blocks of one size, one after another. Its memory grows in chunks and may move when it does, so
/// `data` holds until the next `take`.
class BlockPool {
public:
  explicit BlockPool(int64_t bytesPerBlock) : blockBytes(bytesPerBlock) {}
  ~BlockPool();
  BlockPool(const BlockPool &) = delete;
  BlockPool &operator=(const BlockPool &) = delete;

  /// Where its memory shall lie; before the first `take`.
  void setNodes(const NodeSet &set) { nodes = set; }
  /// Likewise; the device must outlive the pool.
  void setDevice(Device *owner) { device = owner; }

  /// The number of a block that nobody holds; all its bytes are zero. Code::Resource when memory
  /// is short.
  Result<int32_t> take();
  /// Makes room for so many blocks at once, of which none is taken yet.
  Status reserve(int64_t blocks);
  /// Takes back a block from `take`.
  void give(int32_t block);

  uint8_t *data() const { return base; }
  /// Blocks handed out and not taken back.
  int64_t used() const { return next - static_cast<int64_t>(idle.size()); }
  /// Bytes of address space held; memory is touched block by block, in large pages.
  int64_t bytes() const { return capacity; }

private:
  Status grow(int64_t more);
  Status growOnDevice(int64_t more);
  Status clear(int32_t block);

  int64_t blockBytes;
  uint8_t *base = nullptr;
  int64_t capacity = 0; // bytes
  int64_t next = 0;     // blocks from here on were never handed out
  NodeSet nodes;
  Device *device = nullptr; ///< whose memory it is; null: the host's
  std::vector<int32_t> idle;
};

/// The pools of a model, one per cache group of its manifest.
class KvCache {
public:
  KvCache(const std::vector<ManifestCache> &groups, int64_t blockTokens);

  /// Lets its memory lie on several nodes by turns, a large page at a time; before the first
  /// sequence. A node's threads read the same heads in every step, and still their keys and values
  /// are not kept on that node: a block holds all layers and heads of a few tokens, so that those
  /// of one head are a few KiB in each layer of each block, far less than the large pages that make
  /// long contexts fast, and in more places than the kernel keeps policies for.
  void setNodes(const NodeSet &set) {
    for (const std::unique_ptr<BlockPool> &pool : pools)
      pool->setNodes(set);
  }

  /// Keeps it in a device's memory; before the first sequence. The device must outlive the cache.
  void setDevice(Device *device) {
    for (const std::unique_ptr<BlockPool> &pool : pools)
      pool->setDevice(device);
  }

  /// Makes room for one sequence of so many tokens, read in steps of `rows`.
  Status reserve(int64_t tokens, int64_t rows);

  size_t groups() const { return pools.size(); }
  int64_t blockTokens() const { return tokensPerBlock; }
  /// The first position of a sequence that its token at `position` sees.
  int64_t oldestSeen(size_t group, int64_t position) const {
    return kinds[group].oldestSeen(position);
  }
  BlockPool &pool(size_t group) { return *pools[group]; }
  const BlockPool &pool(size_t group) const { return *pools[group]; }

private:
  int64_t tokensPerBlock;
  std::vector<ManifestCache> kinds;
  std::vector<std::unique_ptr<BlockPool>> pools;
};

/// The blocks that one sequence holds, per group. `cache` must outlive it.
class CacheBlocks {
public:
  explicit CacheBlocks(KvCache &cache);
  ~CacheBlocks();
  CacheBlocks(CacheBlocks &&) = default;
  CacheBlocks &operator=(CacheBlocks &&) = delete;

  /// Takes the blocks for positions below `end`. On failure what it held before is unchanged.
  Status reserve(int64_t end);
  /// Gives back the blocks that no position from `next` on can see any more; those of positions
  /// below `keptUntil` stay all the same.
  void release(int64_t next, int64_t keptUntil = 0);
  /// Gives back every block that holds only positions from `end` on. False, and nothing done, where
  /// a block that position `end` can see is gone.
  bool truncate(int64_t end);

  /// Block numbers by position / block size; 0 where a block was released. As long as the last
  /// reserved position wants.
  const std::vector<int32_t> &table(size_t group) const { return tables[group].blocks; }

private:
  struct Table {
    std::vector<int32_t> blocks;
    std::vector<bool> held;
  };

  void giveLast(size_t group);

  KvCache *cache;
  std::vector<Table> tables;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_KV_CACHE_H
