// The data of a compiled program, as an object file: manifest, tokenizer, template, generation
// defaults, and room for embedded weights.

#ifndef MOEC_COMPILER_EMIT_PROGRAMDATA_H
#define MOEC_COMPILER_EMIT_PROGRAMDATA_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace moec {

/// What becomes the `moec_program_*` data of runtime/core/Step.h. The views must outlive the
/// call that reads them.
struct ProgramData {
  std::string_view manifest;
  std::string_view tokenizer;
  std::string_view chatTemplate;
  std::string_view generation;
  uint64_t embeddedWeightBytes = 0; ///< of a packed file; 0: the weights are elsewhere
};

/// The section that `embeddedWeightBytes` reserves. The linkers put a section of this name and
/// kind behind all others, so that no reference has to reach across the weights.
inline constexpr std::string_view embeddedWeightsSection = ".lrodata";

/// A relocatable ELF file for the machine of `triple` (x86_64 or aarch64). Where weights are
/// embedded it holds one page in their place: `openEmbeddedWeights` makes the room once the
/// program is linked, so that the weights are written once and never pass through a linker.
Result<std::string> makeProgramDataObject(const ProgramData &data, std::string_view triple);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PROGRAMDATA_H
