// One function per op: emits the code of one tile at the op, which the caller erases.

#ifndef MOEC_COMPILER_LOWERING_LOWERINGS_H
#define MOEC_COMPILER_LOWERING_LOWERINGS_H

#include "compiler/lowering/Operands.h"
#include "compiler/targets/cpu/CpuKernelBuilder.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "compiler/targets/cuda/ThreadBuilder.h"

namespace moec {

/// The tile that a phase works on.
struct Tile {
  mlir::Value index; ///< i64
  int64_t rows;      ///< of the phase; 0: not cut by rows

  /// The rows of `buffer` that are this tile's: [first, second).
  std::pair<mlir::Value, mlir::Value> rowsOf(KernelBuilder &kernel, const RowBuffer &buffer) const;
  /// Which block of rows, or entry of a list, is this tile's, and which of its `panels` tiles.
  std::pair<mlir::Value, mlir::Value> split(KernelBuilder &kernel, int64_t panels) const {
    mlir::Value count = kernel.integer(panels);
    return {kernel.div(index, count), kernel.rem(index, count)};
  }
};

// Row by row.
void lowerEmbedding(KernelBuilder &kernel, lm::EmbeddingOp op, const Tile &tile);
void lowerRmsNorm(KernelBuilder &kernel, lm::RmsNormOp op, const Tile &tile);
void lowerLayerNorm(KernelBuilder &kernel, lm::LayerNormOp op, const Tile &tile);
void lowerClamp(KernelBuilder &kernel, lm::ClampOp op, const Tile &tile);
void lowerRopeTable(KernelBuilder &kernel, lm::RopeTableOp op, const Tile &tile);
void lowerRope(KernelBuilder &kernel, lm::RopeOp op, const Tile &tile);
void lowerTemperature(KernelBuilder &kernel, lm::TemperatureOp op, const Tile &tile);
void lowerSliceHeads(KernelBuilder &kernel, lm::SliceHeadsOp op, const Tile &tile);
void lowerJoinHeads(KernelBuilder &kernel, lm::JoinHeadsOp op, const Tile &tile);
void lowerCacheAppend(KernelBuilder &kernel, lm::CacheAppendOp op, const Tile &tile);
void lowerScaleRows(KernelBuilder &kernel, lm::ScaleRowsOp op, const Tile &tile);
void lowerAdd(KernelBuilder &kernel, lm::AddOp op, const Tile &tile);
void lowerRound(KernelBuilder &kernel, lm::RoundOp op, const Tile &tile);
void lowerQuantize(KernelBuilder &kernel, lm::QuantizeOp op, const Tile &tile);
void lowerSelectRows(KernelBuilder &kernel, lm::SelectRowsOp op, const Tile &tile);
void lowerGatedActivation(KernelBuilder &kernel, moe::GatedActivationOp op, const Tile &tile);

// Routing.
void lowerScore(KernelBuilder &kernel, moe::ScoreOp op, const Tile &tile);
void lowerRoute(KernelBuilder &kernel, moe::RouteOp op, const Tile &tile);
void lowerPickShared(KernelBuilder &kernel, moe::PickSharedOp op, const Tile &tile);
void lowerDispatch(KernelBuilder &kernel, moe::DispatchOp op, const Tile &tile);
void lowerCombine(KernelBuilder &kernel, moe::CombineOp op, const Tile &tile);
void lowerRecordRouting(KernelBuilder &kernel, lm::RecordRoutingOp op, const Tile &tile);

// Of pieces of rows.
void lowerRecordLargest(KernelBuilder &kernel, lm::RecordLargestOp op, const Tile &tile);
/// Writes to `out` (!llvm.ptr to moec_largest) the `count` largest of the logits [first, end) (i64)
/// of a row as lm.record_largest orders them.
void emitLargest(KernelBuilder &kernel, mlir::Value row, mlir::Value first, mlir::Value end,
                 int64_t count, mlir::Value out);

// Products and attention, by the target's kernels.
void lowerLinear(CpuKernelBuilder &kernel, lm::LinearOp op, const Tile &tile);
void lowerHeadLinear(CpuKernelBuilder &kernel, lm::HeadLinearOp op, const Tile &tile);
void lowerGate(CpuKernelBuilder &kernel, moe::GateOp op, const Tile &tile);
void lowerGroupedMatmul(CpuKernelBuilder &kernel, moe::GroupedMatmulOp op, const Tile &tile);
void lowerGroupedGlu(CpuKernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile);
void lowerChooseKeys(CpuKernelBuilder &kernel, lm::ChooseKeysOp op, const Tile &tile);
void lowerAttention(CpuKernelBuilder &kernel, lm::AttentionOp op, const Tile &tile);

// The same by warps, tiles as lm-form-phases{warps} cuts them.
void lowerLinearByWarp(KernelBuilder &kernel, lm::LinearOp op, const Tile &tile);
void lowerHeadLinearByWarp(KernelBuilder &kernel, lm::HeadLinearOp op, const Tile &tile);
void lowerGroupedMatmulByWarp(KernelBuilder &kernel, moe::GroupedMatmulOp op, const Tile &tile);
void lowerGroupedGluByWarp(KernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile);

/// `warp` has a warp's lanes, `group` those of the block.
void lowerGateByBlock(KernelBuilder &warp, KernelBuilder &group, ThreadBuilder &block,
                      lm::PhaseOp phase, moe::GateOp op, const Tile &tile);
/// `kernel` has a warp's lanes.
void lowerAttentionByBlock(KernelBuilder &kernel, ThreadBuilder &block, lm::PhaseOp phase,
                           lm::AttentionOp op, const Tile &tile);
void lowerChooseKeysByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::ChooseKeysOp op,
                            const Tile &tile);
void lowerDispatchByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, moe::DispatchOp op);

// The same by blocks of threads and tensor cores, of phases that lm-form-phases has cut for them.
void lowerLinearByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::LinearOp op,
                        const Tile &tile);
void lowerHeadLinearByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::HeadLinearOp op,
                            const Tile &tile);
void lowerGroupedMatmulByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, moe::GroupedMatmulOp op,
                               const Tile &tile);
void lowerGroupedGluByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, moe::GroupedGluOp op,
                            const Tile &tile);
void lowerAttendTilesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::AttendTilesOp op,
                             const Tile &tile, const CudaTarget &target);
void lowerAttendPiecesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::AttendPiecesOp op,
                              const Tile &tile, const CudaTarget &target);
void lowerJoinPiecesByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::JoinPiecesOp op,
                            const Tile &tile);

// The same by plain loops; one tile does everything.
void lowerLinearPlainly(KernelBuilder &kernel, lm::LinearOp op);
void lowerHeadLinearPlainly(KernelBuilder &kernel, lm::HeadLinearOp op);
void lowerGatePlainly(KernelBuilder &kernel, moe::GateOp op);
void lowerGroupedMatmulPlainly(KernelBuilder &kernel, moe::GroupedMatmulOp op);
void lowerGroupedGluPlainly(KernelBuilder &kernel, moe::GroupedGluOp op);
void lowerChooseKeysPlainly(KernelBuilder &kernel, lm::ChooseKeysOp op);
void lowerAttentionPlainly(KernelBuilder &kernel, lm::AttentionOp op);

/// Writes to `out` (!llvm.ptr to i32) how many positions are chosen, then these, ascending: of the
/// `count` (i64) keys, i32, at `keys` the `most` largest, of equal ones the first.
void chooseLargestPlainly(KernelBuilder &kernel, mlir::Value keys, mlir::Value count, int64_t most,
                          mlir::Value out);

// What lowerings share.

/// The shared memory of the block at work (!llvm.ptr<3>), of a phase with one such op; the phase
/// notes how much it is, and that a multiprocessor is to have `blocks` at work, at most.
mlir::Value blockMemory(ThreadBuilder &kernel, lm::PhaseOp phase, int64_t bytes, int64_t blocks);

/// An entry of the list that moe.dispatch makes: rows of an expert, one after another in the sorted
/// order. All i64.
struct ListedRows {
  mlir::Value expert, first, count;
};
/// How many entries the list `tiles` has.
mlir::Value listedCount(KernelBuilder &kernel, const RowBuffer &tiles);
ListedRows listedRows(KernelBuilder &kernel, const RowBuffer &tiles, mlir::Value index);
/// `sum` times `share` where that is not null, plus the bias's entry where there is one.
mlir::Value emitExpertSum(KernelBuilder &kernel, mlir::Value sum, mlir::Value share,
                          const std::optional<Matrix> &bias, mlir::Value column);

/// Element `i` of a row of activations as f32, quantised for `matrix` where that is.
mlir::Value activationElement(KernelBuilder &kernel, mlir::Type element, mlir::Value row,
                              const Matrix &matrix, mlir::Value i);
/// Of a weight as it is multiplied by activations of type `activation`: rounded where these are
/// bf16 and it is not; codes are not, they fit.
mlir::Value roundedWeight(KernelBuilder &kernel, mlir::Type activation, const Matrix &matrix,
                          mlir::Value weight);
/// Scores of one row of `columns` logits, in place.
void emitScores(KernelBuilder &kernel, moe::ScoreFunction function, mlir::Value row,
                int64_t columns);
/// How moe.route chooses, and moe.gate.
struct Routing {
  int64_t columns, picked; ///< experts, and how many of them a token picks
  moe::Weighing weighing;
  double epsilon, scale;
  moe::GroupsAttr groups;           ///< null where all experts are one group
  bool prefersHigher;               ///< of equal keys the one with the higher id comes first
  std::optional<Matrix> correction; ///< added to scores where they are compared
};
/// That of `op`, a moe.route or moe.gate, among `columns` experts.
template <typename Op> Routing routingOf(KernelBuilder &kernel, Op op, int64_t columns) {
  Routing routing{columns,
                  extentOf(op.getExperts(), 1),
                  op.getWeighing(),
                  op.getEpsilon().convertToDouble(),
                  op.getScale().convertToDouble(),
                  op.getGroupsAttr(),
                  op.getPreferHigher(),
                  std::nullopt};
  if (op.getCorrection())
    routing.correction = matrixOf(kernel, op.getCorrection());
  return routing;
}
/// The best of one row of scores, and what they weigh.
void emitRoute(KernelBuilder &kernel, const Routing &routing, mlir::Value scores,
               mlir::Value experts, mlir::Value weights);
/// What an activation makes of a product without a gate, or of gate and up; scalars or vectors. A
/// null activation changes nothing.
mlir::Value emitActivation(KernelBuilder &kernel, moe::ActivationAttr activation, mlir::Value x);
mlir::Value emitGatedActivation(KernelBuilder &kernel, moe::ActivationAttr activation,
                                mlir::Value gate, mlir::Value up);
/// The weight, f32, with which `token` (i64) picked `expert` (i64): that of the last slot that
/// holds it, as a router picks an expert once; 0 where none does.
mlir::Value emitPickWeight(KernelBuilder &kernel, mlir::Value experts, mlir::Value weights,
                           mlir::Value token, mlir::Value expert);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_LOWERINGS_H
