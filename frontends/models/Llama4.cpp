// Llama 4, its language model: rotated layers that see a chunk between layers without rotation that
// see all, and experts whose weight multiplies what they get, beside one that all tokens share.

#include "frontends/models/Registry.h"

#include <fmt/format.h>

#include <map>

using namespace mlir;
using namespace moec;

namespace {

/// What the layers of a kind have in common.
struct LayerTraits {
  bool isMoe, isRotated, isChunked;

  auto operator<=>(const LayerTraits &) const = default;
  std::string name() const {
    return fmt::format("{}_{}{}", isMoe ? "moe" : "dense", isRotated ? "rope" : "nope",
                       isChunked == isRotated ? ""
                       : isChunked            ? "_chunk"
                                              : "_all");
  }
};

} // namespace

/// `moe_layers`, or every `interleave_moe_layer_step`-th layer.
static std::vector<bool> readMoeLayers(ConfigReader &config, int64_t layers) {
  std::vector<bool> isMoe(static_cast<size_t>(layers));
  bool isListed = config.has("moe_layers");
  int64_t step = config.integer("interleave_moe_layer_step", 1, 1, layers);
  for (int64_t layer : config.integers("moe_layers", 0, layers - 1))
    isMoe[static_cast<size_t>(layer)] = true;
  for (int64_t layer = step - 1; !isListed && layer < layers; layer += step)
    isMoe[static_cast<size_t>(layer)] = true;
  return isMoe;
}

/// `no_rope_layers`, which has a 1 for layers that are rotated, or all but every
/// `no_rope_layer_interval`-th.
static std::vector<bool> readRotatedLayers(ConfigReader &config, int64_t layers) {
  std::vector<int64_t> flags = config.integers("no_rope_layers", 0, 1);
  int64_t interval = config.integer("no_rope_layer_interval", 4, 1, kMaxPositions);
  if (!flags.empty() && flags.size() != static_cast<size_t>(layers))
    config.refuse(Code::Model, "no_rope_layers",
                  fmt::format("wanted one flag for each of {} layers", layers));
  std::vector<bool> isRotated(static_cast<size_t>(layers));
  for (size_t layer = 0; layer < isRotated.size(); ++layer)
    isRotated[layer] = flags.size() == isRotated.size()
                           ? flags[layer] == 1
                           : (static_cast<int64_t>(layer) + 1) % interval != 0;
  return isRotated;
}

/// A flag that early files write as a number.
static bool readFlag(ConfigReader &config, const char *key, bool missing) {
  const nlohmann::json *value = config.source().find(key);
  if (value && value->is_number_integer())
    return config.integer(key, missing, 0, 1024) != 0;
  return config.boolean(key, missing);
}

Status moec::buildLlama4(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 202048,
                                               .hidden = 5120,
                                               .layers = 48,
                                               .heads = 40,
                                               .keyHeads = 8,
                                               .positions = 131072,
                                               .epsilon = 1e-5,
                                               .theta = 500000,
                                               .headSize = 128});
  ExpertConfig experts = readExperts(config, {.experts = {"num_local_experts", "num_experts"},
                                              .picked = "num_experts_per_tok",
                                              .width = "intermediate_size",
                                              .defaultExperts = 16,
                                              .defaultPicked = 1,
                                              .defaultWidth = 8192});
  experts.routing = {
      .score = moe::ScoreFunction::None, .weighing = moe::Weighing::Sigmoid, .weighInput = true};
  int64_t denseWidth = config.integer("intermediate_size_mlp", 16384, 1, kMaxExtent);
  bool hasChunks = !config.isNull("attention_chunk_size");
  int64_t chunk = config.integer("attention_chunk_size", 8192, 1, kMaxPositions);
  bool hasNorm = config.boolean("use_qk_norm", true);
  bool bias = config.boolean("attention_bias", false);
  bool hasTemperature = readFlag(config, "attn_temperature_tuning", true);
  double scale = config.number("attn_scale", 0.1, 0, 1e3);
  int64_t interval = config.integer("floor_scale", 8192, 1, kMaxPositions);
  std::vector<bool> isMoe = readMoeLayers(config, decoder.layers),
                    isRotated = readRotatedLayers(config, decoder.layers);
  std::vector<std::string> types =
      readLayerTypes(config, decoder.layers, {"chunked_attention", "full_attention"});
  if (Status status = config.finish(); !status.ok())
    return status;

  std::map<LayerTraits, std::vector<int64_t>> kinds;
  std::vector<int64_t> moeLayers;
  for (size_t layer = 0; layer < isMoe.size(); ++layer) {
    bool sees = types.empty() ? isRotated[layer] : types[layer] == "chunked_attention";
    kinds[{isMoe[layer], isRotated[layer], sees && hasChunks}].push_back(
        static_cast<int64_t>(layer));
    if (isMoe[layer])
      moeLayers.push_back(static_cast<int64_t>(layer));
  }
  const int64_t count = experts.experts, hidden = decoder.hidden, width = experts.width;
  const TensorRows gate{.pattern = "feed_forward.experts.gate_up_proj",
                        .rowsPerExpert = hidden,
                        .transposed = true,
                        .shape = {count, hidden, 2 * width}};
  ExpertTensors tensors{.router = "feed_forward.router.weight", .gate = gate, .up = gate};
  tensors.up.firstRow = width;
  tensors.down = {.pattern = "feed_forward.experts.down_proj",
                  .rowsPerExpert = width,
                  .transposed = true,
                  .shape = {count, width, hidden}};

  if (config.source().outer().contains("text_config"))
    decoder.prefix = "language_model.";
  model.begin(decoder);
  model.skip({"vision_model.*", "multi_modal_projector.*"}, "what reads images");
  model.setExperts(experts, moeLayers);
  for (const auto &[kind, layers] : kinds)
    model.addLayers(kind.name(), layers, [&](LayerBuilder &layer, Value h) {
      Value x = layer.norm(h, "input_layernorm");
      Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth(), bias);
      Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth(), bias);
      Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth(), bias);
      if (kind.isRotated) {
        q = layer.rope(q, decoder.heads, "self_attn.q_proj", RopePairs::Neighbours);
        k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj", RopePairs::Neighbours);
        if (hasNorm) {
          q = layer.plainNorm(q, decoder.heads, "self_attn.q_proj");
          k = layer.plainNorm(k, decoder.keyHeads, "self_attn.k_proj");
        }
      } else if (hasTemperature) {
        q = layer.temperature(q, interval, scale, "self_attn.q_proj");
      }
      Value a = layer.attention(q, k, v, {.chunk = kind.isChunked ? chunk : 0}, "self_attn");
      h = layer.add(h, layer.linear(a, "self_attn.o_proj", hidden, bias), "self_attn");

      x = layer.norm(h, "post_attention_layernorm");
      if (!kind.isMoe)
        return layer.add(h, layer.gatedMlp(x, "feed_forward", denseWidth), "feed_forward");
      Value routed = layer.experts(x, experts, tensors);
      Value shared = layer.gatedMlp(x, "feed_forward.shared_expert", width);
      return layer.add(h, layer.add(routed, shared, "feed_forward"), "feed_forward");
    });
  return {};
}
