// Floats of 8 bits from and to those of 32, by integer arithmetic.

#ifndef MOEC_COMPILER_LOWERING_SMALLFLOATS_H
#define MOEC_COMPILER_LOWERING_SMALLFLOATS_H

#include "mlir/IR/PatternMatch.h"

namespace moec {

/// Expands arith.extf and arith.truncf of f8E4M3FN, f8E5M2, f8E4M3FNUZ and f8E5M2FNUZ. To nearest
/// with ties to even; what is too large becomes infinite or, where there is no infinity, a NaN. A
/// float of other than 32 bits goes through one of 32.
void populateSmallFloatPatterns(mlir::RewritePatternSet &patterns);

} // namespace moec

#endif // MOEC_COMPILER_LOWERING_SMALLFLOATS_H
