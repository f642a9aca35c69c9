// The numbers that all decoders with experts share, read from config.json and checked.

#ifndef MOEC_FRONTENDS_MODELS_DECODERCONFIG_H
#define MOEC_FRONTENDS_MODELS_DECODERCONFIG_H

#include "frontends/checkpoint/Config.h"
#include "frontends/checkpoint/RopeConfig.h"

namespace moec {

/// The widest row. Keeps the size of all experts of a layer in 64 bits.
inline constexpr int64_t kMaxExtent = int64_t(1) << 20;
/// Positions are 32-bit numbers in the program.
inline constexpr int64_t kMaxPositions = int64_t(1) << 30;

/// What a key that config.json lacks means: the defaults of an architecture's class.
struct DecoderDefaults {
  int64_t vocabulary, hidden, layers, heads, keyHeads, positions;
  double epsilon, theta;
};

/// What surrounds the experts. Letters as in the papers: V vocabulary, H hidden, L layers.
struct DecoderConfig {
  int64_t vocabulary, hidden, layers;
  int64_t heads, keyHeads, headSize; ///< of the queries, of keys and values, and both's size
  int64_t positions;                 ///< most that the model is made for
  double epsilon;                    ///< of all norms
  RopeConfig rope;
  bool tied;          ///< the embedding is also the output's weight
  int64_t window = 0; ///< positions that a row sees, itself included; 0: all

  int64_t queryWidth() const { return heads * headSize; }
  int64_t keyWidth() const { return keyHeads * headSize; }
};

/// Reads the keys that every such architecture has; a failure is left in `config`.
DecoderConfig readDecoder(ConfigReader &config, const DecoderDefaults &defaults);

/// E experts of width F, of which each token picks K.
struct ExpertConfig {
  int64_t experts, picked, width;
  bool renormalize; ///< the weights of a token's picks are made to sum to one
};

/// Spelling and defaults of the experts' keys.
struct ExpertKeys {
  ConfigKey experts, picked, width;
  int64_t defaultExperts, defaultPicked, defaultWidth;
  int64_t leastExperts = 1; ///< 0 where a model without experts is one of this architecture
};

/// Reads the experts' sizes, and `norm_topk_prob`, which is false where it is absent.
ExpertConfig readExperts(ConfigReader &config, const ExpertKeys &keys);

/// The layers of a model by what follows their attention.
struct LayerKinds {
  std::vector<int64_t> moe, dense;
};

/// Layer i has experts if there are any, (i + 1) is a multiple of `decoder_sparse_step`, and
/// `mlp_only_layers` does not list it.
LayerKinds readLayerKinds(ConfigReader &config, int64_t layers, int64_t experts);

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_DECODERCONFIG_H
