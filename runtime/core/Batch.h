// One step's arguments: rows of several sequences put together as the compiled code wants them.

#ifndef MOEC_RUNTIME_CORE_BATCH_H
#define MOEC_RUNTIME_CORE_BATCH_H

#include "runtime/core/KvCache.h"
#include "runtime/core/Step.h"

#include <cstdint>
#include <span>
#include <vector>

namespace moec {

/// Collects rows, then fills in a step's arguments, which point into it.
class Batch {
public:
  /// Tiles of at most `queryTile` rows.
  explicit Batch(int64_t queryTile) : queryTile(queryTile) {}

  void clear();

  /// Adds the rows of one more sequence: `tokens` from `position` on, of which the last `outputs`
  /// give logits. `blocks` must cover them when `arguments` is called.
  void add(std::span<const int32_t> tokens, int64_t position, int64_t outputs,
           const CacheBlocks &blocks);

  int64_t rows() const { return static_cast<int64_t>(tokenIds.size()); }
  int64_t outputs() const { return static_cast<int64_t>(outputRows.size()); }

  /// The arguments but for weights, results, arena and team. Valid until the next change of the
  /// batch, its blocks or the cache.
  moec_step_arguments arguments(KvCache &cache);

private:
  int64_t queryTile;
  std::vector<int32_t> tokenIds, positions, rowSequences, outputRows, tiles;
  std::vector<const CacheBlocks *> sequences;
  std::vector<std::vector<int32_t>> tables;
  std::vector<const int32_t *> tablePointers;
  std::vector<uint8_t *> cachePointers;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_BATCH_H
