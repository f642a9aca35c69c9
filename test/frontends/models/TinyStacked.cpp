// Tiny models whose experts of a layer are one tensor, stored transposed.

#include "test/frontends/models/TinyModel.h"

using namespace moec;

TinyModel moec::tinyLlama4() {
  TinySizes sizes{.headSize = 16};
  TinyModel model{.config = {{"architectures", {"Llama4ForCausalLM"}},
                             {"model_type", "llama4_text"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 48},
                             {"intermediate_size_mlp", 80},
                             {"num_hidden_layers", 4},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"head_dim", sizes.headSize},
                             {"num_local_experts", 6},
                             {"num_experts_per_tok", 2},
                             {"interleave_moe_layer_step", 2},
                             {"no_rope_layers", {1, 1, 1, 0}},
                             {"attention_chunk_size", 8},
                             {"floor_scale", 4},
                             {"attn_scale", 0.25}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 4; ++layer) {
    const std::string block = addAttention(model, sizes, layer) + "feed_forward.";
    if (layer % 2 == 0) {
      addMlp(model, block, sizes, 80);
      continue;
    }
    model.tensors[block + "router.weight"] = {{6, sizes.hidden}};
    model.tensors[block + "experts.gate_up_proj"] = {{6, sizes.hidden, 2 * 48}};
    model.tensors[block + "experts.down_proj"] = {{6, 48, sizes.hidden}};
    addMlp(model, block + "shared_expert.", sizes, 48);
  }
  return model;
}

TinyModel moec::tinyGptOss() {
  TinySizes sizes{.headSize = 32};
  TinyModel model{.config = {{"architectures", {"GptOssForCausalLM"}},
                             {"model_type", "gpt_oss"},
                             {"vocab_size", sizes.vocabulary},
                             {"hidden_size", sizes.hidden},
                             {"intermediate_size", 96},
                             {"num_hidden_layers", 3},
                             {"num_attention_heads", sizes.heads},
                             {"num_key_value_heads", sizes.keyHeads},
                             {"head_dim", sizes.headSize},
                             {"num_local_experts", 6},
                             {"num_experts_per_tok", 3},
                             {"sliding_window", 8}},
                  .tensors = {}};
  addFrame(model, sizes);
  for (int64_t layer = 0; layer < 3; ++layer) {
    const std::string prefix = addAttention(model, sizes, layer);
    for (const char *name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      const std::string module = prefix + "self_attn." + name;
      model.tensors[module + ".bias"] = {{model.tensors[module + ".weight"].shape[0]}};
    }
    model.tensors[prefix + "self_attn.sinks"] = {{sizes.heads}};
    model.tensors[prefix + "mlp.router.weight"] = {{6, sizes.hidden}};
    model.tensors[prefix + "mlp.router.bias"] = {{6}};
    const std::string experts = prefix + "mlp.experts.";
    model.tensors[experts + "gate_up_proj"] = {{6, sizes.hidden, 2 * 96}};
    model.tensors[experts + "gate_up_proj_bias"] = {{6, 2 * 96}};
    model.tensors[experts + "down_proj"] = {{6, 96, sizes.hidden}};
    model.tensors[experts + "down_proj_bias"] = {{6, sizes.hidden}};
  }
  return model;
}
