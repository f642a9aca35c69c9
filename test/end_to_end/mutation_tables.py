"""Which changes of config.json mutations.py makes to which golden case, and what each has to do."""

import copy
import dataclasses

import numpy as np

GONE = object()  # the key is removed


def changed(config, change):
    """A copy of `config` with these values; dots lead into objects. Or what `change` makes of it."""
    config = copy.deepcopy(config)
    if callable(change):
        return change(config)
    for path, value in change.items():
        *parents, key = path.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        if value is GONE:
            place.pop(key, None)
        else:
            place[key] = value
    return config


@dataclasses.dataclass
class Mutation:
    change: dict                    # key -> value
    edit: object = None             # what is done to the tensors
    names: str = ""                 # of a refusal: a part of the message
    is_same: bool = False           # the answer stays, to the byte
    means: object = None            # what the reference is told in place of `change`
    edit_reference: object = None
    more: bool = False              # only with MOEC_TEST_ALL

    def __str__(self):
        if callable(self.change):
            return self.change.__name__
        return ", ".join(f"{key}: {'gone' if value is GONE else value}" for key, value in self.change.items())


def follows(change, means=None, edit=None, edit_reference=None, more=False):
    """The answer is another, that of the reference; `means` spells out what absent keys stand for."""
    return Mutation(change, edit, means=change if means is None else means, edit_reference=edit_reference or edit, more=more)


def same(change, edit=None):
    return Mutation(change, edit, is_same=True)


def refused(change, names=None, edit=None):
    """Status 3 or 4; the message has the key's name, or the one given."""
    return Mutation(change, edit, names=names or f"`{next(iter(change)).split('.')[0]}`")


# ---------------------------------------------------------------- changes of tensors

def noise(name, shape, scale):
    return (np.random.default_rng(len(name)).normal(size=shape) * scale).astype(np.float32)


def drop(*parts):
    """Removes tensors whose names have one of these parts."""
    def edit(tensors):
        for name in [name for name in tensors if any(part in name for part in parts)]:
            del tensors[name]
    return edit


def biases(*modules):
    """Adds a bias to every matrix of these modules."""
    def edit(tensors):
        for name in list(tensors):
            if name.endswith(tuple(f"{module}.weight" for module in modules)):
                bias = name.removesuffix("weight") + "bias"
                tensors[bias] = noise(bias, len(tensors[name]), 0.3)
    return edit


def first_rows(part, rows, axis=0):
    """Keeps that many of the tensors' rows."""
    def edit(tensors):
        for name in tensors:
            if part in name:
                tensors[name] = np.take(tensors[name], range(rows), axis)
    return edit


def like_layer(target, source, block):
    """Layer `target` gets the tensors that layer `source` has in `block`."""
    def edit(tensors):
        mine, other = (f"model.layers.{layer}.{block}." for layer in (target, source))
        drop(mine)(tensors)
        for name in list(tensors):
            if name.startswith(other):
                tensors[mine + name.removeprefix(other)] = tensors[name]
    return edit


def both(*edits):
    def edit(tensors):
        for one in edits:
            one(tensors)
    return edit


def direct_queries(tensors):
    """Queries are made of the layer's input, without a latent vector."""
    for name in [name for name in tensors if ".q_b_proj." in name]:
        direct = name.replace(".q_b_proj.", ".q_proj.")
        tensors[direct] = noise(direct, (len(tensors[name]), 32), 0.2)
    drop("q_a_", "q_b_proj")(tensors)


def in_language_model(tensors):
    """Names as a model has them that reads images too."""
    for name in list(tensors):
        tensors["language_model." + name] = tensors.pop(name)
    for name in ("vision_model.class_embedding", "multi_modal_projector.linear_1.weight"):
        tensors[name] = noise(name, (6, 4), 1)


def nested(*gone, **outer):
    """The config inside `text_config`, without the keys `gone`, beside those of `outer`."""
    def text_config(config):
        return {"architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4", "vision_config": {"hidden_size": 4},
                "text_config": {key: value for key, value in config.items() if key not in (*gone, "architectures")}} | outer
    return text_config


# ---------------------------------------------------------------- tables

def rope_theta(value):
    return follows({"rope_theta": value})


LATENT_ROPE = [
    follows({"rope_scaling.factor": 16}),
    follows({"rope_scaling.mscale": 0.3}),
    follows({"rope_scaling.mscale_all_dim": 0.5}),
    follows({"rope_scaling.mscale_all_dim": 0}, more=True),
    follows({"rope_scaling.mscale": GONE, "rope_scaling.mscale_all_dim": GONE}, more=True),
    follows({"rope_scaling.attention_factor": 0.7}, more=True),
    follows({"rope_scaling.beta_fast": 8}),
    follows({"rope_scaling.beta_slow": 0.05}),
    follows({"rope_scaling.truncate": False}),
    follows({"rope_scaling.original_max_position_embeddings": 16}),
    follows({"rope_scaling": None}),
    follows({"rope_scaling.type": "linear"}, more=True),
    refused({"rope_scaling.type": "longrope"}),
    refused({"rope_scaling.type": "dynamic"}),
    refused({"rope_scaling.long_factor": [1, 2]}),
    refused({"partial_rotary_factor": 0.5}),
]

GROUPS = [
    follows({"topk_group": 1}),
    follows({"topk_group": 4}),
    follows({"n_group": 3}),
    follows({"n_group": None, "topk_group": None}, more=True),
    refused({"n_group": 5}),
    refused({"topk_group": 5}),
]

# Keys that all of them have, and that are refused with any other value.
LATENT_FIXED = [
    refused({"hidden_act": "gelu"}),
    refused({"moe_layer_freq": 2}),
    refused({"num_key_value_heads": 2}),
    refused({"mlp_layer_types": ["sparse", "sparse", "dense"]}),
    refused({"use_qk_norm": True}),
    refused({"attn_logit_softcapping": 30.0}),
    same({"head_dim": 16, "qk_head_dim": 28}),
]

V3_SHARED = [
    follows({"norm_topk_prob": False}),
    follows({"routed_scaling_factor": 1.0}),
    follows({"num_experts_per_tok": 4}),
    follows({"rms_norm_eps": 0.1}),
    follows({"n_shared_experts": 1}, edit=both(first_rows("shared_experts.gate_proj", 14), first_rows("shared_experts.up_proj", 14),
                                             first_rows("shared_experts.down_proj", 14, 1))),
    refused({"scoring_func": "softmax"}),
    refused({"topk_method": "greedy"}),
    refused({"topk_method": "group_limited_greedy"}),
    refused({"num_experts_per_tok": 13}),
]

LLAMA4_LAYERS = [
    follows({"no_rope_layers": [0, 1, 1, 1]}),
    follows({"no_rope_layers": [], "no_rope_layer_interval": 2}),
    same({"no_rope_layers": []}),
    same({"no_rope_layers": None}),
    refused({"no_rope_layers": [1, 1, 0]}),
    refused({"no_rope_layers": [1, 1, 1, 2]}),
    follows({"layer_types": ["chunked_attention", "full_attention", "chunked_attention", "chunked_attention"]}),
    same({"layer_types": ["chunked_attention"] * 3 + ["full_attention"]}),
    refused({"layer_types": ["chunked_attention"] * 3 + ["sliding_attention"]}),
    refused({"layer_types": ["full_attention"]}),
    follows({"interleave_moe_layer_step": 1}, edit=both(like_layer(0, 1, "feed_forward"), like_layer(2, 3, "feed_forward"))),
    follows({"interleave_moe_layer_step": 4}, edit=like_layer(1, 2, "feed_forward"), more=True),
    follows({"moe_layers": [0, 3]}, edit=both(like_layer(0, 1, "feed_forward"), like_layer(1, 2, "feed_forward"))),
    same({"moe_layers": [1, 3]}),
    refused({"moe_layers": [4]}),
    refused({"interleave_moe_layer_step": 1}, names="`model.layers.0.feed_forward.router.weight` is missing"),
]

MUTATIONS = {
    "deepseek_v3": V3_SHARED + LATENT_ROPE + GROUPS + LATENT_FIXED + [
        rope_theta(500.0),
        follows({"rope_interleave": False}),
        same({"rope_interleave": True}),
        follows({"n_group": 6, "topk_group": 3}, more=True),
        refused({"n_group": 12, "topk_group": 6}),
        follows({"n_shared_experts": 0}, edit=drop("shared_experts"), more=True),
        follows({"first_k_dense_replace": 2}, edit=like_layer(1, 0, "mlp")),
        follows({"first_k_dense_replace": 0}, edit=like_layer(0, 1, "mlp")),
        refused({"first_k_dense_replace": 2}, names="`model.layers.1.mlp.gate_proj.weight` is missing"),
        refused({"num_hidden_layers": 2}, names="`model.layers.3.eh_proj.weight`"),
        same({"mlp_layer_types": ["dense", "sparse", "sparse"]}),
        follows({"q_lora_rank": None}, edit=direct_queries),
        follows({"attention_bias": True}, edit=biases("q_a_proj", "kv_a_proj_with_mqa", "o_proj")),
        refused({"attention_bias": True}, names="q_a_proj.bias` is missing"),
        follows({"tie_word_embeddings": True}, more=True),
        same({"routed_scaling_factor": GONE}),
        same({"norm_topk_prob": GONE}),
        refused({"quantization_config": {"quant_method": "gptq"}}, names="`quantization_config.quant_method`"),
        same({"aux_loss_alpha": 0.5, "ep_size": 2, "pretraining_tp": 4, "seq_aux": False}),
    ],
    "deepseek_v2": [
        follows({"topk_method": "greedy"}),
        follows({"topk_method": GONE}, means={"topk_method": "greedy"}, more=True),
        refused({"topk_method": "noaux_tc"}),
        refused({"scoring_func": "sigmoid"}),
        refused({"norm_topk_prob": True}),
        refused({"mlp_bias": True}),
        refused({"num_experts_per_tok": GONE}),
        follows({"num_experts_per_tok": 5}),
        follows({"routed_scaling_factor": 1.0}),
        follows({"routed_scaling_factor": GONE}, means={"routed_scaling_factor": 1.0}, more=True),
        follows({"rms_norm_eps": 0.1}),
        follows({"first_k_dense_replace": GONE}, means={"first_k_dense_replace": 0}, edit=like_layer(0, 1, "mlp")),
        follows({"rope_scaling.mscale": 1.0}),
        follows({"rope_scaling.mscale_all_dim": 1.0}),
        follows({"rope_scaling": None}, more=True),
        rope_theta(500.0),
        *GROUPS, *LATENT_FIXED,
    ],
    "deepseek_v32": [
        follows({"index_topk": 3}),
        follows({"index_topk": GONE}, means={"index_topk": 2048}),
        refused({"index_topk": 0}),
        follows({"index_n_heads": 2}, edit=both(first_rows("indexer.wq_b", 44), first_rows("indexer.weights_proj", 2))),
        follows({"index_head_dim": 18}, edit=both(first_rows("indexer.wq_b", 72), first_rows("indexer.wk", 18),
                                                first_rows("indexer.k_norm", 18))),
        refused({"index_head_dim": 12}),
        refused({"q_lora_rank": None}),
        refused({"layer_types": ["full_attention"] * 2}),
        same({"layer_types": ["indexed_attention"] * 2}),
        same({"rope_interleave": False}),
        follows({"topk_group": 2}),
        follows({"rope_scaling.factor": 16}),
        follows({"rope_scaling.mscale_all_dim": 0.3}),
        follows({"rope_scaling": None}, more=True),
        follows({"norm_topk_prob": False}, more=True),
        rope_theta(500.0),
        refused({"scoring_func": "softmax"}),
        refused({"max_position_embeddings": 1 << 21}),
    ],
    "kimi_k2": [
        follows({"routed_scaling_factor": 1.0}),
        refused({"n_group": GONE}),  # 8, and there are 10 experts
        follows({"n_group": 5, "topk_group": 2}),
        follows({"rope_scaling.factor": 4}),
        follows({"rope_scaling.beta_fast": 4}),
        follows({"rope_scaling.original_max_position_embeddings": GONE}, more=True),
        rope_theta(500.0),
        refused({"topk_method": "greedy"}),
    ],
    "llama4": LLAMA4_LAYERS + [
        follows({"num_experts_per_tok": 1}),
        follows({"num_experts_per_tok": 4}, more=True),
        follows({"attention_chunk_size": 5}),
        follows({"attention_chunk_size": None}),
        follows({"attention_chunk_size": GONE}, means={"attention_chunk_size": 8192}, more=True),
        refused({"attention_chunk_size": 0}),
        follows({"floor_scale": 2}),
        follows({"floor_scale": GONE}, means={"floor_scale": 8192}, more=True),
        follows({"attn_scale": 0.6}),
        same({"attn_scale": GONE}),
        follows({"attn_temperature_tuning": False}),
        follows({"attn_temperature_tuning": 0}, more=True),
        same({"attn_temperature_tuning": 4}),
        same({"attn_temperature_tuning": GONE}),
        follows({"use_qk_norm": False}),
        same({"use_qk_norm": GONE}),
        follows({"rms_norm_eps": 0.1}),
        rope_theta(500.0),
        follows({"rope_scaling.factor": 32.0}),
        follows({"rope_scaling.low_freq_factor": 2.5}),
        follows({"rope_scaling.high_freq_factor": 12.0}),
        follows({"rope_scaling.low_freq_factor": 1.0, "rope_scaling.high_freq_factor": 1.0}),
        follows({"rope_scaling.original_max_position_embeddings": 64}),
        follows({"rope_scaling": None}),
        refused({"rope_scaling.high_freq_factor": 0.5}),
        refused({"rope_scaling.rope_type": "su"}),
        follows({"attention_bias": True}, edit=biases("q_proj", "k_proj", "v_proj", "o_proj")),
        refused({"hidden_act": "gelu"}),
        refused({"intermediate_size": 52, "intermediate_size_mlp": 30}, names="wanted [30, 36]"),
        refused({"sliding_window": 8}),
        refused({"mlp_bias": True}),
        same({"router_jitter_noise": 0.1, "router_aux_loss_coef": 0.5, "for_llm_compressor": False}),
        same(nested(), edit=in_language_model),
        same(nested(attention_chunk_size=4, rope_theta=9.0, sliding_window=4, tie_word_embeddings=True), edit=in_language_model),
        follows(nested("attention_chunk_size", attention_chunk_size=4), means={"attention_chunk_size": 8192}, edit=in_language_model),
    ],
    "gpt_oss": [
        follows({"sliding_window": 4}),
        follows({"sliding_window": GONE}, means={"sliding_window": 128}),
        refused({"sliding_window": 0}),
        follows({"layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
        follows({"layer_types": ["full_attention"] * 3}, more=True),
        same({"layer_types": GONE}),
        refused({"layer_types": ["full_attention"] * 2 + ["chunked_attention"]}),
        refused({"layer_types": ["full_attention"] * 2}),
        follows({"swiglu_limit": 1.0}),
        same({"swiglu_limit": GONE}),
        follows({"swiglu_alpha": 1.0}),
        follows({"num_experts_per_tok": 2, "experts_per_token": 2}),
        follows({"num_experts_per_tok": GONE, "experts_per_token": GONE}, means={"num_experts_per_tok": 4}, more=True),
        refused({"experts_per_token": 2}),
        follows({"rope_scaling.truncate": True}),
        follows({"rope_scaling.truncate": GONE}, means={"rope_scaling.truncate": True}, more=True),
        follows({"rope_scaling.factor": 16.0}),
        follows({"rope_scaling.beta_fast": 12.0}),
        follows({"rope_scaling.beta_slow": 0.05}),
        follows({"rope_scaling.original_max_position_embeddings": 16}),
        follows({"rope_scaling.attention_factor": 1.0}),
        follows({"rope_scaling": {"rope_type": "default"}}),
        follows({"rope_scaling": GONE}, means={"rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                                                              "truncate": False, "original_max_position_embeddings": 4096}}),
        rope_theta(500.0),
        follows({"rms_norm_eps": 0.1}),
        follows({"attention_bias": False}, edit=drop("_proj.bias")),
        refused({"attention_bias": False}, names="_proj.bias` (and 11 more) is read by no part"),
        follows({"tie_word_embeddings": True}, more=True),
        same({"hidden_act": "gelu", "initial_context_length": 7, "router_aux_loss_coef": 0.1}),
        refused({"quantization_config": {"quant_method": "awq"}}, names="`quantization_config.quant_method`"),
    ],
    "mixtral_sharded": [
        follows({"num_experts_per_tok": 3}),
        follows({"sliding_window": 3}),
        follows({"sliding_window": None}),
        follows({"rms_norm_eps": 0.1}, more=True),
        follows({"rope_parameters.rope_theta": 300.0}),
        follows({"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0}}),
        follows({"tie_word_embeddings": True}),
        refused({"attention_bias": True}),
        refused({"hidden_act": "gelu"}),
        refused({"n_group": 2}),
        refused({"scoring_func": "sigmoid"}),
    ],
    "qwen3_moe": [
        follows({"norm_topk_prob": False}),
        follows({"num_experts_per_tok": 2}, more=True),
        follows({"mlp_only_layers": [1, 2]}, edit=like_layer(2, 1, "mlp")),
        follows({"decoder_sparse_step": 2, "mlp_only_layers": []},
                edit=both(like_layer(3, 1, "mlp"), like_layer(1, 2, "mlp"), like_layer(0, 3, "mlp"), like_layer(2, 3, "mlp"),
                          drop("layers.3."))),
        follows({"attention_bias": True}, edit=biases("q_proj", "k_proj", "v_proj", "o_proj")),
        follows({"rope_parameters.rope_theta": 300.0}, more=True),
        refused({"use_sliding_window": True}),
        refused({"layer_types": ["sliding_attention"] * 3}),
        refused({"n_shared_experts": 1}),
    ],
    "qwen2_moe": [
        follows({"norm_topk_prob": True}),
        follows({"qkv_bias": False}, edit=drop("_proj.bias")),
        follows({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}),
        refused({"use_sliding_window": True}),
        refused({"routed_scaling_factor": 2.0}),
    ],
    "olmoe": [
        follows({"norm_topk_prob": True}),
        follows({"clip_qkv": 0.4}),
        follows({"clip_qkv": None}),
        follows({"attention_bias": True}, edit=biases("q_proj", "k_proj", "v_proj", "o_proj"), more=True),
        refused({"clip_qkv": 0}),
        refused({"logit_scale": 0.5}),
    ],
}
