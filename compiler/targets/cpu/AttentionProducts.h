// The two products of attention, functions made once per shape: queries with the keys of a block,
// and their softmax weights with its values.

#ifndef MOEC_COMPILER_TARGETS_CPU_ATTENTIONPRODUCTS_H
#define MOEC_COMPILER_TARGETS_CPU_ATTENTIONPRODUCTS_H

#include "compiler/targets/cpu/AttentionKernel.h"

namespace moec {

/// What queries are made of where they meet the cache: bf16 where both are and the level multiplies
/// that, else f32.
mlir::Type attentionRowElement(CpuKernelBuilder &kernel, const AttentionShape &shape);

/// What softmax weights are made of where they meet the values: f32 for those of a latent cache.
mlir::Type attentionWeightElement(CpuKernelBuilder &kernel, const AttentionShape &shape);

/// scores[row][key] = query row . key, for the keys [begin, end) (i64, multiples of 16) of a block.
/// Query rows have shape.keyDepth() elements, score rows shape.block f32. The caches are asked for
/// as much at `next`, which is read after the keys.
void callAttentionScores(CpuKernelBuilder &kernel, const AttentionShape &shape, mlir::Value queries,
                         mlir::Value rows, mlir::Value keys, mlir::Value scores, mlir::Value begin,
                         mlir::Value end, mlir::Value next);

/// sums[row] = sums[row] * factors[row] + weights[row] . values, over the tokens [begin, end) (i64,
/// multiples of 16) of a block; those of a latent cache laid out in f32. Weight rows are
/// shape.block * 4 bytes apart, those of sums have shape.valueWidth() f32. `next` as above.
void callAttentionSums(CpuKernelBuilder &kernel, const AttentionShape &shape, mlir::Value weights,
                       mlir::Value rows, mlir::Value values, mlir::Value factors, mlir::Value sums,
                       mlir::Value begin, mlir::Value end, mlir::Value next);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_ATTENTIONPRODUCTS_H
