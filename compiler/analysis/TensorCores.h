// Which products a GPU's tensor cores make.

#ifndef MOEC_COMPILER_ANALYSIS_TENSORCORES_H
#define MOEC_COMPILER_ANALYSIS_TENSORCORES_H

#include "compiler/analysis/WarpTiles.h"
#include "dialects/lm/LmDialect.h"

#include <optional>

namespace moec {

/// The elements of a weight (a handle made by lm.load_weight) as the program holds them.
mlir::Type packedElementOf(mlir::Value weight);

/// Of how many bytes the rows of a buffer begin at multiples, up to 16; 0 where that is not known.
int64_t rowAlignment(mlir::MemRefType rows);

/// What tensor cores multiply `rows` (a buffer) with `weight` as: rows of bf16 with matrices of
/// bf16 or of small floats, rows of integers with matrices of these; none where it is something
/// else, or they lie so that no whole copies can be made of them.
std::optional<MmaKind> productKindOf(mlir::Value rows, mlir::Value weight);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_TENSORCORES_H
