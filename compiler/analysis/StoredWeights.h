// How the checkpoint holds weights: as codes with scales, and what becomes of those; or so that
// they cannot be used where they lie.

#ifndef MOEC_COMPILER_ANALYSIS_STOREDWEIGHTS_H
#define MOEC_COMPILER_ANALYSIS_STOREDWEIGHTS_H

#include "compiler/analysis/PackedWeights.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace moec {

/// Whether a weight is stored as codes of 8 or 4 bits.
bool isStoredAsCodes(lm::WeightOp weight);

/// The format that holds a weight's stored codes and scales as they are; none where it is stored as
/// floats, or where a group of the format's columns would need several scales.
std::optional<QuantFormat> storedFormatOf(lm::WeightOp weight);

/// A way in which weights are stored, and what is stored so.
struct StoredKind {
  std::string name;  ///< "bf16", "mxfp4", "fp8 by blocks of 128 x 128"
  int64_t bytes = 0; ///< of numbers, with the scales of mxfp4 but not those of fp8, which are few
};

/// How the weights of an imported module are stored, the most bytes first.
std::vector<StoredKind> describeStored(mlir::ModuleOp module);

/// What keeps a weight from being used where the checkpoint's files have it, as in "NAME is stored
/// transposed"; empty where nothing does.
std::string whyNotMapped(lm::WeightOp weight);
/// The words that refuse to map weights for such a reason, with what to do instead.
std::string refusalToMap(llvm::StringRef why);

/// A line for the user about stored codes of a packed module that are not used as they are: widened
/// to floats, or quantised anew.
std::vector<std::string> describeChangedCodes(mlir::ModuleOp module);

} // namespace moec

#endif // MOEC_COMPILER_ANALYSIS_STOREDWEIGHTS_H
