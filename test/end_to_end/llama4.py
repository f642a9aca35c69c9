"""Llama 4: configs and tensors, named and shaped as published, of which those that read images are a few."""

SCOUT_ROPE = {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
              "original_max_position_embeddings": 8192}


def text(**more):
    """Llama 4 Maverick's text part, with `more` in place of what it has."""
    return {"model_type": "llama4_text", "attention_bias": False, "attention_chunk_size": 8192, "attn_scale": 0.1,
            "attn_temperature_tuning": True, "bos_token_id": 200000, "eos_token_id": [200001, 200007, 200008], "floor_scale": 8192,
            "for_llm_compressor": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
            "intermediate_size": 8192, "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2,
            "max_position_embeddings": 1048576, "no_rope_layers": [], "num_attention_heads": 40,
            "num_experts_per_tok": 1, "num_hidden_layers": 48, "num_key_value_heads": 8, "num_local_experts": 128,
            "output_router_logits": False, "pad_token_id": 200018, "rms_norm_eps": 1e-5, "rope_scaling": None,
            "rope_theta": 500000.0, "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "tie_word_embeddings": False,
            "torch_dtype": "bfloat16", "use_cache": True, "use_qk_norm": False, "vocab_size": 202048} | more


def config(**more):
    """The text part as published, within what reads images too."""
    return {"architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4", "boi_token_index": 200080,
            "eoi_token_index": 200081, "image_token_index": 200092, "text_config": text(**more), "tie_word_embeddings": False,
            "torch_dtype": "bfloat16", "vision_config": {"model_type": "llama4_vision_model", "hidden_size": 1408,
                                                         "num_hidden_layers": 34, "num_attention_heads": 16}}


def scout(**more):
    return config(**{"num_local_experts": 16, "interleave_moe_layer_step": 1, "use_qk_norm": True,
                     "rope_scaling": SCOUT_ROPE, "max_position_embeddings": 10485760} | more)


def tensors(config, router=1.0):
    """(name, shape, deviation) as published; None is a norm weight. `router` is the deviation of router logits."""
    c = config.get("text_config", config)
    h, layers, width = c["hidden_size"], c["num_hidden_layers"], c["intermediate_size"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    experts, step, out = c["num_local_experts"], c["interleave_moe_layer_step"], (2 * layers) ** -0.5
    prefix = "language_model." if c is not config else ""

    def gated(p, inner):
        yield p + "gate_proj.weight", (inner, h), h ** -0.5
        yield p + "up_proj.weight", (inner, h), h ** -0.5
        yield p + "down_proj.weight", (h, inner), out * 2 * inner ** -0.5

    if prefix:
        yield "vision_model.patch_embedding.linear.weight", (1408, 588), 0.02
        yield "vision_model.model.layers.0.self_attn.q_proj.weight", (1408, 1408), 0.02
        yield "vision_model.model.layers.0.self_attn.q_proj.bias", (1408,), 0.02
        yield "multi_modal_projector.linear_1.weight", (h, 4096), 0.02
    yield prefix + "model.embed_tokens.weight", (c["vocab_size"], h), 1.0
    for i in range(layers):
        p = f"{prefix}model.layers.{i}."
        yield p + "input_layernorm.weight", (h,), None
        for name, rows, columns, scale in (("q", q, h, 1), ("k", kv, h, 1), ("v", kv, h, 1), ("o", h, q, out)):
            yield p + f"self_attn.{name}_proj.weight", (rows, columns), scale * columns ** -0.5
        yield p + "post_attention_layernorm.weight", (h,), None
        if (i + 1) % step:
            yield from gated(p + "feed_forward.", c["intermediate_size_mlp"])
            continue
        yield p + "feed_forward.router.weight", (experts, h), router * h ** -0.5
        yield p + "feed_forward.experts.gate_up_proj", (experts, h, 2 * width), h ** -0.5
        yield p + "feed_forward.experts.down_proj", (experts, width, h), out * 2 * width ** -0.5
        yield from gated(p + "feed_forward.shared_expert.", width)
    yield prefix + "model.norm.weight", (h,), None
    yield prefix + "lm_head.weight", (c["vocab_size"], h), h ** -0.5
