// Attention of a few adjacent tokens of one sequence, for the query heads of one key head, over a
// paged cache.
//
// The cache is read block by block, each with a product for the scores, a step of the online
// softmax and a product with the values. Blocks begin at absolute positions, and one that a row
// does not see leaves that row's state as it was, bit for bit. So a row's result depends on its
// sequence and position only, not on the tile or chunk that it is computed in.

#ifndef MOEC_COMPILER_TARGETS_CPU_ATTENTIONKERNEL_H
#define MOEC_COMPILER_TARGETS_CPU_ATTENTIONKERNEL_H

#include "compiler/targets/cpu/CpuKernelBuilder.h"
#include "runtime/core/PackedLayout.h"

namespace moec {

/// What is known when the kernel is made. d is the size of a head's key, B the tokens of a block.
///
/// A block's keys of one head lie in panels of 16 tokens, [B/16][d][16], or where elements have 16
/// bits [B/16][ceil(d/2)][16][2]. Its values lie in panels of 16 columns, [D/16][B][16] or
/// [D/16][B/2][16][2], where D is their size rounded up to a multiple of 16. So what is read
/// together is adjacent, one line after another. What pads must be zero. Slots past the last token
/// may hold anything finite. A latent cache has keys alone; the first entries of these are laid out
/// as values block by block.
struct AttentionShape {
  mlir::Type element; ///< of keys and values, f32 or bf16; softmax weights are rounded to it too
  mlir::Type queries; ///< their element: f32, or that of keys
  int64_t size;       ///< d
  int64_t values;     ///< size of a head's value
  bool latent;        ///< values are the first entries of keys
  int64_t group;      ///< query heads that share a key head
  int64_t block;      ///< B, a multiple of 16
  int64_t rows;       ///< tokens of a tile at most
  int64_t window;     ///< keys that a token sees, itself included; 0 for all
  int64_t chunk;      ///< or those from the last multiple of this position on; 0 for all
  double scale;       ///< of scores

  /// d, even where elements have 16 bits.
  int64_t keyDepth() const { return panelDepth(size, bytesOf(element)); }
  int64_t valueWidth() const { return roundUpTo(values, kLanes); }
};

/// Keys and values of the tile's head in one block.
struct AttentionBlock {
  mlir::Value keys, values; ///< !llvm.ptr
};

/// What the tile works on; the heads of a group lie side by side in a token's row.
struct AttentionTile {
  mlir::Value queries;     ///< !llvm.ptr to the group's first head of the first token
  mlir::Value queryStride; ///< i64, elements from token to token
  mlir::Value sinks;       ///< null, or !llvm.ptr to a score per head that weighs no value
  mlir::Type sinkElement;  ///< f32, bf16 or f16
  mlir::Value out;         ///< !llvm.ptr to the group's first head of the first token's result
  mlir::Type outElement;
  mlir::Value outStride;
  mlir::Value rows;     ///< i64, 1 to shape.rows
  mlir::Value position; ///< i64, of the first token; the others follow
  mlir::Value scratch;  ///< !llvm.ptr to attentionScratchBytes(shape), aligned to 64 bytes
  bool gathers = false; ///< blocks are made where they are asked for, so that none is ahead
  /// Emits the addresses of block `number` (i64): that of the positions from number * B on.
  llvm::function_ref<AttentionBlock(mlir::Value number)> block;
};

int64_t attentionScratchBytes(const AttentionShape &shape);

void emitAttention(CpuKernelBuilder &kernel, const AttentionShape &shape,
                   const AttentionTile &tile);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_ATTENTIONKERNEL_H
