"""The float64 reference beside the golden data for checkpoints too large to widen whole: weights are read as they are needed."""

import collections.abc
import json
import sys

import numpy as np

from comparison import compare_logits
from programs import GOLDEN

sys.path.append(str(GOLDEN))
import check_reference  # noqa: E402

FLOAT4 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
ROUTERS = ("block_sparse_moe.gate", "mlp.gate", "mlp.router", "feed_forward.router")


class StoredWeights(collections.abc.Mapping):
    """The tensors of a directory by name, widened to float64 each time one is asked for; of those that stack experts, each
    time an expert is."""

    def __init__(self, directory):
        self.where = {}
        for path in sorted(directory.glob("model*.safetensors")):
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            data = np.memmap(path, np.uint8, "r", 8 + size)
            self.where |= {name.removeprefix("language_model."): (data, entry) for name, entry in header.items()}

    def __contains__(self, name):
        return name in self.where or name + "_blocks" in self.where

    def __iter__(self):
        return iter(self.where)

    def __len__(self):
        return len(self.where)

    def raw(self, name):
        data, entry = self.where[name]
        begin, end = entry["data_offsets"]
        field = np.float16 if entry["dtype"] == "F16" else check_reference.FIELDS[entry["dtype"]]
        return data[begin:end].view(field).reshape(entry["shape"]), entry["dtype"]

    def __getitem__(self, name):
        if name + "_blocks" in self.where:
            return Experts(self.mxfp4, name)
        raw, kind = self.raw(name)
        if raw.ndim == 3:
            return Experts(lambda _, expert: widen(raw[expert], kind), name)
        value = widen(raw, kind)
        if name + "_scale_inv" in self.where:
            scales, _ = self.raw(name + "_scale_inv")
            for row in range(scales.shape[0]):
                value[128 * row:128 * row + 128] *= np.repeat(scales[row].astype(np.float64), 128)[:value.shape[1]]
        return value

    def mxfp4(self, name, expert):
        (blocks, _), (scales, _) = self.raw(name + "_blocks"), self.raw(name + "_scales")
        codes = np.stack((blocks[expert] & 15, blocks[expert] >> 4), -1).reshape(*scales.shape[1:], 32)
        return (FLOAT4[codes] * 2.0 ** (scales[expert][..., None] - 127.0)).reshape(len(codes), -1).T


class Experts:
    """What all experts have, of which one at a time is read."""

    def __init__(self, read, name):
        self.read, self.name = read, name

    def __getitem__(self, expert):
        return self.read(self.name, expert)


def widen(raw, kind):
    return raw.astype(np.float64) if kind == "F16" else check_reference.decode(raw, kind)


class Reference(check_reference.Model):
    """Remembers, per layer and row, the least gap between what decides the experts and their order, and, per row of `rows`, the
    least gap between scores of keys that an indexer keeps and drops, of the largest score."""

    def __init__(self, directory):
        self.c, self.w = check_reference.read_config(directory), StoredWeights(directory)
        self.kind = {"kimi_k2": "deepseek_v3", "llama4_text": "llama4"}.get(self.c["model_type"], self.c["model_type"])
        self.eps = self.c["rms_norm_eps"]

    def route(self, x, p, layer):
        c, router = self.c, next(p + name for name in ROUTERS if p + name + ".weight" in self.w)
        key, group_gaps = self.linear(x, router), np.inf
        if self.kind.startswith("deepseek_v3"):
            key = check_reference.sigmoid(key) + self.w[router + ".e_score_correction_bias"]
            groups = -np.sort(-np.sort(key.reshape(len(x), c["n_group"], -1), -1)[..., -2:].sum(-1), -1)
            if c["topk_group"] < c["n_group"]:
                group_gaps = groups[:, c["topk_group"] - 1] - groups[:, c["topk_group"]]
            key = check_reference.limit_groups(key, c, self.kind, True)
        ordered = -np.sort(-key, -1)[:, :c["num_experts_per_tok"] + 1]
        self.gaps[layer] = ordered[:, :-1] - ordered[:, 1:]
        self.gaps[layer][:, -1] = np.minimum(self.gaps[layer][:, -1], group_gaps)
        return super().route(x, p, layer)

    def choose(self, scores, count):
        if count < scores.shape[1]:
            kept, dropped = (-np.partition(-scores, (count - 1, count), -1)[:, count - 1:count + 1]).T
            gaps = np.where(np.isfinite(dropped), kept, np.inf) - np.where(np.isfinite(dropped), dropped, 0)
            self.key_gaps = np.minimum(self.key_gaps, gaps / np.abs(scores[np.isfinite(scores)]).max())
        return super().choose(scores, count)

    def logits(self, ids):
        self.gaps, self.key_gaps = {}, np.full(len(np.arange(len(ids))[self.rows]), np.inf)
        return super().logits(ids)


def check_sequence(checks, what, got, sequence, reference, ids):
    """Eval's logits, routing and first greedy token of a sequence."""
    want = reference.logits(ids)
    compare_logits(checks, what, got[sequence + ".logits"], want, "f32")
    checks.that(reference.key_gaps.min() > 1e-6, f"{what}: the test's own numbers choose keys too closely, change its seed")
    for layer, (experts, weights) in reference.routing.items():
        gaps = reference.gaps[layer]
        checks.that(gaps[:, -1].min() > 2e-6, f"{what}: the test's own numbers decide too closely, change its seed")
        clear = gaps.min(-1) > 1e-4
        same = got[f"{sequence}.router.{layer}.experts"][clear] == experts[clear]
        checks.that(same.all(), f"{what}: layer {layer}: other experts in {np.count_nonzero(~same.all(-1))} rows")
        error = np.abs(got[f"{sequence}.router.{layer}.weights"] - weights)[clear].max()
        checks.that(error <= 1e-4, f"{what}: layer {layer}: routing weights off by {error:.2e}")
    check_greedy(checks, what, got[sequence + ".greedy_ids"][:1], want[-1:])


def check_greedy(checks, what, got, logits):
    """Greedy tokens are those of the largest logits, where these are clear."""
    best = np.sort(logits, -1)
    clear = best[:, -1] - best[:, -2] > 1e-3
    checks.that(np.array_equal(got[clear], logits.argmax(-1)[clear]), f"{what}: another greedy token")
