// Mixtral: every layer attends in groups, by a sliding window if the config has one, and picks its
// experts by a softmax whose chosen entries are made to sum to one.

#include "frontends/models/Registry.h"

#include <numeric>

using namespace mlir;
using namespace moec;

Status moec::buildMixtral(ConfigReader &config, ModelBuilder &model) {
  DecoderConfig decoder = readDecoder(config, {.vocabulary = 32000,
                                               .hidden = 4096,
                                               .layers = 32,
                                               .heads = 32,
                                               .keyHeads = 8,
                                               .positions = 131072,
                                               .epsilon = 1e-5,
                                               .theta = 1e6});
  int64_t window = config.integer("sliding_window", 0, 1, kMaxPositions); // 0: all
  ExpertConfig experts = readExperts(config, {.experts = {"num_local_experts", "num_experts"},
                                              .picked = "num_experts_per_tok",
                                              .width = "intermediate_size",
                                              .defaultExperts = 8,
                                              .defaultPicked = 2,
                                              .defaultWidth = 14336});
  experts.routing.weighing = moe::Weighing::Renormalize; // this family has no key for it
  if (Status status = config.finish(); !status.ok())
    return status;

  std::vector<int64_t> layers(decoder.layers);
  std::iota(layers.begin(), layers.end(), 0);
  model.begin(decoder);
  model.setExperts(experts, layers);
  model.addLayers("moe", layers, [&](LayerBuilder &layer, Value h) {
    Value x = layer.norm(h, "input_layernorm");
    Value q = layer.linear(x, "self_attn.q_proj", decoder.queryWidth());
    Value k = layer.linear(x, "self_attn.k_proj", decoder.keyWidth());
    Value v = layer.linear(x, "self_attn.v_proj", decoder.keyWidth());
    q = layer.rope(q, decoder.heads, "self_attn.q_proj");
    k = layer.rope(k, decoder.keyHeads, "self_attn.k_proj");
    Value a = layer.attention(q, k, v, {.window = window}, "self_attn");
    h = layer.add(h, layer.linear(a, "self_attn.o_proj", decoder.hidden), "self_attn");

    x = layer.norm(h, "post_attention_layernorm");
    Value y = layer.experts(x, experts,
                            {.router = "block_sparse_moe.gate.weight",
                             .gate = {"block_sparse_moe.experts.{e}.w1.weight"},
                             .up = {"block_sparse_moe.experts.{e}.w3.weight"},
                             .down = {"block_sparse_moe.experts.{e}.w2.weight"}});
    return layer.add(h, y, "block_sparse_moe");
  });
  return {};
}
