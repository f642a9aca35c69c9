"""DeepSeek V2, V3, V3.2 and Kimi K2: configs and tensors, named and shaped as published."""

YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
        "mscale": 1.0, "mscale_all_dim": 1.0}
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
INDEXER = {"architectures": ["DeepseekV32ForCausalLM"], "model_type": "deepseek_v32", "index_n_heads": 64,
           "index_head_dim": 128, "index_topk": 2048}


def v3(**more):
    """DeepSeek-V3, with `more` in place of what it has."""
    return {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "attention_bias": False,
            "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3,
            "hidden_act": "silu", "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432,
            "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 2048, "moe_layer_freq": 1,
            "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True,
            "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
            "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
            "quantization_config": FP8, "rms_norm_eps": 1e-6, "rope_scaling": YARN, "rope_theta": 10000,
            "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False, "topk_group": 4,
            "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "use_cache": True, "v_head_dim": 128,
            "vocab_size": 129280} | more


def v32(**more):
    return v3(**INDEXER | {"quantization_config": FP8 | {"scale_fmt": "ue8m0"}} | more)


def kimi_k2(**more):
    return v3(**{"model_type": "kimi_k2", "first_k_dense_replace": 1, "num_attention_heads": 64, "num_key_value_heads": 64,
                 "n_routed_experts": 384, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.827,
                 "rope_scaling": YARN | {"factor": 32, "beta_fast": 1.0, "beta_slow": 1.0}, "rope_theta": 50000.0,
                 "max_position_embeddings": 131072, "vocab_size": 163840, "num_nextn_predict_layers": 0, "bos_token_id": 163584,
                 "eos_token_id": 163585} | more)


def v2_lite(**more):
    config = v3(**{"architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "aux_loss_alpha": 0.001,
                   "seq_aux": True, "pretraining_tp": 1, "bos_token_id": 100000, "eos_token_id": 100001,
                   "first_k_dense_replace": 1, "hidden_size": 2048, "intermediate_size": 10944,
                   "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
                   "num_key_value_heads": 16, "q_lora_rank": None, "n_routed_experts": 64, "n_shared_experts": 2,
                   "num_experts_per_tok": 6, "n_group": 1, "topk_group": 1, "topk_method": "greedy",
                   "scoring_func": "softmax", "norm_topk_prob": False, "routed_scaling_factor": 1.0, "vocab_size": 102400,
                   "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707}} | more)
    return {key: value for key, value in config.items() if key not in ("quantization_config", "num_nextn_predict_layers")}


def is_float8(name):
    """Whether published files hold this tensor as codes with scales."""
    return name.endswith(("_proj.weight", "_with_mqa.weight", "indexer.wq_b.weight", "indexer.wk.weight")) and \
        not name.endswith(("weights_proj.weight", "eh_proj.weight"))


def is_float32(name):
    return name.endswith(("e_score_correction_bias", "indexer.k_norm.weight", "indexer.k_norm.bias"))


def tensors(c, router=1.0):
    """(name, shape, deviation) as published; None is a norm weight. `router` is the deviation of router logits."""
    h, layers = c["hidden_size"], c["num_hidden_layers"]
    yield "model.embed_tokens.weight", (c["vocab_size"], h), 1.0
    for i in range(layers):
        yield from layer(c, i, router)
    for i in range(layers, layers + c.get("num_nextn_predict_layers", 0)):  # these predict the token after the next
        p = f"model.layers.{i}."
        yield p + "embed_tokens.weight", (c["vocab_size"], h), 1.0
        yield p + "enorm.weight", (h,), None
        yield p + "hnorm.weight", (h,), None
        yield p + "eh_proj.weight", (h, 2 * h), (2 * h) ** -0.5
        yield from layer(c, i, router)
        yield p + "shared_head.norm.weight", (h,), None
        yield p + "shared_head.head.weight", (c["vocab_size"], h), h ** -0.5
    yield "model.norm.weight", (h,), None
    yield "lm_head.weight", (c["vocab_size"], h), h ** -0.5


def layer(c, i, router):
    h, experts, inter = c["hidden_size"], c["n_routed_experts"], c["moe_intermediate_size"]
    p, out = f"model.layers.{i}.", (2 * c["num_hidden_layers"]) ** -0.5
    yield p + "input_layernorm.weight", (h,), None
    yield from attention(c, p + "self_attn.", out)
    yield p + "post_attention_layernorm.weight", (h,), None
    if i < c["first_k_dense_replace"]:
        yield from gated(p + "mlp.", h, c["intermediate_size"], out)
        return
    yield p + "mlp.gate.weight", (experts, h), router * h ** -0.5
    if c["topk_method"] == "noaux_tc":
        yield p + "mlp.gate.e_score_correction_bias", (experts,), 0.1
    for e in range(experts):
        yield from gated(p + f"mlp.experts.{e}.", h, inter, out)
    yield from gated(p + "mlp.shared_experts.", h, c["n_shared_experts"] * inter, out)


def attention(c, p, out):
    h, heads, rq, rkv = c["hidden_size"], c["num_attention_heads"], c["q_lora_rank"], c["kv_lora_rank"]
    dn, dr, dv = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    if rq:
        yield p + "q_a_proj.weight", (rq, h), h ** -0.5
        yield p + "q_a_layernorm.weight", (rq,), None
        yield p + "q_b_proj.weight", (heads * (dn + dr), rq), rq ** -0.5
    else:
        yield p + "q_proj.weight", (heads * (dn + dr), h), h ** -0.5
    yield p + "kv_a_proj_with_mqa.weight", (rkv + dr, h), h ** -0.5
    yield p + "kv_a_layernorm.weight", (rkv,), None
    yield p + "kv_b_proj.weight", (heads * (dn + dv), rkv), rkv ** -0.5
    yield p + "o_proj.weight", (h, heads * dv), out * (heads * dv) ** -0.5
    if "index_topk" in c:
        index_heads, size = c["index_n_heads"], c["index_head_dim"]
        yield p + "indexer.wq_b.weight", (index_heads * size, rq), rq ** -0.5
        yield p + "indexer.wk.weight", (size, h), h ** -0.5
        yield p + "indexer.k_norm.weight", (size,), None
        yield p + "indexer.k_norm.bias", (size,), 0.3
        yield p + "indexer.weights_proj.weight", (index_heads, h), h ** -0.5


def gated(prefix, h, width, out):
    yield prefix + "gate_proj.weight", (width, h), h ** -0.5
    yield prefix + "up_proj.weight", (width, h), h ** -0.5
    yield prefix + "down_proj.weight", (h, width), out * 2 * width ** -0.5
