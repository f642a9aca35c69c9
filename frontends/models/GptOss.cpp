// gpt-oss: attention with a learned score beside the keys, to a window in every other layer, and
// experts with biases behind a clamped activation.

#include "frontends/models/Registry.h"

#include <algorithm>

using namespace mlir;
using namespace moec;

/// What the class takes for a config without rope parameters.
static RopeConfig classRope() {
  RopeConfig rope;
  rope.kind = RopeKind::Yarn;
  rope.factor = 32;
  rope.originalPositions = 4096;
  rope.truncate = false;
  return rope;
}

namespace {

/// The layers that see a window, and those that see all.
struct SeenLayers {
  std::vector<int64_t> window, all;
};

} // namespace

static SeenLayers readSeenLayers(ConfigReader &config, int64_t layers) {
  std::vector<std::string> types =
      readLayerTypes(config, layers, {"sliding_attention", "full_attention"});
  SeenLayers seen;
  for (int64_t layer = 0; layer < layers; ++layer) {
    bool slides =
        types.empty() ? layer % 2 == 0 : types[static_cast<size_t>(layer)] == "sliding_attention";
    (slides ? seen.window : seen.all).push_back(layer);
  }
  return seen;
}

/// Where all experts have a tensor: gate and up row by row in turns, all of them transposed.
static ExpertTensors locateTensors(const DecoderConfig &decoder, const ExpertConfig &experts) {
  const int64_t count = experts.experts, hidden = decoder.hidden, width = experts.width;
  const std::string gateUp = "mlp.experts.gate_up_proj", down = "mlp.experts.down_proj";
  ExpertTensors tensors{.router = "mlp.router.weight"};
  tensors.routerBias = "mlp.router.bias";
  tensors.gate = {.pattern = gateUp,
                  .rowsPerExpert = hidden,
                  .rowStep = 2,
                  .transposed = true,
                  .shape = {count, hidden, 2 * width}};
  tensors.gateBias = {.pattern = gateUp + "_bias",
                      .rowsPerExpert = 2 * width,
                      .rowStep = 2,
                      .shape = {count, 2 * width}};
  tensors.up = tensors.gate;
  tensors.upBias = tensors.gateBias;
  tensors.up.firstRow = tensors.upBias.firstRow = 1;
  tensors.down = {
      .pattern = down, .rowsPerExpert = width, .transposed = true, .shape = {count, width, hidden}};
  tensors.downBias = {.pattern = down + "_bias", .rowsPerExpert = hidden, .shape = {count, hidden}};
  return tensors;
}

Status moec::buildGptOss(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 201088,
                                               .hidden = 2880,
                                               .layers = 36,
                                               .heads = 64,
                                               .keyHeads = 8,
                                               .positions = 131072,
                                               .epsilon = 1e-5,
                                               .theta = 150000,
                                               .headSize = 64,
                                               .rope = classRope()});
  ExpertConfig experts =
      readExperts(config, {.experts = {"num_local_experts", "num_experts"},
                           .picked = {"num_experts_per_tok", "experts_per_token"},
                           .width = "intermediate_size",
                           .defaultExperts = 128,
                           .defaultPicked = 4,
                           .defaultWidth = 2880});
  experts.routing = {.score = moe::ScoreFunction::None, .weighing = moe::Weighing::Softmax};
  experts.activation = {.kind = moe::ActivationKind::Silu,
                        .limit = config.number("swiglu_limit", 7.0, 1e-3, 1e6),
                        .slope = config.number("swiglu_alpha", 1.702, 1e-3, 1e3),
                        .shift = 1};
  SeenLayers seen = readSeenLayers(config, decoder.layers);
  int64_t window = config.integer("sliding_window", 128, 1, kMaxPositions);
  bool bias = config.boolean("attention_bias", true);
  config.ignore({"hidden_act"}); // the class has an activation of its own
  if (Status status = config.finish(); !status.ok())
    return status;

  const ExpertTensors tensors = locateTensors(decoder, experts);
  std::vector<int64_t> layers(seen.window);
  layers.insert(layers.end(), seen.all.begin(), seen.all.end());
  std::sort(layers.begin(), layers.end());
  model.begin(decoder);
  model.setExperts(experts, layers);
  auto build = [&](const AttentionConfig &attention) {
    return [&, attention](LayerBuilder &layer, Value h) {
      Value x = layer.norm(h, "input_layernorm");
      Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth(), bias);
      Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth(), bias);
      Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth(), bias);
      q = layer.rope(q, decoder.heads, "self_attn.q_proj");
      k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj");
      Value a = layer.attention(q, k, v, attention, "self_attn");
      h = layer.add(h, layer.linear(a, "self_attn.o_proj", decoder.hidden, bias), "self_attn");

      x = layer.norm(h, "post_attention_layernorm");
      return layer.add(h, layer.experts(x, experts, tensors), "mlp");
    };
  };
  model.addLayers("window", seen.window, build({.window = window, .sinks = "self_attn.sinks"}));
  model.addLayers("all", seen.all, build({.sinks = "self_attn.sinks"}));
  return {};
}
