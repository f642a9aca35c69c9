// One function per op: emits the code of one tile at the op, which the caller erases.

#ifndef MOEC_COMPILER_LOWERING_LOWERINGS_H
#define MOEC_COMPILER_LOWERING_LOWERINGS_H

#include "compiler/lowering/Operands.h"

namespace moec {

/// Most tokens of one query tile, which the runtime makes: attention works on one tile and key head
/// at a time.
inline constexpr int64_t kQueryTile = 16;

/// The tile that a phase works on.
struct Tile {
  mlir::Value index; ///< i64
  int64_t rows;      ///< of the phase; 0: not cut by rows

  /// The rows of `buffer` that are this tile's: [first, second).
  std::pair<mlir::Value, mlir::Value> rowsOf(KernelBuilder &kernel, const RowBuffer &buffer) const;
};

// Row by row.
void lowerEmbedding(KernelBuilder &kernel, lm::EmbeddingOp op, const Tile &tile);
void lowerRmsNorm(KernelBuilder &kernel, lm::RmsNormOp op, const Tile &tile);
void lowerClamp(KernelBuilder &kernel, lm::ClampOp op, const Tile &tile);
void lowerRopeTable(KernelBuilder &kernel, lm::RopeTableOp op, const Tile &tile);
void lowerRope(KernelBuilder &kernel, lm::RopeOp op, const Tile &tile);
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

// Products and attention, by the target's kernels.
void lowerLinear(KernelBuilder &kernel, lm::LinearOp op, const Tile &tile);
void lowerGate(KernelBuilder &kernel, moe::GateOp op, const Tile &tile);
void lowerGroupedMatmul(KernelBuilder &kernel, moe::GroupedMatmulOp op, const Tile &tile);
void lowerGroupedGlu(KernelBuilder &kernel, moe::GroupedGluOp op, const Tile &tile);
void lowerAttention(KernelBuilder &kernel, lm::AttentionOp op, const Tile &tile);

// The same by plain loops; one tile does everything.
void lowerLinearPlainly(KernelBuilder &kernel, lm::LinearOp op);
void lowerGatePlainly(KernelBuilder &kernel, moe::GateOp op);
void lowerGroupedMatmulPlainly(KernelBuilder &kernel, moe::GroupedMatmulOp op);
void lowerGroupedGluPlainly(KernelBuilder &kernel, moe::GroupedGluOp op);
void lowerAttentionPlainly(KernelBuilder &kernel, lm::AttentionOp op);

// What fused ops share with their parts.

/// Scores of one row of `columns` logits, in place.
void emitScores(KernelBuilder &kernel, moe::ScoreFunction function, mlir::Value row,
                int64_t columns);
/// The `picked` best of one row of `columns` scores.
void emitRoute(KernelBuilder &kernel, mlir::Value scores, int64_t columns, int64_t picked,
               bool renormalize, mlir::Value experts, mlir::Value weights);
/// activation(gate) * up, on scalars or vectors.
mlir::Value emitGatedActivation(KernelBuilder &kernel, moe::Activation activation, mlir::Value gate,
                                mlir::Value up);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_LOWERINGS_H
