"""What speed.py measures: the kinds of work, and what one run of a program tells about one of them."""

import dataclasses


class Refused(Exception):
    """A program cannot do this, and says why."""


@dataclasses.dataclass(frozen=True)
class Work:
    """Reading a prompt of `tokens`, or generating so many after `depth` others, in `batch` sequences side by side."""
    kind: str  # prefill or decode
    tokens: int
    depth: int = 0
    batch: int = 1

    def name(self):
        if self.kind == "prefill":
            return f"prefill {self.tokens}"
        return f"decode at {self.depth}" + (f", batch {self.batch}" if self.batch > 1 else "")

    def repetitions(self):
        """Of short work a run repeats some."""
        return 1 if self.tokens * self.batch + self.depth > 600 else 2


@dataclasses.dataclass
class Sample:
    """One run: tokens per second, once per repetition, and the most memory held."""
    rates: list
    peak: float
    bytes_per_token: float


def decode(depth, batch):
    return Work("decode", {1: 64, 8: 24}.get(batch, 12), depth, batch)


def bytes_per_token(tensors, config, work):
    """What a token of decoding reads of `tensors`, {name in GGUF: bytes}, and of a cache of 16 bit: of the experts those that a
    batch picks by chance, of the embedding one row."""
    experts = config.get("num_experts") or config["num_local_experts"]
    share = 1 - (1 - config["num_experts_per_tok"] / experts) ** work.batch
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    read = 0
    for name, size in tensors.items():
        if name == "token_embd.weight" and "output.weight" in tensors:
            read += work.batch * size / config["vocab_size"]
        else:
            read += size * share if "_exps." in name else size
    seen = work.depth + (work.tokens - 1) / 2
    cache = work.batch * seen * config["num_hidden_layers"] * 2 * config["num_key_value_heads"] * width * 2
    return (read + cache) / work.batch
