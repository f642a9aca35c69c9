// How work is cut into tiles for GPUs.

#ifndef MOEC_COMPILER_ANALYSIS_WARPTILES_H
#define MOEC_COMPILER_ANALYSIS_WARPTILES_H

#include <algorithm>
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
/// A tile of the gate: warps that each read the router for experts of their own, once for its rows.
struct GateTile {
  int64_t warps, rows;
};
/// For at most so many rows, when it is reading that takes the time, and for more.
inline constexpr int64_t kFewGateRows = 64;
inline constexpr GateTile kFewGateTile = {.warps = 16, .rows = 1},
                          kManyGateTile = {.warps = 8, .rows = 8};
/// Warps that read the keys of a row and head, for many to be on their way.
inline constexpr int64_t kAttentionWarps = 8;
/// Warps that choose the keys of a row: its positions are scored one a thread.
inline constexpr int64_t kChoiceWarps = 8;
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

/// A tile of attention that a block of threads makes by tensor cores. Rows are heads of tokens; the
/// instruction multiplies 16 of them with 8 keys, or columns of values, over 16 elements.
struct MmaAttentionTile {
  int64_t warps;
  int64_t rowTiles; ///< of 16 rows: 1, 2 or 4
  int64_t keys;     ///< in a stage: 16 or 32, which warps share
  int64_t stages;   ///< in shared memory at a time

  constexpr int64_t rows() const { return rowTiles * kAttentionRows; }
  static constexpr int64_t kAttentionRows = 16, kAttentionDepth = 16;
};

/// Tokens of a query tile that the runtime makes for a GPU: rows enough for a tile where each head
/// has keys of its own.
inline constexpr int64_t kGpuQueryTile = 64;

/// Pieces of a row at most, which become longer where they would be more.
inline constexpr int64_t kAttentionPieces = 64;

/// Positions of a piece, which a block reads one after another, where sequences have at most
/// `context`: few, so that a sequence is many blocks' work, and many, so that putting pieces
/// together costs little beside.
constexpr int64_t attentionPiece(int64_t context) {
  constexpr int64_t least = 128, most = 512;
  int64_t piece = least;
  while (piece < most && piece * kAttentionPieces < context)
    piece *= 2;
  return piece;
}

/// The pieces that a row's positions are cut into, from multiples of their length on.
struct AttentionPieces {
  /// Of `piece` positions at least, of a cache with that window or chunk (0: none), where sequences
  /// have at most `context`.
  constexpr AttentionPieces(int64_t piece, int64_t window, int64_t chunk, int64_t context)
      : length(piece), span(window > 0 ? window : chunk) {
    if (span > 0)
      while ((span - 1) / length + 2 > kAttentionPieces)
        length *= 2;
    most = std::min((context + length - 1) / length,
                    span > 0 ? (span - 1) / length + 2 : kAttentionPieces);
  }

  int64_t length; ///< the shortest; where there is neither window nor chunk others may be longer
  int64_t span;   ///< positions that a row sees at most; 0: all before it
  int64_t most;   ///< of a row
};

/// Tokens whose pieces are a block's each, and how many bytes those may take, at most. Of more
/// tokens a block goes round the pieces of its rows: there are many blocks then.
inline constexpr int64_t kFewTokens = 16, kPieceBytes = int64_t(64) << 20;
/// Warps that put the pieces of a row and head together.
inline constexpr int64_t kJoinWarps = 4;

/// Query heads of a token in a tile, of the `group` that share a key head: all, or an equal part.
constexpr int64_t attentionHeads(int64_t group) {
  int64_t heads = group < 64 ? group : 64;
  while (group % heads != 0)
    --heads;
  return heads;
}
/// Tiles of 16 rows for one token's `heads`.
constexpr int64_t fewAttentionRows(int64_t heads) { return heads <= 16 ? 1 : heads <= 32 ? 2 : 4; }
/// The same for several tokens.
inline constexpr int64_t kManyAttentionRows = 4;
/// Tokens in a tile of that many.
constexpr int64_t attentionTokens(int64_t heads) {
  return kManyAttentionRows * MmaAttentionTile::kAttentionRows / heads;
}
/// Blocks of such tiles, and of pieces, at work on a multiprocessor at most: more would have too
/// few registers.
inline constexpr int64_t kTileBlocks = 2, kPieceBlocks = 3;
/// Tiles of a query tile.
constexpr int64_t attentionTilesOfEntry(int64_t heads) {
  return (kGpuQueryTile + attentionTokens(heads) - 1) / attentionTokens(heads);
}
/// Warps of a block: each has columns of its own, which their registers have to have room for.
constexpr int64_t attentionWarps(int64_t values) { return values > 256 ? 8 : 4; }

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_WARPTILES_H
