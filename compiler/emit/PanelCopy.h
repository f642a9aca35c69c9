// The packer's inner loops: stored elements to packed elements, and rows to panels.

#ifndef MOEC_COMPILER_EMIT_PANELCOPY_H
#define MOEC_COMPILER_EMIT_PANELCOPY_H

#include "compiler/emit/WeightPlan.h"

#include <cstddef>
#include <cstdint>

// x86's baseline has four lanes of 32 bits; where the CPU has more, loops marked so are built once
// more for them.
#if defined(__x86_64__) && defined(__clang__)
#define MOEC_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define MOEC_WIDE
#endif

namespace moec {

/// What conversions lost.
struct ConversionLoss {
  bool inexact = false;  ///< some element was rounded
  bool overflow = false; ///< some finite element became infinite

  void operator|=(const ConversionLoss &other) {
    inexact |= other.inexact;
    overflow |= other.overflow;
  }
};

/// Whether stored elements are packed elements as they are.
constexpr bool isSameElement(DataType stored, PackedElement element) {
  return (stored == DataType::F32 && element == PackedElement::F32) ||
         (stored == DataType::BF16 && element == PackedElement::BF16) ||
         (stored == DataType::F16 && element == PackedElement::F16) ||
         (stored == DataType::U8 && element == PackedElement::Byte);
}

/// Converts `count` elements, to nearest with ties to even; NaNs stay NaNs. Neither pointer need be
/// aligned.
ConversionLoss convertElements(const uint8_t *from, DataType stored, uint8_t *to,
                               PackedElement element, size_t count);

/// Writes out[word][row] = rows[row][word] for words of 32 bits: `width` row pointers (a multiple
/// of 16), none of which need be aligned.
void transposeWords(const uint8_t *const *rows, size_t width, size_t words, uint8_t *out);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_PANELCOPY_H
