// Qwen2 MoE: biases on queries, keys and values, and beside the picked experts one that all tokens
// share, behind a gate of its own.

#include "frontends/models/Registry.h"

using namespace mlir;
using namespace moec;

Status moec::buildQwen2Moe(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 151936,
                                               .hidden = 2048,
                                               .layers = 24,
                                               .heads = 16,
                                               .keyHeads = 16,
                                               .positions = 32768,
                                               .epsilon = 1e-6,
                                               .theta = 10000});
  ExpertConfig experts = readExperts(config, {.experts = {"num_experts", "num_local_experts"},
                                              .picked = "num_experts_per_tok",
                                              .width = "moe_intermediate_size",
                                              .defaultExperts = 60,
                                              .defaultPicked = 4,
                                              .defaultWidth = 1408,
                                              .leastExperts = 0});
  experts.routing.weighing = readNormalization(config, /*missing=*/false);
  LayerKinds layers = readLayerKinds(config, decoder.layers, experts.experts);
  int64_t denseWidth = config.integer("intermediate_size", 5632, 1, kMaxExtent);
  int64_t sharedWidth = config.integer("shared_expert_intermediate_size", 5632, 1, kMaxExtent);
  bool bias = config.boolean("qkv_bias", true);
  config.expect("use_sliding_window", false);
  config.ignore({"sliding_window"}); // counts only where it is used
  if (Status status = config.finish(); !status.ok())
    return status;

  auto attend = [&](LayerBuilder &layer, Value h) {
    Value x = layer.norm(h, "input_layernorm");
    Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth(), bias);
    Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth(), bias);
    Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth(), bias);
    q = layer.rope(q, decoder.heads, "self_attn.q_proj");
    k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj");
    Value a = layer.attention(q, k, v, {}, "self_attn");
    return layer.add(h, layer.linear(a, "self_attn.o_proj", decoder.hidden), "self_attn");
  };

  model.begin(decoder);
  model.setExperts(experts, layers.moe);
  model.addLayers("moe", layers.moe, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    Value routed = layer.experts(x, experts,
                                 {.router = "mlp.gate.weight",
                                  .gate = {"mlp.experts.{e}.gate_proj.weight"},
                                  .up = {"mlp.experts.{e}.up_proj.weight"},
                                  .down = {"mlp.experts.{e}.down_proj.weight"}});
    Value shared = layer.gatedMlp(x, "mlp.shared_expert", sharedWidth);
    Value gate = layer.linear(x, "mlp.shared_expert_gate", 1);
    shared = layer.scaleRows(shared, gate, "mlp.shared_expert_gate");
    return layer.add(h, layer.add(routed, shared, "mlp"), "mlp");
  });
  model.addLayers("dense", layers.dense, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    return layer.add(h, layer.gatedMlp(x, "mlp", denseWidth), "mlp");
  });
  return {};
}
