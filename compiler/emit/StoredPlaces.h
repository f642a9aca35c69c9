// Which stored tensors the matrices of a weight lie in, and where there: names, parts, scales.

#ifndef MOEC_COMPILER_EMIT_STOREDPLACES_H
#define MOEC_COMPILER_EMIT_STOREDPLACES_H

#include "compiler/emit/WeightPlan.h"
#include "frontends/checkpoint/Checkpoint.h"

#include <cstdint>
#include <string>

namespace moec {

/// Whether a source is for one matrix of the stack.
bool isFor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix);

/// The tensor that a pattern of a source names for one matrix of the stack.
std::string tensorName(const PackedWeight &weight, const StoredRows &source,
                       const std::string &pattern, uint64_t matrix);

/// Which part of its tensor a matrix of the stack is; 0 where it has a tensor of its own.
uint64_t partInTensor(const PackedWeight &weight, const StoredRows &source, uint64_t matrix);

/// Elements of a stored row.
uint64_t rowElements(const PackedWeight &weight, const StoredRows &source,
                     const CheckpointTensor &tensor);

/// Where the scales of one matrix of the stack lie in their tensor, which is seen as rows.
struct ScalePlaces {
  uint64_t columns; ///< in each row
  uint64_t first;   ///< row of the first scales of the stored matrix that holds it
  uint64_t skipped; ///< rows of that matrix before its own

  /// `codes` is the tensor with the codes. Where it has several matrices, each has scales of its
  /// own; else all of a layer are parts of one.
  ScalePlaces(const PackedWeight &weight, const StoredRows &source, const CheckpointTensor &codes,
              uint64_t matrix);

  /// The row of scales that one of its stored rows has.
  uint64_t rowOf(uint64_t row) const { return first + (skipped + row) / blockRows; }
  /// The column of scales that a stored column has.
  uint64_t columnOf(uint64_t column) const { return column / blockColumns; }

  uint64_t blockRows, blockColumns; ///< that share a scale; more than there are where all do
};

/// Most numbers in the scales of `rows` rows of a source, however its tensors are cut.
uint64_t mostScales(const PackedWeight &weight, const StoredRows &source, uint64_t rows);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_STOREDPLACES_H
