// How products are cut into tiles for the warps of a GPU.

#ifndef MOEC_COMPILER_ANALYSIS_WARPTILES_H
#define MOEC_COMPILER_ANALYSIS_WARPTILES_H

#include <cstdint>

namespace moec {

/// Columns of a product that a warp makes at a time, of one row: as many reads of weights are on
/// their way at once.
inline constexpr int64_t kWarpColumns = 4;

/// Tiles of a row of so many columns.
constexpr int64_t warpPanels(int64_t columns) {
  return (columns + kWarpColumns - 1) / kWarpColumns;
}

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_WARPTILES_H
