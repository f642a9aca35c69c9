"""Two layers of real widths over 600 tokens against a float64 computation: tiles, key pieces and cache blocks are crossed here.

    real_widths.py SHAPE...

The checkpoints are made here from seeded random numbers; the reference is the plain one beside the golden data, with
weights read as they are needed.
"""

import collections.abc
import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
from comparison import compare_logits
from programs import ALL, GOLDEN, Checks, compile_model, evaluate, work_folder

sys.path.append(str(GOLDEN))
import check_reference  # noqa: E402

VOCABULARY = 4001  # the width of the last product is another matter
LENGTHS = [600, 333]
WAYS = [["--chunk", "7", "--threads", "1"], ["--chunk", "64"], ["--chunk", "301", "--batch"], ["--batch", "--threads", "2"],
        ["--threads", "1"]]

QWEN_1B = checkpoints.qwen3_moe(1024, 2, 64, 8, 384, 16, 4, 64, VOCABULARY)
QWEN_LAYER = checkpoints.qwen3_moe(2048, 2, 128, 8, 768, 32, 4, 128, VOCABULARY)
QWEN_SHARED = checkpoints.qwen2_moe(1024, 2, 20, 4, 352, 1408, 16, 16, VOCABULARY)
MIXTRAL = checkpoints.mixtral(1024, 2, 8, 2, 3584, 16, 4, VOCABULARY)

# name -> config, type on disk, options of compile
SHAPES = {
    "bench-1b": (QWEN_1B, "F32", ["--weights=pack"]),
    "bench-layer": (QWEN_LAYER, "BF16", ["--weights=map"]),
    "bench-shared": (QWEN_SHARED, "BF16", ["--weights=pack", "--strict"]),
    "bench-mixtral": (MIXTRAL, "BF16", ["--weights=pack"]),
    "bench-mixtral-window": (MIXTRAL | {"sliding_window": 150}, "F16", ["--weights=embed"]),
}


class StoredWeights(collections.abc.Mapping):
    """The tensors of a directory by name, widened to float64 each time one is asked for."""

    def __init__(self, directory):
        self.where = {}
        for path in sorted(directory.glob("model*.safetensors")):
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            data = np.memmap(path, np.uint8, "r", 8 + size)
            self.where |= {name: (data, entry) for name, entry in header.items()}

    def __contains__(self, name):
        return name in self.where

    def __iter__(self):
        return iter(self.where)

    def __len__(self):
        return len(self.where)

    def __getitem__(self, name):
        data, entry = self.where[name]
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "F16":
            return data[begin:end].view(np.float16).reshape(entry["shape"]).astype(np.float64)
        raw = data[begin:end].view(check_reference.FIELDS[entry["dtype"]]).reshape(entry["shape"])
        return check_reference.decode(raw, entry["dtype"])


class Reference(check_reference.Model):
    """Remembers, per layer and row, the least gap between router logits that decide the experts and their order."""

    def __init__(self, directory):
        self.c, self.w = check_reference.read_config(directory), StoredWeights(directory)
        self.kind, self.eps = self.c["model_type"], self.c["rms_norm_eps"]

    def route(self, x, p, layer):
        name = p + ("block_sparse_moe.gate" if self.kind == "mixtral" else "mlp.gate")
        ordered = -np.sort(-self.linear(x, name), -1)[:, :self.c["num_experts_per_tok"] + 1]
        self.gaps[layer] = ordered[:, :-1] - ordered[:, 1:]
        return super().route(x, p, layer)

    def logits(self, ids):
        self.gaps = {}
        return super().logits(ids)


def check_shape(checks, name):
    config, kind, options = SHAPES[name]
    with work_folder() as folder, checks.about(name):
        directory = folder / "model"
        checkpoints.write_random(directory, config, kind, seed=5, router=2.0)
        random = np.random.default_rng(7)
        ids = {f"s{i}.input_ids": random.integers(0, VOCABULARY, length) for i, length in enumerate(LENGTHS)}
        source = folder / "in.safetensors"
        save_file(ids, source)
        program = compile_model(directory, folder / "program", "--activations=f32", *options)
        ask = ["--routing", "--greedy", "3"]
        first = evaluate(program, source, folder / "first.safetensors", *ask)
        for way in WAYS:
            other = evaluate(program, source, folder / "other.safetensors", *ask, *way)
            checks.that(other.read_bytes() == first.read_bytes(), f"{name}: {' '.join(way)} gives other bytes")
            other.unlink()
        got, reference = load_file(first), Reference(directory)
        for i in range(len(LENGTHS)):
            check_sequence(checks, f"{name}: sequence {i}", got, f"s{i}", reference, ids[f"s{i}.input_ids"])


def check_sequence(checks, what, got, sequence, reference, ids):
    want = reference.logits(ids)
    compare_logits(checks, what, got[sequence + ".logits"], want, "f32")
    for layer, (experts, weights) in reference.routing.items():
        gaps = reference.gaps[layer]
        checks.that(gaps[:, -1].min() > 2e-6, f"{what}: the test's own numbers decide too closely, change its seed")
        clear = gaps.min(-1) > 1e-4
        same = got[f"{sequence}.router.{layer}.experts"][clear] == experts[clear]
        checks.that(same.all(), f"{what}: layer {layer}: other experts in {np.count_nonzero(~same.all(-1))} rows")
        error = np.abs(got[f"{sequence}.router.{layer}.weights"] - weights)[clear].max()
        checks.that(error <= 1e-4, f"{what}: layer {layer}: routing weights off by {error:.2e}")
    last = np.sort(want[-1])
    if last[-1] - last[-2] > 1e-3:
        checks.that(got[sequence + ".greedy_ids"][0] == want[-1].argmax(), f"{what}: another greedy token")


if __name__ == "__main__":
    checks = Checks()
    for name in sys.argv[1:] or SHAPES:
        check_shape(checks, name)
    checks.finish()
