// How attention is cut into tiles: tokens of a sequence, and query heads that share a key head.

#ifndef MOEC_COMPILER_ANALYSIS_ATTENTIONTILES_H
#define MOEC_COMPILER_ANALYSIS_ATTENTIONTILES_H

#include <algorithm>
#include <cstdint>

namespace moec {

/// Most tokens of one query tile, which the runtime makes.
inline constexpr int64_t kQueryTile = 16;

/// Query heads that a tile has of the `group` that share a key head: all, or an equal part where
/// they are many, so that several threads have work in a step of one token.
constexpr int64_t headsPerTile(int64_t group) {
  constexpr int64_t most = 32;
  int64_t heads = std::min(group, most);
  while (group % heads != 0)
    --heads;
  return heads;
}

/// Tokens that the kernel takes at a time with `heads` of each: rows enough to make use of what is
/// read of the cache, and few enough for the second cache level.
constexpr int64_t tokensPerTile(int64_t heads) {
  constexpr int64_t rows = 128;
  return std::clamp<int64_t>(rows / heads, 1, kQueryTile);
}

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_ATTENTIONTILES_H
