// Tiny models with latent attention, whose experts stand in groups.

#include "test/frontends/models/TinyModel.h"

#include <fmt/format.h>

using namespace moec;

static constexpr int64_t kHeads = 4, kRank = 20, kQueryRank = 28, kPlain = 12, kRotated = 16,
                         kValues = 10, kLayers = 3, kExperts = 8, kShared = 2, kWidth = 18,
                         kDenseWidth = 50;

static void addLatentAttention(TinyModel &model, const TinySizes &sizes, const std::string &prefix,
                               bool hasQueryRank) {
  const std::string module = prefix + "self_attn.";
  const int64_t query = kHeads * (kPlain + kRotated), hidden = sizes.hidden;
  model.tensors[prefix + "input_layernorm.weight"] = {{hidden}};
  model.tensors[prefix + "post_attention_layernorm.weight"] = {{hidden}};
  if (hasQueryRank) {
    model.tensors[module + "q_a_proj.weight"] = {{kQueryRank, hidden}};
    model.tensors[module + "q_a_layernorm.weight"] = {{kQueryRank}};
    model.tensors[module + "q_b_proj.weight"] = {{query, kQueryRank}};
  } else {
    model.tensors[module + "q_proj.weight"] = {{query, hidden}};
  }
  model.tensors[module + "kv_a_proj_with_mqa.weight"] = {{kRank + kRotated, hidden}};
  model.tensors[module + "kv_a_layernorm.weight"] = {{kRank}};
  model.tensors[module + "kv_b_proj.weight"] = {{kHeads * (kPlain + kValues), kRank}};
  model.tensors[module + "o_proj.weight"] = {{hidden, kHeads * kValues}};
}

static TinyModel tinyDeepseek(const char *architecture, const char *type, bool isV2) {
  TinySizes sizes;
  TinyModel model{.config = {{"architectures", {architecture}},
                             {"model_type", type},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", kDenseWidth},
                             {"moe_intermediate_size", kWidth},
                             {"num_hidden_layers", kLayers},
                             {"first_k_dense_replace", 1},
                             {"num_attention_heads", kHeads},
                             {"num_key_value_heads", kHeads},
                             {"q_lora_rank", kQueryRank},
                             {"kv_lora_rank", kRank},
                             {"qk_nope_head_dim", kPlain},
                             {"qk_rope_head_dim", kRotated},
                             {"v_head_dim", kValues},
                             {"n_routed_experts", kExperts},
                             {"num_experts_per_tok", 3},
                             {"n_shared_experts", kShared},
                             {"n_group", 4},
                             {"topk_group", 2},
                             {"routed_scaling_factor", 2.5},
                             {"max_position_embeddings", 256}},
                  .tensors = {}};
  if (isV2)
    model.config["q_lora_rank"] = nullptr;
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer), mlp = prefix + "mlp.";
    addLatentAttention(model, sizes, prefix, !isV2);
    if (layer < 1) {
      addMlp(model, mlp, sizes, kDenseWidth);
      continue;
    }
    model.tensors[mlp + "gate.weight"] = {{kExperts, sizes.hidden}};
    if (!isV2)
      model.tensors[mlp + "gate.e_score_correction_bias"] = {{kExperts}};
    addMlp(model, mlp + "shared_experts.", sizes, kShared * kWidth);
    for (int64_t expert = 0; expert < kExperts; ++expert)
      addMlp(model, fmt::format("{}experts.{}.", mlp, expert), sizes, kWidth);
  }
  return model;
}

TinyModel moec::tinyDeepseekV2() {
  TinyModel model = tinyDeepseek("DeepseekV2ForCausalLM", "deepseek_v2", /*isV2=*/true);
  model.config["topk_method"] = "group_limited_greedy";
  return model;
}

TinyModel moec::tinyDeepseekV3() {
  return tinyDeepseek("DeepseekV3ForCausalLM", "deepseek_v3", /*isV2=*/false);
}

TinyModel moec::tinyDeepseekV32() {
  TinyModel model = tinyDeepseek("DeepseekV32ForCausalLM", "deepseek_v32", /*isV2=*/false);
  model.config.update({{"index_n_heads", 6}, {"index_head_dim", 22}, {"index_topk", 8}});
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string module = fmt::format("model.layers.{}.self_attn.indexer.", layer);
    model.tensors[module + "wq_b.weight"] = {{6 * 22, kQueryRank}};
    model.tensors[module + "wk.weight"] = {{22, 64}};
    model.tensors[module + "k_norm.weight"] = {{22}};
    model.tensors[module + "k_norm.bias"] = {{22}};
    model.tensors[module + "weights_proj.weight"] = {{6, 64}};
  }
  return model;
}
