// Multi-head latent attention (DeepSeek V2): keys and values of all heads are made of one short
// vector per token, and a rotated part of keys that all heads share.

#ifndef MOEC_FRONTENDS_MODELS_LATENTATTENTION_H
#define MOEC_FRONTENDS_MODELS_LATENTATTENTION_H

#include "frontends/models/LayerBuilder.h"

#include <optional>

namespace moec {

/// A small attention whose scores say which positions are attended to (DeepSeek V3.2).
struct IndexConfig {
  int64_t heads, size;
  int64_t count; ///< positions that a token sees at most
};

/// Its sizes. A query, and a key, of a head is a part of `plain` entries and one of `rotated`.
struct LatentConfig {
  int64_t heads;
  int64_t queryRank; ///< of the vector that queries are made of; 0: of the layer's input
  int64_t rank;      ///< of that which keys and values are made of
  int64_t plain, rotated, values;
  double scale; ///< of scores
  bool bias;    ///< of the projections from and to the residual stream
  RopePairs pairs;
  std::optional<IndexConfig> index;

  int64_t querySize() const { return plain + rotated; }
};

/// How keys are cached and scored.
enum class LatentForm {
  Absorbed, ///< latent vectors as they are; what makes keys of them is applied to queries instead
  Expanded, ///< keys and values of every head
};

/// Reads the keys of attention, but for `rope_interleave`; sets the heads and the rotated size of
/// `decoder`. A failure is left in `config`.
LatentConfig readLatent(ConfigReader &config, DecoderConfig &decoder);

/// What attention makes of x, the layer's normalised input: T x heads*values, not yet projected.
/// Both forms give the same but for rounding.
mlir::Value latentAttention(LayerBuilder &layer, mlir::Value x, const LatentConfig &config,
                            LatentForm form);

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_LATENTATTENTION_H
