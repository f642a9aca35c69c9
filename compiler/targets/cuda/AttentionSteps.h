// A block's way along the keys of its rows: stages of keys and values in shared memory, scores,
// probabilities and sums of values, by tensor cores.

#ifndef MOEC_COMPILER_TARGETS_CUDA_ATTENTIONSTEPS_H
#define MOEC_COMPILER_TARGETS_CUDA_ATTENTIONSTEPS_H

#include "compiler/targets/cuda/MmaAttention.h"

namespace moec {

/// What a thread has of the piece at work. Its rows are, of each tile of 16, number lane / 4 and 8
/// more: `rowSlots` of them, two for each tile. Scores are shared among warps, so of these it has
/// those of `ownSlots` rows, and of these two of each 8 keys.
struct AttentionState {
  llvm::SmallVector<mlir::Value> sums;     ///< [row tile][column tile][half of it][4]
  llvm::SmallVector<mlir::Value> peaks;    ///< the largest score, of each row slot
  llvm::SmallVector<mlir::Value> ownPeaks; ///< the same of own rows
  llvm::SmallVector<mlir::Value> totals;   ///< of own rows: of the thread's probabilities

  llvm::SmallVector<mlir::Value> all() const;
  /// With other values, as all() has them.
  AttentionState with(mlir::ValueRange values) const;
};

/// A row that a thread has sums of.
struct AttentionRow {
  mlir::Value token, head; ///< i64; of a row that there is not some that there are
  mlir::Value isThere;     ///< i1
};

class AttentionSteps {
public:
  AttentionSteps(ThreadBuilder &kernel, const MmaAttentionShape &shape,
                 const MmaAttentionTile &tile, const MmaAttentionRows &rows, mlir::Value shared);

  /// The same, for a branch that is rarely taken: no registers are kept for it around.
  AttentionSteps here() const;

  /// Bytes of the parts of shared memory, and of all.
  struct Memory {
    Memory(const MmaAttentionShape &shape, const MmaAttentionTile &tile);
    int64_t keyStride, valueStride, probabilityStride; ///< bytes from row to row
    int64_t values, stage;                             ///< in a stage: its values; its end
    int64_t stages, probabilities, numbers, all;
  };

  /// Begins with the first rows of keys. `start` (i64) is a multiple of the tile's keys, `stop`
  /// larger; keys outside of [lowest, stop) are not read.
  void begin(mlir::Value start, mlir::Value lowest, mlir::Value stop);
  /// That of a piece of which nothing is known yet.
  AttentionState empty();
  mlir::Value stepCount() const { return steps; }
  mlir::Value positionOf(mlir::Value step);
  /// Stage `step` (i64, one after another from 0 on): what it adds.
  AttentionState step(mlir::Value step, const AttentionState &before);
  /// What the probabilities of each row slot sum to, of all threads. No stage is at work.
  llvm::SmallVector<mlir::Value> totalsOf(const AttentionState &state);

  int64_t rowSlots() const { return 2 * tile.rowTiles; }
  int64_t ownSlots() const { return 2 * ownTiles; }
  AttentionRow row(int64_t slot);
  /// Position (i64) of a row slot's token, and of an own one's.
  mlir::Value position(int64_t slot);
  mlir::Value ownPosition(int64_t ownSlot) { return positionOfRow(ownRowOf(ownSlot)); }
  /// body(index in the sums, column) for each pair of columns, the first of which is `column`, of a
  /// row slot; `isThere` is null where all are, else about the first and the second.
  void forColumns(int64_t slot, llvm::function_ref<void(int64_t sum, mlir::Value column,
                                                        llvm::ArrayRef<mlir::Value> areThere)>
                                    body);
  /// Emits `then`, of values like `otherwise`, under a condition; null: always.
  llvm::SmallVector<mlir::Value>
  valuesWhen(mlir::Value condition, mlir::ValueRange otherwise,
             llvm::function_ref<llvm::SmallVector<mlir::Value>()> then);
  /// A score as a power of two: times the scale.
  mlir::Value scaled(mlir::Value score);

private:
  void findPlace(mlir::Value ownThread);
  mlir::Value ownRowOf(int64_t ownSlot);
  mlir::Value tokenOf(mlir::Value row);
  mlir::Value positionOfRow(mlir::Value row) { return kernel.add(rows.position, tokenOf(row)); }
  void copyQueries();
  void copyStage(mlir::Value step);
  void copyRows(mlir::Value start, mlir::Value to, int64_t width, int64_t stride,
                const std::function<mlir::Value(mlir::Value)> &place);
  llvm::SmallVector<mlir::Value> scores(mlir::Value stage);
  llvm::SmallVector<mlir::Value> hideUnseen(mlir::Value step, mlir::ValueRange scores);
  void storeNumber(int64_t ownSlot, mlir::Value value);
  llvm::SmallVector<mlir::Value> loadNumbers(mlir::Value row);
  mlir::Value newPeak(mlir::Value row, mlir::Value before);
  void addValues(mlir::Value stage, llvm::MutableArrayRef<mlir::Value> sums);

  ThreadBuilder &kernel;
  const MmaAttentionShape &shape;
  const MmaAttentionTile &tile;
  const MmaAttentionRows &rows;
  const Memory memory;
  const int64_t threads, keyGroups, rowGroups, ownTiles, columnTiles, ownColumns;
  mlir::Value shared, thread, warp, lane;
  mlir::Value quad, inQuad;     ///< lane / 4 and lane % 4
  mlir::Value keyGroup, ownRow; ///< of the warp: which 16 keys, and the first of its own rows
  mlir::Value isOwner;          ///< i1: no other warp has the same; null: all are
  mlir::Value start, lowest, stop, steps;
  mlir::Value firstEnd, lastBegin; ///< i64: what all rows see lies between
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_ATTENTIONSTEPS_H
