// The numbers that all decoders with experts share, read from config.json and checked.

#ifndef MOEC_FRONTENDS_MODELS_DECODERCONFIG_H
#define MOEC_FRONTENDS_MODELS_DECODERCONFIG_H

#include "dialects/moe/MoeDialect.h"
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
  int64_t headSize = 0;                ///< 0: `hidden` divided among the heads
  std::optional<RopeConfig> rope = {}; ///< where it has rope parameters of its own
};

/// What surrounds the experts. Letters as in the papers: V vocabulary, H hidden, L layers.
struct DecoderConfig {
  int64_t vocabulary, hidden, layers;
  int64_t heads, keyHeads, headSize; ///< of the queries, of keys and values, and both's size
  int64_t ropeSize;                  ///< entries of a head that are rotated
  int64_t positions;                 ///< most that the model is made for
  double epsilon;                    ///< of all norms
  RopeConfig rope;
  bool tied;          ///< the embedding is also the output's weight
  std::string prefix; ///< of the names of all tensors

  int64_t queryWidth() const { return heads * headSize; }
  int64_t keyWidth() const { return keyHeads * headSize; }
};

/// Reads the keys that every such architecture has, but for those of attention; a failure is left
/// in `config`, here and below.
DecoderConfig readTrunk(ConfigReader &config, const DecoderDefaults &defaults);
/// Those and the heads of attention, whose keys and values are of one size.
DecoderConfig readDecoder(ConfigReader &config, const DecoderDefaults &defaults);

/// How a token chooses its experts, and what these weigh; see moe.score and moe.route.
struct RoutingConfig {
  moe::ScoreFunction score = moe::ScoreFunction::Softmax;
  moe::Weighing weighing = moe::Weighing::AsIs;
  double epsilon = 0, scale = 1;
  int64_t groups = 1, keptGroups = 1;
  moe::GroupValue groupValue = moe::GroupValue::Best;
  bool weighInput = false; ///< the weight multiplies what the expert gets, not what it gives
};

/// What joins gate and up; see moe.activation, which has none of the numbers that are 0.
struct ActivationConfig {
  moe::ActivationKind kind = moe::ActivationKind::Silu;
  double limit = 0, slope = 0, shift = 0;
};

/// E experts of width F, of which each token picks K.
struct ExpertConfig {
  int64_t experts, picked, width;
  RoutingConfig routing = {};
  ActivationConfig activation = {};
};

/// Spelling and defaults of the experts' keys.
struct ExpertKeys {
  ConfigKey experts, picked, width;
  int64_t defaultExperts;
  std::optional<int64_t> defaultPicked; ///< none where the key has to be there
  int64_t defaultWidth;
  int64_t leastExperts = 1; ///< 0 where a model without experts is one of this architecture
};

/// Reads the experts' sizes.
ExpertConfig readExperts(ConfigReader &config, const ExpertKeys &keys);

/// Whether `norm_topk_prob` has the weights of a token's picks made to sum to one.
moe::Weighing readNormalization(ConfigReader &config, bool missing);

/// The layers of a model by what follows their attention.
struct LayerKinds {
  std::vector<int64_t> moe, dense;
};

/// `layer_types`, one for each layer, each one of `known`; empty where it is absent.
std::vector<std::string> readLayerTypes(ConfigReader &config, int64_t layers,
                                        std::initializer_list<std::string_view> known);

/// Layer i has experts if there are any, (i + 1) is a multiple of `decoder_sparse_step`, and
/// `mlp_only_layers` does not list it.
LayerKinds readLayerKinds(ConfigReader &config, int64_t layers, int64_t experts);

} // namespace moec

#endif // MOEC_FRONTENDS_MODELS_DECODERCONFIG_H
