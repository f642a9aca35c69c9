// Qwen3 MoE: queries and keys are normalised head by head before they are rotated; some layers may
// be dense.

#include "frontends/models/Registry.h"

using namespace mlir;
using namespace moec;

Status moec::buildQwen3Moe(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 151936,
                                               .hidden = 2048,
                                               .layers = 24,
                                               .heads = 32,
                                               .keyHeads = 4,
                                               .positions = 32768,
                                               .epsilon = 1e-6,
                                               .theta = 10000});
  ExpertConfig experts = readExperts(config, {.experts = {"num_experts", "num_local_experts"},
                                              .picked = "num_experts_per_tok",
                                              .width = "moe_intermediate_size",
                                              .defaultExperts = 128,
                                              .defaultPicked = 8,
                                              .defaultWidth = 768,
                                              .leastExperts = 0});
  experts.routing.weighing = readNormalization(config, /*missing=*/false);
  LayerKinds layers = readLayerKinds(config, decoder.layers, experts.experts);
  int64_t denseWidth = config.integer("intermediate_size", 6144, 1, kMaxExtent);
  bool bias = config.boolean("attention_bias", false);
  config.expect("use_sliding_window", false);
  // Published files hold these; the reference looks at none of them.
  config.ignore({"sliding_window", "qkv_bias", "use_qk_norm", "shared_expert_intermediate_size"});
  if (Status status = config.finish(); !status.ok())
    return status;

  auto attend = [&](LayerBuilder &layer, Value h) {
    Value x = layer.norm(h, "input_layernorm");
    Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth(), bias);
    Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth(), bias);
    Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth(), bias);
    q = layer.norm(q, "self_attn.q_norm", decoder.heads);
    k = layer.norm(k, "self_attn.k_norm", decoder.keyHeads);
    q = layer.rope(q, decoder.heads, "self_attn.q_proj");
    k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj");
    Value a = layer.attention(q, k, v, {}, "self_attn");
    return layer.add(h, layer.linear(a, "self_attn.o_proj", decoder.hidden, bias), "self_attn");
  };

  model.begin(decoder);
  model.setExperts(experts, layers.moe);
  model.addLayers("moe", layers.moe, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    Value y = layer.experts(x, experts,
                            {.router = "mlp.gate.weight",
                             .gate = {"mlp.experts.{e}.gate_proj.weight"},
                             .up = {"mlp.experts.{e}.up_proj.weight"},
                             .down = {"mlp.experts.{e}.down_proj.weight"}});
    return layer.add(h, y, "mlp");
  });
  model.addLayers("dense", layers.dense, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    return layer.add(h, layer.gatedMlp(x, "mlp", denseWidth), "mlp");
  });
  return {};
}
