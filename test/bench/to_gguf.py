#!/usr/bin/env python3
"""Writes a Qwen3-MoE or Mixtral model directory as a bf16 GGUF file, with the writer that llama.cpp's sources bring.

    to_gguf.py GGUF_PY DIRECTORY FILE

Their own converter does more and needs PyTorch for it, and refuses tokenizers that it does not know; the tokenizer written here
takes Qwen2's rule for splitting text, which is the one of bench_model.py.
"""

import json
import math
import mmap
import pathlib
import sys
import typing

import numpy as np


def tensors_of(directory):
    """{name: array} of the checkpoint, whose files begin with "model"; bf16 numbers are seen as int16."""
    found = {}
    for path in sorted(directory.glob("model*.safetensors")):
        with open(path, "rb") as file:
            bytes_ = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(bytes_[:8], "little")
        for name, entry in json.loads(bytes_[8:start]).items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "BF16":
                raise ValueError(f"{path}: tensor '{name}' is {entry['dtype']}, wanted BF16")
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(bytes_, np.int16, (end - begin) // 2, start + begin).reshape(entry["shape"])
    return found


def widened(values):
    """The same numbers as f32."""
    return (values.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)


def interleaved(values, heads):
    """Rows of a projection whose rotation pairs neighbours, where the checkpoint's pairs the halves of a head."""
    return values.reshape(heads, 2, -1, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)


class Entry(typing.NamedTuple):
    """A tensor of the GGUF file: those of all experts are one there."""
    name: str
    parts: list
    heads: int = 0  # whose rows are interleaved

    def shape(self):
        return self.parts[0].shape if len(self.parts) == 1 else (len(self.parts), *self.parts[0].shape)

    def is_wide(self):
        """Norms and routers are f32, as in files of their converter."""
        return len(self.shape()) == 1 or "ffn_gate_inp" in self.name

    def values(self):
        values = self.parts[0] if len(self.parts) == 1 else np.stack(self.parts)
        values = interleaved(values, self.heads) if self.heads else values
        return widened(values) if self.is_wide() else values


def entries_of(config, tensors):
    mixtral = config["model_type"] == "mixtral"
    yield Entry("token_embd.weight", [tensors["model.embed_tokens.weight"]])
    for layer in range(config["num_hidden_layers"]):
        prefix, block = f"model.layers.{layer}.", "block_sparse_moe" if mixtral else "mlp"
        names = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
                 "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
                 "post_attention_layernorm": "ffn_norm", f"{block}.gate": "ffn_gate_inp"}
        if not mixtral:
            names |= {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
        rotated = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]} if mixtral else {}
        for published, name in names.items():
            yield Entry(f"blk.{layer}.{name}.weight", [tensors[f"{prefix}{published}.weight"]], rotated.get(name, 0))
        experts = range(config.get("num_experts") or config["num_local_experts"])
        published = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        for name, theirs in zip(("gate", "up", "down"), published):
            parts = [tensors[f"{prefix}{block}.experts.{e}.{theirs}.weight"] for e in experts]
            yield Entry(f"blk.{layer}.ffn_{name}_exps.weight", parts)
    yield Entry("output_norm.weight", [tensors["model.norm.weight"]])
    if not config["tie_word_embeddings"]:
        yield Entry("output.weight", [tensors["lm_head.weight"]])


def add_tokenizer(gguf, writer, directory, config):
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["id"]: token for token in tokenizer["added_tokens"]}
    tokens = {number: text for text, number in vocabulary.items()} | {number: token["content"] for number, token in special.items()}
    texts, kinds = [], []
    for number in range(config["vocab_size"]):
        texts.append(tokens.get(number, f"[PAD{number}]"))
        kinds.append(gguf.TokenType.UNUSED if number not in tokens else gguf.TokenType.NORMAL if number not in special
                     else gguf.TokenType.CONTROL if special[number]["special"] else gguf.TokenType.USER_DEFINED)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
    for name, add in (("bos_token_id", writer.add_bos_token_id), ("eos_token_id", writer.add_eos_token_id)):
        if config.get(name) is not None:
            add(config[name])


def write(gguf, directory, path):
    """Converts `directory`; `gguf` is the module of that name."""
    config, tensors = json.loads((directory / "config.json").read_text()), tensors_of(directory)
    if config["model_type"] not in ("qwen3_moe", "mixtral"):
        raise ValueError(f"{directory}: model_type is '{config['model_type']}', wanted qwen3_moe or mixtral")
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    writer = gguf.GGUFWriter(path, "llama" if config["model_type"] == "mixtral" else "qwen3moe")
    writer.add_name(directory.name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config.get("num_experts") or config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    add_tokenizer(gguf, writer, directory, config)
    entries = list(entries_of(config, tensors))
    for entry in entries:
        kind = gguf.GGMLQuantizationType.F32 if entry.is_wide() else gguf.GGMLQuantizationType.BF16
        numbers = np.dtype(np.float32 if entry.is_wide() else np.int16)
        writer.add_tensor_info(entry.name, entry.shape(), numbers, math.prod(entry.shape()) * numbers.itemsize, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for entry in entries:
        writer.write_tensor_data(entry.values())
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.path.append(sys.argv[1])
    import gguf as module
    write(module, pathlib.Path(sys.argv[2]), sys.argv[3])
