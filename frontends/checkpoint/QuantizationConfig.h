// `quantization_config` of config.json: which codes a checkpoint's weights are stored as.

#ifndef MOEC_FRONTENDS_CHECKPOINT_QUANTIZATIONCONFIG_H
#define MOEC_FRONTENDS_CHECKPOINT_QUANTIZATIONCONFIG_H

#include "frontends/checkpoint/Config.h"

namespace moec {

/// What weights may be stored as beside plain floats; the headers say which of them are.
struct QuantizationConfig {
  enum class Codes {
    None,
    Float8, ///< F8_E4M3 in tensors of the weights' own names
    Mxfp4,  ///< pairs of F4 and their scales, in tensors of U8
  };
  Codes codes = Codes::None;
  /// Of Float8: rows and columns that share a scale, as a weight of outputs x inputs is stored; 0:
  /// all.
  int64_t scaleRows = 0, scaleColumns = 0;
};

/// Reads the key of the methods `fp8`, `compressed-tensors` (of floats of 8 bits) and `mxfp4`. A
/// failure is left in `config`; any other method, key or value that may change the numbers is
/// Code::Unsupported. How a program may quantise activations is no matter of the weights: ours stay
/// floats.
QuantizationConfig readQuantization(ConfigReader &config);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_QUANTIZATIONCONFIG_H
