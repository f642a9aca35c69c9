// How work is cut into tiles for GPUs.

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

/// Warps that work on a row of what is done row by row: enough to have a long row read at once
/// where there is only one, few enough to meet often.
inline constexpr int64_t kRowWarps = 4;
/// Warps that read the keys of a row and head, for many to be on their way.
inline constexpr int64_t kAttentionWarps = 8;
/// Warps that plan the experts' rows together, each for experts of its own.
inline constexpr int64_t kDispatchWarps = 16;

/// A tile that a block of threads makes by tensor cores. The instruction multiplies 16 columns of a
/// matrix with 8 rows of activations, over 16 elements of K.
struct MmaTile {
  int64_t warps;       ///< each has columns of its own
  int64_t columnTiles; ///< of 16 columns, of each warp, shared by the matrices
  int64_t rows;        ///< a multiple of 8
  int64_t stages;      ///< parts of K in shared memory at a time, one at work, others on their way
  int64_t blocks = 3;  ///< of a multiprocessor, at most: more would leave a thread few registers

  /// Columns of each of so many matrices that are multiplied with the same rows.
  constexpr int64_t columns(int64_t matrices) const { return warps * columnTiles * 16 / matrices; }
};

/// Columns and rows of the instruction, and elements of K.
inline constexpr int64_t kMmaColumns = 16, kMmaRows = 8, kMmaDepth = 16;
/// Elements of K in a stage: 128 bytes a row, which all banks of shared memory hold.
inline constexpr int64_t kStageDepth = 64;

/// What the elements of matrices are, as far as tiles differ.
enum class MmaKind {
  Floats,       ///< bf16, as are the rows
  FloatCodes,   ///< codes that become bf16 in registers
  IntegerCodes, ///< codes that are multiplied as integers, as are the rows
};

/// For few rows, as when decoding: bound by reading the matrices, so that much has to be on its
/// way and nothing is to be wasted on rows that there are not.
inline constexpr MmaTile kFewRows = {.warps = 4, .columnTiles = 2, .rows = 8, .stages = 3};
/// For more: each byte that is read has to serve as many products as registers hold sums of.
inline constexpr MmaTile kManyRows = {.warps = 4, .columnTiles = 2, .rows = 64, .stages = 3};
/// Stages of codes are twice as deep, for groups to lie in one: two are as much on its way. A
/// group's sums are apart, in as many registers again.
inline constexpr MmaTile kManyRowsOfCodes = {
    .warps = 4, .columnTiles = 2, .rows = 64, .stages = 2, .blocks = 2};
/// Elements of K in a stage of codes.
inline constexpr int64_t kCodesDepth = 128;

/// The tile for more than few rows, and that of so many rows.
constexpr const MmaTile &manyRowsOf(MmaKind kind) {
  return kind == MmaKind::Floats ? kManyRows : kManyRowsOfCodes;
}
constexpr const MmaTile &mmaTileOf(MmaKind kind, int64_t rows) {
  return rows == kFewRows.rows ? kFewRows : manyRowsOf(kind);
}
/// Tiles of a row of so many columns, of each of `matrices`.
constexpr int64_t mmaPanels(const MmaTile &tile, int64_t columns, int64_t matrices) {
  return (columns + tile.columns(matrices) - 1) / tile.columns(matrices);
}

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_WARPTILES_H
