// Makes small integers and floats of weights: the formats of runtime/core/Quantization.h.

#ifndef MOEC_COMPILER_EMIT_QUANTIZER_H
#define MOEC_COMPILER_EMIT_QUANTIZER_H

#include "runtime/core/Quantization.h"

#include <cstddef>
#include <cstdint>

namespace moec {

/// One row of K elements, quantised: what a panel holds of it, with the parts each in a row.
struct QuantizedRow {
  uint8_t *words;  ///< quantRowCodeBytes
  uint8_t *scales; ///< quantGroups x quantScaleBytes; of rows that share them, the same place
  uint8_t *zeros;  ///< quantGroups, where the format has zeros
};

/// Quantises `columns` elements. Of each group, scale and zero are those that leave the least sum
/// of squared errors, as far as a search finds them; codes are then the nearest ones. A group with
/// a NaN or an infinity has such a scale.
void quantizeRow(QuantFormat format, const float *row, size_t columns, const QuantizedRow &out);

/// Lays `width` quantised rows (a multiple of 16) out as a panel of width * quantDepthBytes at
/// `out`. `words` is room for width * quantRowCodeBytes.
void layOutQuantizedPanel(QuantFormat format, size_t columns, const QuantizedRow *rows,
                          size_t width, uint8_t *words, uint8_t *out);

/// Lays kBandRows quantised rows out as a band (BandLayout.h) of bandBytes at `out`.
void layOutBand(QuantFormat format, size_t columns, const QuantizedRow *rows, uint8_t *out);

} // namespace moec

#endif // MOEC_COMPILER_EMIT_QUANTIZER_H
