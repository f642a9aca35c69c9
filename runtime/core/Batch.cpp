// Lays out rows, query tiles and block tables.

#include "runtime/core/Batch.h"

#include <algorithm>

namespace moec {

void Batch::clear() {
  for (std::vector<int32_t> *list : {&tokenIds, &positions, &rowSequences, &outputRows, &tiles})
    list->clear();
  sequences.clear();
}

void Batch::add(std::span<const int32_t> tokens, int64_t position, int64_t outputs,
                const CacheBlocks &blocks) {
  int32_t sequence = static_cast<int32_t>(sequences.size());
  int64_t first = rows(), count = static_cast<int64_t>(tokens.size());
  sequences.push_back(&blocks);
  tokenIds.insert(tokenIds.end(), tokens.begin(), tokens.end());
  for (int64_t row = 0; row < count; ++row) {
    positions.push_back(static_cast<int32_t>(position + row));
    rowSequences.push_back(sequence);
    if (row >= count - outputs)
      outputRows.push_back(static_cast<int32_t>(first + row));
  }
  for (int64_t row = 0; row < count; row += queryTile)
    tiles.insert(tiles.end(), {static_cast<int32_t>(first + row),
                               static_cast<int32_t>(std::min(queryTile, count - row)), sequence});
}

moec_step_arguments Batch::arguments(KvCache &cache) {
  size_t stride = 1;
  for (const CacheBlocks *blocks : sequences)
    for (size_t group = 0; group < cache.groups(); ++group)
      stride = std::max(stride, blocks->table(group).size());
  tables.resize(cache.groups());
  tablePointers.clear();
  cachePointers.clear();
  for (size_t group = 0; group < cache.groups(); ++group) {
    tables[group].assign(stride * sequences.size(), 0);
    for (size_t s = 0; s < sequences.size(); ++s) {
      const std::vector<int32_t> &blocks = sequences[s]->table(group);
      std::copy(blocks.begin(), blocks.end(), tables[group].begin() + s * stride);
    }
    tablePointers.push_back(tables[group].data());
    cachePointers.push_back(cache.pool(group).data());
  }
  moec_step_arguments arguments = {};
  arguments.tokens = rows();
  arguments.sequences = static_cast<int64_t>(sequences.size());
  arguments.outputs = outputs();
  arguments.query_tiles = static_cast<int64_t>(tiles.size() / 3);
  arguments.block_stride = static_cast<int64_t>(stride);
  arguments.token_ids = tokenIds.data();
  arguments.positions = positions.data();
  arguments.row_sequences = rowSequences.data();
  arguments.output_rows = outputRows.data();
  arguments.tiles = tiles.data();
  arguments.block_tables = tablePointers.data();
  arguments.caches = cachePointers.data();
  return arguments;
}

} // namespace moec
