// OLMoE: queries and keys are normalised as whole rows, and all three projections may be clipped.

#include "frontends/models/Registry.h"

#include <numeric>

using namespace mlir;
using namespace moec;

Status moec::buildOlmoe(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 50304,
                                               .hidden = 2048,
                                               .layers = 16,
                                               .heads = 16,
                                               .keyHeads = 16,
                                               .positions = 4096,
                                               .epsilon = 1e-5,
                                               .theta = 10000});
  ExpertConfig experts = readExperts(config, {.experts = {"num_experts", "num_local_experts"},
                                              .picked = "num_experts_per_tok",
                                              .width = "intermediate_size",
                                              .defaultExperts = 64,
                                              .defaultPicked = 8,
                                              .defaultWidth = 2048});
  experts.routing.weighing = readNormalization(config, /*missing=*/false);
  bool bias = config.boolean("attention_bias", false);
  double limit = config.number("clip_qkv", 0.0, 1e-6, 1e6); // 0 where it is absent
  if (decoder.queryWidth() != decoder.hidden)
    config.refuse(Code::Unsupported, "head_dim",
                  "wanted `hidden_size` divided by `num_attention_heads` for this architecture");
  if (Status status = config.finish(); !status.ok())
    return status;

  std::vector<int64_t> layers(decoder.layers);
  std::iota(layers.begin(), layers.end(), 0);
  model.begin(decoder);
  model.setExperts(experts, layers);
  model.addLayers("moe", layers, [&](LayerBuilder &layer, Value h) {
    Value x = layer.norm(h, "input_layernorm");
    Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth(), bias);
    Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth(), bias);
    Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth(), bias);
    q = layer.norm(q, "self_attn.q_norm");
    k = layer.norm(k, "self_attn.k_norm");
    if (limit > 0) {
      q = layer.clamp(q, limit, "self_attn.q_proj");
      k = layer.clamp(k, limit, "self_attn.k_proj");
      v = layer.clamp(v, limit, "self_attn.v_proj");
    }
    q = layer.rope(q, decoder.heads, "self_attn.q_proj");
    k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj");
    Value a = layer.attention(q, k, v, {}, "self_attn");
    h = layer.add(h, layer.linear(a, "self_attn.o_proj", decoder.hidden, bias), "self_attn");

    x = layer.norm(h, "post_attention_layernorm");
    Value y = layer.experts(x, experts,
                            {.router = "mlp.gate.weight",
                             .gate = {"mlp.experts.{e}.gate_proj.weight"},
                             .up = {"mlp.experts.{e}.up_proj.weight"},
                             .down = {"mlp.experts.{e}.down_proj.weight"}});
    return layer.add(h, y, "mlp");
  });
  return {};
}
