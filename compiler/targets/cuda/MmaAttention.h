// Attention by tensor cores: a block of threads makes a tile of rows, piece by piece of a sequence.

#ifndef MOEC_COMPILER_TARGETS_CUDA_MMAATTENTION_H
#define MOEC_COMPILER_TARGETS_CUDA_MMAATTENTION_H

#include "compiler/analysis/WarpTiles.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "compiler/targets/cuda/ThreadBuilder.h"

#include <functional>

namespace moec {

/// What the kernel is made for. Keys and values are bf16, rows at multiples of 32 bytes; in a row
/// zeros follow what it has.
struct MmaAttentionShape {
  int64_t size = 0, values = 0;         ///< elements of a head's key, and of its value
  int64_t keyWidth = 0, valueWidth = 0; ///< of the rows that hold them: multiples of 16
  bool latent = false;                  ///< values are the first elements of keys
  int64_t block = 0;             ///< positions from a multiple of it on whose rows are adjacent
  int64_t window = 0, chunk = 0; ///< 0: none
  int64_t piece = 0, pieces = 0; ///< as lm.attend_tiles has them
  int64_t heads = 0;             ///< of a token in a tile
  double scale = 1;
};

/// The rows of a tile, heads of tokens at adjacent positions, and where they and their keys are.
struct MmaAttentionRows {
  mlir::Value tokens;   ///< i64, at least 1, as many as the tile has room for at most
  mlir::Value position; ///< i64, of the first
  /// !llvm.ptr to the query of a token and a head (i64, counted in the tile).
  std::function<mlir::Value(mlir::Value token, mlir::Value head)> query;
  bool areAligned; ///< whether queries are whole parts of 16 bytes, at multiples of these
  /// !llvm.ptr to the key, or the value, of a position (i64).
  std::function<mlir::Value(mlir::Value position)> key, value;
};

/// The tile with so many rows that an architecture has shared memory for; its keys depend on the
/// shape and the architecture alone, as the order of sums does.
MmaAttentionTile mmaAttentionTile(const MmaAttentionShape &shape, int64_t rowTiles,
                                  const CudaTarget &target);
/// Bytes of shared memory that a block takes.
int64_t mmaAttentionBytes(const MmaAttentionShape &shape, const MmaAttentionTile &tile);

/// Where the piece of a row at `position` begins and ends: at multiples of this (i64).
mlir::Value emitPieceLength(KernelBuilder &kernel, const MmaAttentionShape &shape,
                            mlir::Value position);
/// The first position (i64) that a row at `position` sees.
mlir::Value emitFirstSeen(KernelBuilder &kernel, const MmaAttentionShape &shape,
                          mlir::Value position);

/// Where results of a tile of a token's head go.
struct MmaAttentionResults {
  std::function<mlir::Value(mlir::Value token, mlir::Value head)> out, room; ///< !llvm.ptr
  mlir::Type element; ///< of `out`; `room` is f32
  bool arePairs;      ///< whether `out` lies at multiples of two elements
  std::function<mlir::Value(mlir::Value head)> sink; ///< f32, may be empty
};

/// Attends for all rows of a tile, piece after piece, as lm.attend_tiles. `shared` (!llvm.ptr<3>)
/// is mmaAttentionBytes() of shared memory at a multiple of 128. The tile's threads have to come
/// together, and meet at a barrier before the call returns.
///
/// A row's sums go in the same order whatever rows are beside it: by stages of keys from multiples
/// of their number on, in pieces; and what a row does not see changes nothing.
void emitAttendTile(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                    const MmaAttentionTile &tile, const MmaAttentionRows &rows,
                    const MmaAttentionResults &results, mlir::Value shared);

/// The same for positions [begin, end) (i64) of a piece, of one token: its sums and numbers go to
/// `part` (!llvm.ptr) of each head, as lm.attend_pieces has them.
void emitAttendPiece(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                     const MmaAttentionTile &tile, const MmaAttentionRows &rows, mlir::Value begin,
                     mlir::Value end, llvm::function_ref<mlir::Value(mlir::Value head)> part,
                     mlir::Value shared);

/// Puts together `count` (i64) pieces of a row and head that lie at `parts`, as emitAttendTile()
/// does, for the columns that are the thread's of so many `threads`. `sink` is f32 or null.
void emitJoinPieces(ThreadBuilder &kernel, int64_t values, int64_t threads, mlir::Value parts,
                    mlir::Value count, mlir::Value sink, mlir::Type element, mlir::Value out);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_MMAATTENTION_H
