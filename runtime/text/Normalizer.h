// The normalizer of a tokenizer: what happens to text before it is cut into words.

#ifndef MOEC_RUNTIME_TEXT_NORMALIZER_H
#define MOEC_RUNTIME_TEXT_NORMALIZER_H

#include "runtime/text/Steps.h"

#include <string>

namespace moec {

/// Whether `kind` may stand in a normalizer.
bool isNormalizerStep(tokenizer::StepKind kind);

/// Runs `steps` over `text`, which must be UTF-8. `keepsStart` becomes false where the beginning of
/// the text was dropped: Metaspace's scheme `first` asks for it.
Result<std::string> normalize(const PreparedSteps &steps, std::string text, bool &keepsStart);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_NORMALIZER_H
