"""gpt-oss: configs and tensors, named and shaped as published."""

YARN = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 4096}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                                             "model.embed_tokens", "lm_head"]}


def config(**more):
    """gpt-oss-120b, with `more` in place of what it has."""
    made = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True, "attention_dropout": 0.0,
            "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
            "initial_context_length": 4096, "initializer_range": 0.02, "intermediate_size": 2880,
            "max_position_embeddings": 131072, "num_attention_heads": 64, "num_experts_per_tok": 4,
            "num_hidden_layers": 36, "num_key_value_heads": 8, "num_local_experts": 128, "output_router_logits": False,
            "pad_token_id": 199999, "quantization_config": MXFP4, "rms_norm_eps": 1e-5, "rope_scaling": YARN,
            "rope_theta": 150000, "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 201088} | more
    kinds = ["sliding_attention", "full_attention"]
    return {"layer_types": [kinds[i % 2] for i in range(made["num_hidden_layers"])]} | made


def is_mxfp4(name):
    """Whether published files hold this tensor as codes with scales."""
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def tensors(c, router=1.0):
    """(name, shape, deviation) as published but for codes; None is a norm weight. `router` is the deviation of router logits."""
    h, layers, width, experts = c["hidden_size"], c["num_hidden_layers"], c["intermediate_size"], c["num_local_experts"]
    heads, dim = c["num_attention_heads"], c["head_dim"]
    q, kv, out = heads * dim, c["num_key_value_heads"] * dim, (2 * layers) ** -0.5
    yield "model.embed_tokens.weight", (c["vocab_size"], h), 1.0
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (h,), None
        for name, rows, columns, scale in (("q", q, h, 1), ("k", kv, h, 1), ("v", kv, h, 1), ("o", h, q, out)):
            yield p + f"self_attn.{name}_proj.weight", (rows, columns), scale * columns ** -0.5
            yield p + f"self_attn.{name}_proj.bias", (rows,), 0.5 * scale
        yield p + "self_attn.sinks", (heads,), 1.0
        yield p + "post_attention_layernorm.weight", (h,), None
        yield p + "mlp.router.weight", (experts, h), router * h ** -0.5
        yield p + "mlp.router.bias", (experts,), 0.3
        yield p + "mlp.experts.gate_up_proj", (experts, h, 2 * width), 3 * h ** -0.5  # some reach what is clamped
        yield p + "mlp.experts.gate_up_proj_bias", (experts, 2 * width), 0.3
        yield p + "mlp.experts.down_proj", (experts, width, h), out * width ** -0.5
        yield p + "mlp.experts.down_proj_bias", (experts, h), 0.3 * out
    yield "model.norm.weight", (h,), None
    yield "lm_head.weight", (c["vocab_size"], h), h ** -0.5
