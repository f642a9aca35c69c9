// Which format each class of weights is to have, as users write it: "experts:int4,head:int8".

#ifndef MOEC_COMPILER_TRANSFORMS_WEIGHTFORMATS_H
#define MOEC_COMPILER_TRANSFORMS_WEIGHTFORMATS_H

#include "compiler/analysis/PackedWeights.h"
#include "compiler/analysis/ProductKinds.h"
#include "runtime/core/Result.h"

#include <map>
#include <string>

namespace moec {

/// Classes that are not named keep their stored type.
using WeightFormats = std::map<WeightClass, QuantFormat>;

/// Reads "CLASS:FORMAT,..."; `all` names every class, and what is named later wins. A usage error
/// names --quantize and lists the classes or the formats.
Result<WeightFormats> parseWeightFormats(llvm::StringRef text);

/// Their names, in a row: "all, experts, ..." and "int8, ...".
std::string weightClassNames();
std::string weightFormatNames();

} // namespace moec

#endif // MOEC_COMPILER_TRANSFORMS_WEIGHTFORMATS_H
