"""Writes model directories: with seeded random weights, or with headers only."""

import json
import math

import numpy as np

SIZES = {"F32": 4, "BF16": 2, "F16": 2}


def write_header(file, entries, kind):
    """Writes the safetensors header of `entries`, (name, shape) in the order of their bytes."""
    header, offset = {}, 0
    for name, shape in entries:
        size = math.prod(shape) * SIZES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)


def split(entries, kind, most):
    """`entries` in lists of at most `most` bytes each."""
    shards, size = [[]], 0
    for name, shape in entries:
        bytes_ = math.prod(shape) * SIZES[kind]
        if shards[-1] and size + bytes_ > most:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += bytes_
    return shards


def write_checkpoint(directory, config, entries, kind, values=None, most=5_000_000_000):
    """Writes config.json and the shards with their index. `values(name, shape)` gives a tensor's bytes; without it the
    shards end after their headers."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    shards = split(entries, kind, most)
    where, total = {}, 0
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        with open(directory / name, "wb") as file:
            write_header(file, shard, kind)
            for tensor, shape in shard:
                where[tensor] = name
                total += math.prod(shape) * SIZES[kind]
                if values:
                    file.write(values(tensor, shape))
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": where}))


class Draw:
    """Seeded tensors of any size at the speed of copying: windows, at random places, of a table of random numbers."""

    def __init__(self, kind, seed=1, entries=1 << 23):
        self.kind = kind
        self.random = np.random.default_rng(seed)
        self.table = (self.random.random(entries, np.float32) * 2 - 1) * np.float32(3 ** 0.5)
        self.scaled = {}

    def bytes(self, shape, deviation):
        """Uniform numbers around 0 of this deviation, or, for None, norm weights from 0.8 to 1.2."""
        if deviation not in self.scaled:
            values = self.table * np.float32(deviation) if deviation else 1 + self.table * np.float32(0.2 / 3 ** 0.5)
            self.scaled[deviation] = encode(values, self.kind)
        table, count = self.scaled[deviation], math.prod(shape)
        parts = []
        while count:
            take = min(count, len(table) // 2)
            start = int(self.random.integers(0, len(table) - take))
            parts.append(table[start:start + take].tobytes())
            count -= take
        return b"".join(parts)


def encode(values, kind):
    if kind == "BF16":  # to the nearest, ties to even
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return values.astype({"F32": np.float32, "F16": np.float16}[kind])


def qwen3_moe(hidden, layers, experts, top, inter, heads, kv, dim, vocabulary, **more):
    return {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_experts": experts, "num_experts_per_tok": top, "moe_intermediate_size": inter,
            "intermediate_size": 3 * hidden, "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": dim,
            "vocab_size": vocabulary, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "rope_scaling": None, "max_position_embeddings": 40960, "attention_bias": False, "decoder_sparse_step": 1,
            "mlp_only_layers": [], "norm_topk_prob": True, "sliding_window": None, "use_sliding_window": False,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 2} | more


def qwen2_moe(hidden, layers, experts, top, inter, shared, heads, kv, vocabulary, **more):
    return {"architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_experts": experts, "num_experts_per_tok": top, "moe_intermediate_size": inter,
            "shared_expert_intermediate_size": shared, "intermediate_size": shared, "num_attention_heads": heads,
            "num_key_value_heads": kv, "vocab_size": vocabulary, "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0, "max_position_embeddings": 8192, "qkv_bias": True, "decoder_sparse_step": 1,
            "mlp_only_layers": [], "norm_topk_prob": False, "sliding_window": None, "use_sliding_window": False,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 2} | more


def mixtral(hidden, layers, experts, top, inter, heads, kv, vocabulary, **more):
    return {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_local_experts": experts, "num_experts_per_tok": top, "intermediate_size": inter,
            "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocabulary, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "max_position_embeddings": 32768, "sliding_window": None,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2} | more


def tensors(c, router=1.0):
    """(name, shape, deviation) as published; None is a norm weight. `router` is the deviation of router logits."""
    h, layers = c["hidden_size"], c["num_hidden_layers"]
    qwen = c["model_type"] != "mixtral"
    dim = c.get("head_dim") or h // c["num_attention_heads"]
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    inter = c["moe_intermediate_size"] if qwen else c["intermediate_size"]
    experts = c["num_experts"] if qwen else c["num_local_experts"]
    block = "mlp" if qwen else "block_sparse_moe"
    gate, up, down = ("gate_proj", "up_proj", "down_proj") if qwen else ("w1", "w3", "w2")
    out = (2 * layers) ** -0.5
    yield "model.embed_tokens.weight", (c["vocab_size"], h), 1.0
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (h,), None
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield p + f"self_attn.{name}_proj.weight", (rows, h), h ** -0.5
        yield p + "self_attn.o_proj.weight", (h, q), out * q ** -0.5
        if c.get("qkv_bias"):
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                yield p + f"self_attn.{name}_proj.bias", (rows,), 0.1
        if c["model_type"] == "qwen3_moe":
            yield p + "self_attn.q_norm.weight", (dim,), None
            yield p + "self_attn.k_norm.weight", (dim,), None
        yield p + "post_attention_layernorm.weight", (h,), None
        yield p + f"{block}.gate.weight", (experts, h), router * h ** -0.5
        for e in range(experts):
            x = p + f"{block}.experts.{e}."
            yield x + gate + ".weight", (inter, h), h ** -0.5
            yield x + up + ".weight", (inter, h), h ** -0.5
            yield x + down + ".weight", (h, inter), out * 2 * inter ** -0.5
        if shared := c.get("shared_expert_intermediate_size"):
            x = p + "mlp.shared_expert."
            yield x + "gate_proj.weight", (shared, h), h ** -0.5
            yield x + "up_proj.weight", (shared, h), h ** -0.5
            yield x + "down_proj.weight", (h, shared), out * 2 * shared ** -0.5
            yield p + "mlp.shared_expert_gate.weight", (1, h), h ** -0.5
    yield "model.norm.weight", (h,), None
    yield "lm_head.weight", (c["vocab_size"], h), h ** -0.5


# Published models: shapes of the true sizes.
def qwen3_30b(layers=48, experts=128):
    return qwen3_moe(2048, layers, experts, 8, 768, 32, 4, 128, 151936)


def qwen15_a27b():
    return qwen2_moe(2048, 24, 60, 4, 1408, 5632, 16, 16, 151936)


def mixtral_8x7b(layers=32, experts=8):
    return mixtral(4096, layers, experts, 2, 14336, 32, 8, 32000)


def write_headers(directory, config):
    """A directory of the model's true size whose shards end after their headers."""
    write_checkpoint(directory, config, [(name, shape) for name, shape, _ in tensors(config)], "BF16")


def write_random(directory, config, kind, seed=1, router=1.0, most=1 << 30):
    """A checkpoint of seeded random weights."""
    draw = Draw(kind, seed)
    deviations = {name: deviation for name, _, deviation in tensors(config, router)}
    write_checkpoint(directory, config, [(name, shape) for name, shape, _ in tensors(config)], kind,
                     lambda name, shape: draw.bytes(shape, deviations[name]), most)
