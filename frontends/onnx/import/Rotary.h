// The rotation of pairs of a head's elements.

#ifndef MOEC_FRONTENDS_ONNX_IMPORT_ROTARY_H
#define MOEC_FRONTENDS_ONNX_IMPORT_ROTARY_H

#include "frontends/onnx/import/NodeImport.h"

namespace moec {

/// The first `rotated` of the last dimension by angles of which `cosines` and `sines` broadcast to
/// half as many; pairs are neighbours where it is interleaved, else half of them apart.
GraphValue rotate(TensorBuilder &build, const GraphValue &value, const GraphValue &cosines,
                  const GraphValue &sines, int64_t rotated, bool isInterleaved);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_IMPORT_ROTARY_H
