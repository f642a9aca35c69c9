"""Writes model directories: with seeded random weights, or with headers only."""

import json
import math

import numpy as np

import deepseek
import gpt_oss
import llama4

ROOT = 3 ** 0.5  # how far uniform numbers reach, in deviations
SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}


def split(entries, most):
    """`entries`, name -> (kind, shape, data), in parts of at most `most` bytes each, or of one tensor."""
    shards, size = [{}], 0
    for name, entry in entries.items():
        bytes_ = math.prod(entry[1]) * SIZES[entry[0]]
        if shards[-1] and size + bytes_ > most:
            shards.append({})
            size = 0
        shards[-1][name] = entry
        size += bytes_
    return shards


def write_mixed(directory, config, files):
    """Writes config.json and a shard for each of `files`, whose entries are name -> (kind, shape, bytes, or what gives them).
    Without bytes a shard ends after its header."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    where, total = {}, 0
    for number, tensors in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        header, offset = {}, 0
        for tensor, (kind, shape, _) in tensors.items():
            size = math.prod(shape) * SIZES[kind]
            header[tensor] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
            offset += size
            where[tensor] = name
        total += offset
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(directory / name, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, _, data in tensors.values():
                file.write(data() if callable(data) else data)
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": where}))


class Draw:
    """Seeded tensors of any size at the speed of copying: windows, at random places, of a table of random numbers."""

    def __init__(self, kind, seed=1, entries=1 << 23):
        self.kind = kind
        self.random = np.random.default_rng(seed)
        self.table = (self.random.random(entries, np.float32) * 2 - 1) * np.float32(ROOT)
        self.scaled = {}

    def bytes(self, shape, deviation):
        """Uniform numbers around 0 of this deviation, or, for None, norm weights from 0.8 to 1.2."""
        return self.uniform(shape, self.kind, *numbers(deviation))

    def uniform(self, shape, kind, middle, deviation):
        """Uniform numbers around `middle`."""
        how = kind, middle, deviation
        if how not in self.scaled:
            values = self.table * np.float32(deviation)
            self.scaled[how] = encode(values + np.float32(middle) if middle else values, kind)
        table, count = self.scaled[how], math.prod(shape)
        parts = []
        while count:
            take = min(count, len(table) // 2)
            start = int(self.random.integers(0, len(table) - take))
            parts.append(table[start:start + take].tobytes())
            count -= take
        return b"".join(parts)


def numbers(deviation):
    """The middle and deviation of a weight, or, for None, of a norm's."""
    return (1, 0.2 / ROOT) if deviation is None else (0, deviation)


def encode(values, kind):
    if kind == "BF16":  # to the nearest, ties to even
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    if kind == "F8_E4M3":  # to the nearest
        code = np.arange(127)
        table = np.where(code < 8, code * 2.0 ** -9, (8 + (code & 7)) * 2.0 ** ((code >> 3) - 10.0))
        codes = np.searchsorted((table[1:] + table[:-1]) / 2, np.abs(values))
        return (codes + 128 * (values < 0)).astype(np.uint8)
    return values.astype({"F32": np.float32, "F16": np.float16, "U8": np.uint8}[kind])


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
    """(name, shape, deviation) as published but for codes; None is a norm weight. `router` is the deviation of router logits."""
    return FAMILIES.get(c["model_type"], plain_tensors)(c, router)


def plain_tensors(c, router):
    """Those of Mixtral, Qwen and OLMoE, whose experts are tensors of their own beside grouped attention."""
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


FAMILIES = {"deepseek_v2": deepseek.tensors, "deepseek_v3": deepseek.tensors, "deepseek_v32": deepseek.tensors,
            "kimi_k2": deepseek.tensors, "llama4": llama4.tensors, "llama4_text": llama4.tensors, "gpt_oss": gpt_oss.tensors}


def stored_tensors(c, draw, router=1.0):
    """The tensors of `c` as its files have them, with codes for what is published as codes: name -> (kind, shape, what draws it)."""
    method, out = c.get("quantization_config", {}).get("quant_method"), {}

    def put(name, kind, shape, middle, deviation):
        out[name] = kind, shape, lambda: draw.uniform(shape, kind, middle, deviation)

    for name, shape, deviation in tensors(c, router):
        if method == "fp8" and deepseek.is_float8(name):
            put(name, "F8_E4M3", shape, 0, 440 / ROOT)
            scale = deviation * ROOT / 440
            put(name + "_scale_inv", "F32", tuple(-(-n // 128) for n in shape), scale, scale / 2 / ROOT)
        elif method == "mxfp4" and gpt_oss.is_mxfp4(name):
            count, inputs, outputs = shape
            put(name + "_blocks", "U8", (count, outputs, inputs // 32, 16), 128, 127.9 / ROOT)
            # Codes deviate by 2.9; a scale is this power of two or the next.
            put(name + "_scales", "U8", (count, outputs, inputs // 32), 128 + round(math.log2(deviation / 4.6)), 0.99 / ROOT)
        else:
            put(name, "F32" if deepseek.is_float32(name) else draw.kind, shape, *numbers(deviation))
    return out


def write_headers(directory, config):
    """A directory of the model's true size whose shards end after their headers."""
    entries = {name: (kind, shape, b"") for name, (kind, shape, _) in stored_tensors(config, Draw("BF16", entries=2)).items()}
    write_mixed(directory, config, split(entries, 5_000_000_000))


def write_random(directory, config, kind, seed=1, router=1.0, most=1 << 30):
    """A checkpoint of seeded random weights."""
    write_mixed(directory, config, split(stored_tensors(config, Draw(kind, seed), router), most))
