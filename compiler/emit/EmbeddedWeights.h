// Room for the weights inside a linked program.

#ifndef MOEC_COMPILER_EMIT_EMBEDDEDWEIGHTS_H
#define MOEC_COMPILER_EMIT_EMBEDDEDWEIGHTS_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <string>

namespace moec {

/// Grows the weights' section of `path`, an ELF file linked from a `makeProgramDataObject` with
/// embedded weights, to `bytes`. Gives the file offset, a multiple of the page size, at which the
/// weights are then to be written; until that, the room is a hole in the file.
Result<uint64_t> openEmbeddedWeights(const std::string &path, uint64_t bytes);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_EMBEDDEDWEIGHTS_H
