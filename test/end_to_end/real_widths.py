"""Two layers of real widths over 600 tokens against a float64 computation: tiles, key pieces and cache blocks are crossed here.

    real_widths.py SHAPE...

The checkpoints are made here from seeded random numbers; the reference is the plain one beside the golden data, with
weights read as they are needed.
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
import deepseek
import gpt_oss
import llama4
from programs import ALL, Checks, compile_model, evaluate, work_folder
from reference import Reference, check_sequence

VOCABULARY = 4001  # the width of the last product is another matter
LENGTHS = [600, 333]
WAYS = [["--chunk", "7", "--threads", "1"], ["--chunk", "64"], ["--chunk", "301", "--batch"], ["--batch", "--threads", "2"],
        ["--threads", "1"]]
# Of the others, unless all tests are asked for.
LONG = {"bench-1b", "bench-mixtral-window"}
SKIPPED = {"deepseek-v3"}  # its layers are V3.2's without the choice of keys
FEW_LENGTHS, FEW_WAYS = [150, 61], [["--chunk", "7", "--batch"], ["--chunk", "64", "--threads", "1"]]

QWEN_1B = checkpoints.qwen3_moe(1024, 2, 64, 8, 384, 16, 4, 64, VOCABULARY)
QWEN_LAYER = checkpoints.qwen3_moe(2048, 2, 128, 8, 768, 32, 4, 128, VOCABULARY)
QWEN_SHARED = checkpoints.qwen2_moe(1024, 2, 20, 4, 352, 1408, 16, 16, VOCABULARY)
MIXTRAL = checkpoints.mixtral(1024, 2, 8, 2, 3584, 16, 4, VOCABULARY)

# A dense layer, and one of as many experts as fit. More groups are kept, so that there are more experts than a token picks.
CUT = {"num_hidden_layers": 2, "first_k_dense_replace": 1, "n_routed_experts": 16, "topk_group": 6, "vocab_size": VOCABULARY,
       "num_nextn_predict_layers": 0}
DEEPSEEK_V3 = deepseek.v3(**CUT)
DEEPSEEK_V32 = deepseek.v32(**CUT | {"index_topk": 40})
# A rotated layer that sees chunks, and one of experts that sees all at temperatures that grow.
LLAMA4 = llama4.scout(num_hidden_layers=2, num_local_experts=4, interleave_moe_layer_step=2, no_rope_layers=[1, 0],
                      attention_chunk_size=50, floor_scale=30, vocab_size=VOCABULARY)
GPT_OSS = gpt_oss.config(num_hidden_layers=2, num_local_experts=16, vocab_size=VOCABULARY)

# name -> config, type on disk, options of compile
SHAPES = {
    "bench-1b": (QWEN_1B, "F32", ["--weights=pack"]),
    "bench-layer": (QWEN_LAYER, "BF16", ["--weights=map"]),
    "bench-shared": (QWEN_SHARED, "BF16", ["--weights=pack", "--strict"]),
    "bench-mixtral": (MIXTRAL, "BF16", ["--weights=pack"]),
    "bench-mixtral-window": (MIXTRAL | {"sliding_window": 150}, "F16", ["--weights=embed"]),
    "deepseek-v3": (DEEPSEEK_V3, "BF16", ["--strict"]),
    "deepseek-v3.2": (DEEPSEEK_V32, "BF16", ["--strict"]),
    "llama-4": (LLAMA4, "BF16", ["--strict"]),
    "gpt-oss": (GPT_OSS, "BF16", ["--strict"]),
}


def check_shape(checks, name):
    config, kind, options = SHAPES[name]
    lengths, ways = LENGTHS if ALL or name in LONG else FEW_LENGTHS, WAYS if ALL else FEW_WAYS
    with work_folder() as folder, checks.about(name):
        directory = folder / "model"
        checkpoints.write_random(directory, config, kind, seed=5, router=2.0)
        random = np.random.default_rng(7)
        ids = {f"s{i}.input_ids": random.integers(0, VOCABULARY, length) for i, length in enumerate(lengths)}
        source = folder / "in.safetensors"
        save_file(ids, source)
        program = compile_model(directory, folder / "program", "--activations=f32", *options)
        ask = ["--routing", "--greedy", "3"]
        first = evaluate(program, source, folder / "first.safetensors", *ask)
        for way in ways:
            other = evaluate(program, source, folder / "other.safetensors", *ask, *way)
            checks.that(other.read_bytes() == first.read_bytes(), f"{name}: {' '.join(way)} gives other bytes")
            other.unlink()
        got, reference = load_file(first), Reference(directory)
        for i in range(len(lengths)):
            check_sequence(checks, f"{name}: sequence {i}", got, f"s{i}", reference, ids[f"s{i}.input_ids"])


if __name__ == "__main__":
    if not ALL and set(sys.argv[1:]) & SKIPPED:
        print("skipped: MOEC_TEST_ALL=1 runs it")
        sys.exit(77)
    checks = Checks()
    for name in sys.argv[1:] or SHAPES:
        check_shape(checks, name)
    checks.finish()
