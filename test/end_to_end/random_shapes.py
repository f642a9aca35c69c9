"""Small models of random shapes: the kernels give what plain loops give, with any pass left out and however the work is cut.

    random_shapes.py FAMILY...

A model is drawn from the number of its seed. One seed per family, and every pass left out once; with MOEC_TEST_ALL=1 many seeds,
each with every pass left out.
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
from comparison import compare_outputs
from programs import ALL, OPTIONAL_PASSES, Checks, compile_model, evaluate, work_folder

# family -> seeds, passes to leave out; those that take least to compile leave out most.
SHORT = {"mixtral": ([2, 9], OPTIONAL_PASSES[:2]), "qwen3_moe": ([5, 13], []), "qwen2_moe": ([2, 8], []), "olmoe": ([3, 14], OPTIONAL_PASSES[2:])}
# seed -> formats of weights; others keep their type
FORMATS = {8: "all:int8", 9: "all:int4", 10: "experts:int4_asymmetric,attention:int8_channel", 11: "all:int4_asymmetric,head:int8",
           12: "all:mxfp4,attention:int8", 13: "all:int5,head:int6",
           14: "all:fp8", 15: "experts:fp8,attention:int8"}
WAYS = [["--chunk", "1", "--threads", "3"], ["--chunk", "7", "--batch"], ["--chunk", "33", "--threads", "1"], ["--batch", "--threads", "2"]]


class Shape:
    """The numbers that all families share, drawn from a seed."""

    def __init__(self, family, seed):
        self.random = np.random.default_rng([seed, *family.encode()])
        self.special = seed // 2 % 2 == 1  # whether the keys that a family alone has are in use
        self.dense = seed // 4 % 2 == 1  # whether a layer has no experts, where the family has such
        self.layers = 2
        self.kv = self.between(1, 3)
        self.heads = self.kv * self.between(1, 3)
        self.dim = 2 * self.between(2, 14)
        self.hidden = self.heads * self.dim if family == "olmoe" else 2 * self.between(12, 50) + 1
        self.experts = self.between(2, 17)
        self.top = self.between(1, min(4, self.experts))
        self.inter = self.ragged(5, 80)
        self.vocabulary = self.between(70, 300)

    def between(self, least, most):
        return int(self.random.integers(least, most + 1))

    def ragged(self, least, most):
        """No multiple of 16, and so none of a panel's 48."""
        width = self.between(least, most)
        return width + 1 if width % 16 == 0 else width

    def pick(self, *values):
        return values[self.between(0, len(values) - 1)]


def mixtral(s):
    return checkpoints.mixtral(s.hidden, s.layers, s.experts, s.top, s.inter, s.heads, s.kv, s.vocabulary, head_dim=s.dim,
                               sliding_window=s.between(3, 50) if s.special else None)


def qwen3_moe(s):
    return checkpoints.qwen3_moe(s.hidden, s.layers, s.experts, s.top, s.inter, s.heads, s.kv, s.dim, s.vocabulary,
                                 norm_topk_prob=s.special, attention_bias=s.pick(False, True), **dense_layers(s))


def qwen2_moe(s):
    shared = s.inter * s.between(1, 3) if s.special else s.ragged(5, 80)
    return checkpoints.qwen2_moe(s.hidden, s.layers, s.experts, s.top, s.inter, shared, s.heads, s.kv, s.vocabulary,
                                 head_dim=s.dim, norm_topk_prob=s.special, qkv_bias=s.pick(True, True, False), **dense_layers(s))


def olmoe(s):
    return checkpoints.olmoe(s.hidden, s.layers, s.experts, s.top, s.inter, s.heads, s.kv, s.vocabulary,
                             norm_topk_prob=s.pick(False, True), clip_qkv=0.7 if s.special else None)


def dense_layers(s):
    if not s.dense:
        return {}
    return {"intermediate_size": s.ragged(5, 80)} | s.pick({"decoder_sparse_step": 2}, {"mlp_only_layers": [s.between(0, s.layers - 1)]})


FAMILIES = {build.__name__: build for build in (mixtral, qwen3_moe, qwen2_moe, olmoe)}


def lengths(s):
    """Below and above a tile of rows, a block of the cache and, at times, what one step takes."""
    longest = s.between(513, 600) if ALL and s.pick(True, False, False) else s.between(65, 130)
    return [1, s.between(2, 31), s.between(33, 64), longest]


def check_seed(checks, family, seed, passes):
    s = Shape(family, seed)
    config = FAMILIES[family](s) | {"tie_word_embeddings": s.pick(False, True)}
    activations = ["f32", "bf16"][seed % 2]
    kind = s.pick("F32", "F16", "BF16")
    options = [f"--activations={activations}", f"--weights={s.pick('pack', 'pack', 'embed', 'map')}", f"--cpu={s.pick('native', 'native', 'avx2')}"]
    cache = s.pick(activations, "f32", "bf16")
    options.append(f"--kv-cache={cache}")
    exactness = "bf16" if "bf16" in (activations, cache) else "f32"
    if seed in FORMATS:
        options = [option for option in options if option != "--weights=map"] + [f"--quantize={FORMATS[seed]}"]
        if FORMATS[seed] != "all:fp8":  # the last bit of an activation may decide its integer, as it may decide a bf16
            exactness = "bf16"
    what = " ".join([family, f"seed {seed}", kind, *options])
    with work_folder() as folder, checks.about(what):
        checkpoints.write_random(folder / "model", config, kind, seed, router=2.0)
        source, ask = folder / "in.safetensors", ["--routing", "--greedy", "4"]
        save_file({f"s{i}.input_ids": s.random.integers(0, s.vocabulary, length) for i, length in enumerate(lengths(s))}, source)

        def evaluated(name, *more):
            program = compile_model(folder / "model", folder / name, *options, *more)
            return program, evaluate(program, source, folder / f"{name}.safetensors", *ask)

        _, plain = evaluated("plain", "--reference")
        program, fast = evaluated("fast")
        want = load_file(plain)
        compare_outputs(checks, what, load_file(fast), want, exactness, ties=True)
        for way in WAYS:
            other = evaluate(program, source, folder / "other.safetensors", *ask, *way)
            checks.that(other.read_bytes() == fast.read_bytes(), f"{what}: {' '.join(way)} gives other bytes")
        for name in passes:
            without = f"--without-pass={name}"
            _, unfused = evaluated("unfused", without)
            if seed in FORMATS:  # a shared expert that is not folded in has other groups of elements with one scale
                want = load_file(evaluated("plain", "--reference", without)[1])
            compare_outputs(checks, f"{what} without {name}", load_file(unfused), want, exactness, ties=True)


if __name__ == "__main__":
    checks = Checks()
    for family in sys.argv[1:] or FAMILIES:
        seeds, passes = (range(14), OPTIONAL_PASSES) if ALL else SHORT[family]
        for seed in seeds:
            check_seed(checks, family, seed, passes)
    checks.finish()
