// A normalizer, pre-tokenizer or decoder program with its patterns compiled.

#ifndef MOEC_RUNTIME_TEXT_STEPS_H
#define MOEC_RUNTIME_TEXT_STEPS_H

#include "runtime/text/Pattern.h"
#include "runtime/text/TokenizerTables.h"

#include <optional>
#include <string>
#include <vector>

namespace moec {

/// A step ready to run; see tokenizer::Step for its fields.
struct PreparedStep {
  tokenizer::StepKind kind;
  uint32_t flags = 0;
  std::optional<Pattern> pattern; ///< of Replace and Split
  std::string text;
  uint32_t first = 0;
  uint32_t second = 0;

  bool has(uint32_t flag) const { return (flags & flag) != 0; }
};
using PreparedSteps = std::vector<PreparedStep>;

/// Compiles the patterns of `program`, which is one of `tables`.
Result<PreparedSteps> prepareSteps(std::span<const tokenizer::Step> program,
                                   const tokenizer::Tables &tables);

/// `text` with every match of the pattern of `step` replaced. `keepsStart` becomes false where the
/// beginning of the text was dropped and nothing put in its place.
Result<std::string> replaceMatches(const PreparedStep &step, std::string_view text,
                                   bool &keepsStart);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_STEPS_H
