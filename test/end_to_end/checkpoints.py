"""Writes model directories: with seeded random weights, or with headers only."""

import json
import math

import numpy as np

SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}


def write_header(file, entries, kind):
    """Writes the safetensors header of `entries`, (name, shape) in the order of their bytes."""
    header, offset = {}, 0
    for name, shape in entries:
        size = math.prod(shape) * SIZES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    write_json_header(file, header)


def write_json_header(file, header):
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


def write_mixed(directory, config, files):
    """Writes config.json and a shard for each of `files`, whose entries are name -> (kind, shape, bytes, or what gives them)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    where = {}
    for number, tensors in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        header, offset = {}, 0
        for tensor, (kind, shape, _) in tensors.items():
            size = math.prod(shape) * SIZES[kind]
            header[tensor] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
            offset += size
            where[tensor] = name
        with open(directory / name, "wb") as file:
            write_json_header(file, header)
            for _, _, data in tensors.values():
                file.write(data() if callable(data) else data)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


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


def mixtral(hidden, layers, experts, top, inter, heads, kv, vocabulary, **more):
    return {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_local_experts": experts, "num_experts_per_tok": top, "intermediate_size": inter,
            "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocabulary, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "max_position_embeddings": 32768, "sliding_window": None,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2} | more


def qwen2_moe(hidden, layers, experts, top, inter, shared, heads, kv, vocabulary, **more):
    return {"architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_experts": experts, "num_experts_per_tok": top, "moe_intermediate_size": inter,
            "shared_expert_intermediate_size": shared, "intermediate_size": 3 * hidden, "num_attention_heads": heads,
            "num_key_value_heads": kv, "vocab_size": vocabulary, "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0, "max_position_embeddings": 32768, "decoder_sparse_step": 1, "mlp_only_layers": [],
            "norm_topk_prob": False, "qkv_bias": True, "sliding_window": None, "use_sliding_window": False,
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 2} | more


def olmoe(hidden, layers, experts, top, inter, heads, kv, vocabulary, **more):
    return {"architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "hidden_size": hidden,
            "num_hidden_layers": layers, "num_experts": experts, "num_experts_per_tok": top, "intermediate_size": inter,
            "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocabulary, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "max_position_embeddings": 4096,
            "attention_bias": False, "clip_qkv": None, "norm_topk_prob": False, "tie_word_embeddings": False,
            "torch_dtype": "bfloat16", "bos_token_id": None, "eos_token_id": 2} | more


def expert_layers(c):
    """The layers that have experts; the others are dense."""
    step, dense = c.get("decoder_sparse_step", 1), c.get("mlp_only_layers", [])
    return [i for i in range(c["num_hidden_layers"]) if (i + 1) % step == 0 and i not in dense]


def tensors(c, router=1.0):
    """(name, shape, deviation) as published; None is a norm weight. `router` is the deviation of router logits."""
    h, layers, family = c["hidden_size"], c["num_hidden_layers"], c["model_type"]
    dim = c.get("head_dim") or h // c["num_attention_heads"]
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    inter = c.get("moe_intermediate_size") or c["intermediate_size"]
    experts = c.get("num_experts") or c["num_local_experts"]
    published = ("gate_proj", "up_proj", "down_proj")
    block, names = ("block_sparse_moe", ("w1", "w3", "w2")) if family == "mixtral" else ("mlp", published)
    biased = "qkvo" if c.get("attention_bias") else "qkv" if c.get("qkv_bias") else ""
    normed = {"qwen3_moe": (("q", dim), ("k", dim)), "olmoe": (("q", q), ("k", kv))}.get(family, ())
    out = (2 * layers) ** -0.5

    def gated(prefix, width, names=published):
        yield prefix + names[0] + ".weight", (width, h), h ** -0.5
        yield prefix + names[1] + ".weight", (width, h), h ** -0.5
        yield prefix + names[2] + ".weight", (h, width), out * 2 * width ** -0.5

    yield "model.embed_tokens.weight", (c["vocab_size"], h), 1.0
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (h,), None
        for name, rows, columns, scale in (("q", q, h, 1), ("k", kv, h, 1), ("v", kv, h, 1), ("o", h, q, out)):
            yield p + f"self_attn.{name}_proj.weight", (rows, columns), scale * columns ** -0.5
            if name in biased:
                yield p + f"self_attn.{name}_proj.bias", (rows,), 0.5 * scale
        for name, width in normed:
            yield p + f"self_attn.{name}_norm.weight", (width,), None
        yield p + "post_attention_layernorm.weight", (h,), None
        if i not in expert_layers(c):
            yield from gated(p + "mlp.", c["intermediate_size"])
            continue
        yield p + f"{block}.gate.weight", (experts, h), router * h ** -0.5
        for e in range(experts):
            yield from gated(p + f"{block}.experts.{e}.", inter, names)
        if family == "qwen2_moe":
            yield from gated(p + "mlp.shared_expert.", c["shared_expert_intermediate_size"])
            yield p + "mlp.shared_expert_gate.weight", (1, h), h ** -0.5
    yield "model.norm.weight", (h,), None
    if not c["tie_word_embeddings"]:
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
