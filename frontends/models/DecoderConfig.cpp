// Reads what all decoders with experts share, and checks what one key demands of another.

#include "frontends/models/DecoderConfig.h"

#include <fmt/format.h>

#include <algorithm>

using namespace moec;

static constexpr int64_t kMaxLayers = 4096;
static constexpr int64_t kMaxExperts = 65536;
static constexpr int64_t kMaxHeads = 4096;
static constexpr int64_t kMaxHeadSize = 4096;
/// Rope types whose frequencies depend on nothing but the config.
static RopeSupport ropeSupport(const DecoderDefaults &defaults) {
  return {.kinds = {RopeKind::Default, RopeKind::Linear, RopeKind::Yarn, RopeKind::Llama3},
          .partial = false,
          .missing = defaults.rope};
}

DecoderConfig moec::readTrunk(ConfigReader &config, const DecoderDefaults &defaults) {
  DecoderConfig decoder;
  decoder.vocabulary = config.integer("vocab_size", defaults.vocabulary, 1, int64_t(1) << 24);
  decoder.hidden = config.integer("hidden_size", defaults.hidden, 1, kMaxExtent);
  decoder.layers = config.integer("num_hidden_layers", defaults.layers, 1, kMaxLayers);
  decoder.positions =
      config.integer("max_position_embeddings", defaults.positions, 1, kMaxPositions);
  decoder.epsilon = config.number("rms_norm_eps", defaults.epsilon, 0.0, 1.0);
  decoder.tied = config.boolean("tie_word_embeddings", false);
  decoder.rope = readRope(config, defaults.theta, ropeSupport(defaults));
  return decoder;
}

DecoderConfig moec::readDecoder(ConfigReader &config, const DecoderDefaults &defaults) {
  DecoderConfig decoder = readTrunk(config, defaults);
  decoder.heads = config.integer("num_attention_heads", defaults.heads, 1, kMaxHeads);
  bool oneEach = config.isNull("num_key_value_heads");
  decoder.keyHeads = config.integer("num_key_value_heads",
                                    oneEach ? decoder.heads : defaults.keyHeads, 1, kMaxHeads);
  if (decoder.heads % decoder.keyHeads != 0)
    config.refuse(
        Code::Model, "num_attention_heads",
        fmt::format("wanted a multiple of `num_key_value_heads`, which is {}", decoder.keyHeads));

  bool given = config.has("head_dim") || defaults.headSize > 0;
  if (!given && decoder.hidden % decoder.heads != 0)
    config.refuse(
        Code::Model, "hidden_size",
        fmt::format("wanted a multiple of `num_attention_heads`, which is {}, where there "
                    "is no `head_dim`",
                    decoder.heads));
  decoder.headSize =
      config.integer("head_dim",
                     defaults.headSize > 0 ? defaults.headSize
                                           : std::max<int64_t>(decoder.hidden / decoder.heads, 1),
                     1, kMaxHeadSize);
  decoder.ropeSize = decoder.headSize;
  if (decoder.headSize % 2 != 0)
    config.refuse(Code::Model, given ? "head_dim" : "hidden_size",
                  fmt::format("which gives heads of {} entries; rope wants an even number",
                              decoder.headSize));
  return decoder;
}

ExpertConfig moec::readExperts(ConfigReader &config, const ExpertKeys &keys) {
  ExpertConfig experts;
  experts.experts =
      config.integer(keys.experts, keys.defaultExperts, keys.leastExperts, kMaxExperts);
  experts.width = config.integer(keys.width, keys.defaultWidth, 1, kMaxExtent);
  experts.picked = config.integer(keys.picked, keys.defaultPicked, 1, kMaxExperts);
  if (experts.experts > 0 && experts.picked > experts.experts)
    config.refuse(
        Code::Model, keys.picked.names.front(),
        fmt::format("wanted no more than there are experts, which is {}", experts.experts));
  return experts;
}

moe::Weighing moec::readNormalization(ConfigReader &config, bool missing) {
  return config.boolean("norm_topk_prob", missing) ? moe::Weighing::Renormalize
                                                   : moe::Weighing::AsIs;
}

std::vector<std::string> moec::readLayerTypes(ConfigReader &config, int64_t layers,
                                              std::initializer_list<std::string_view> known) {
  std::vector<std::string> types = config.strings("layer_types");
  if (!types.empty() && types.size() != static_cast<size_t>(layers))
    config.refuse(Code::Model, "layer_types",
                  fmt::format("wanted one for each of {} layers", layers));
  for (const std::string &type : types)
    if (std::find(known.begin(), known.end(), type) == known.end())
      config.refuse(Code::Unsupported, "layer_types",
                    fmt::format("and {} layers are not supported for this architecture",
                                nlohmann::json(type).dump()));
  return config.status().ok() ? types : std::vector<std::string>();
}

LayerKinds moec::readLayerKinds(ConfigReader &config, int64_t layers, int64_t experts) {
  int64_t step = config.integer("decoder_sparse_step", 1, 1, kMaxLayers);
  std::vector<int64_t> listed = config.integers("mlp_only_layers", 0, kMaxLayers);
  std::sort(listed.begin(), listed.end());
  LayerKinds kinds;
  for (int64_t layer = 0; layer < layers; ++layer) {
    bool isMoe = experts > 0 && (layer + 1) % step == 0 &&
                 !std::binary_search(listed.begin(), listed.end(), layer);
    (isMoe ? kinds.moe : kinds.dense).push_back(layer);
  }
  return kinds;
}
