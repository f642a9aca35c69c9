"""One thin layer with the heads, rotations, windows, chunks and temperatures of published models over a long sequence: the last
rows, and tokens after them, against a float64 computation.

    long_positions.py CASE...

The sequences end past 8192; with MOEC_TEST_ALL=1 past 32768.
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
import deepseek
import gpt_oss
import llama4
from comparison import compare_logits
from programs import ALL, Checks, compile_model, evaluate, work_folder
from reference import Reference, check_greedy

LENGTH = (32768 if ALL else 8192) + 12
ROWS = 24  # the last of them, which are compared: before and after what ends at a power of two
VOCABULARY = 61

DEEPSEEK = {"num_hidden_layers": 1, "first_k_dense_replace": 1, "hidden_size": 64, "intermediate_size": 80, "num_attention_heads": 2,
            "num_key_value_heads": 2, "q_lora_rank": 48, "kv_lora_rank": 64, "vocab_size": VOCABULARY, "num_nextn_predict_layers": 0}
LLAMA4 = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size_mlp": 80, "intermediate_size": 48, "num_attention_heads": 2,
          "num_key_value_heads": 1, "num_local_experts": 3, "vocab_size": VOCABULARY}
GPT_OSS = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_key_value_heads": 1,
           "num_local_experts": 4, "num_experts_per_tok": 2, "experts_per_token": 2, "vocab_size": VOCABULARY}

CASES = {
    "deepseek-v3": deepseek.v3(**DEEPSEEK),
    "deepseek-v3.2": deepseek.v32(**DEEPSEEK | {"index_n_heads": 4}),
    "kimi-k2": deepseek.kimi_k2(**DEEPSEEK),
    "scout-rope": llama4.scout(**LLAMA4, no_rope_layers=[1]),
    "maverick-rope": llama4.config(**LLAMA4 | {"interleave_moe_layer_step": 1}, no_rope_layers=[1]),
    "scout-nope": llama4.scout(**LLAMA4, no_rope_layers=[0]),
    "gpt-oss-window": gpt_oss.config(**GPT_OSS, layer_types=["sliding_attention"]),
    "gpt-oss-all": gpt_oss.config(**GPT_OSS, layer_types=["full_attention"]),
}


def check_case(checks, name):
    with work_folder() as folder, checks.about(name):
        directory = folder / "model"
        checkpoints.write_random(directory, CASES[name], "BF16", seed=3, router=2.0)
        ids = np.random.default_rng(9).integers(0, VOCABULARY, LENGTH)
        source = folder / "in.safetensors"
        save_file({"s.input_ids": ids}, source)
        program = compile_model(directory, folder / "program", "--activations=f32")
        first = evaluate(program, source, folder / "first.safetensors", "--greedy", "3")
        other = evaluate(program, source, folder / "other.safetensors", "--greedy", "3", "--chunk", "1000")
        checks.that(other.read_bytes() == first.read_bytes(), f"{name}: in chunks it gives other bytes")
        got, reference = load_file(first), Reference(directory)
        greedy = got["s.greedy_ids"]
        reference.rows = slice(-ROWS - 2, None)  # the greedy tokens but the last are read, too
        want = reference.logits(np.append(ids, greedy[:2]))[reference.rows]
        # A row depends on its own choice only: there is one layer. At 32768 f32 tells angles to 1e-3, and scores to a few 1e-6.
        clear = reference.key_gaps > 5e-6
        checks.that(clear.mean() > 0.5, f"{name}: the test's own numbers choose keys too closely, change its seed")
        for layer, gaps in reference.gaps.items():
            checks.that(gaps[reference.rows, -1].min() > 2e-6, f"{name}: the test's own numbers decide too closely, change its seed")
        compare_logits(checks, name, got["s.logits"][-ROWS:][clear[:ROWS]], want[:ROWS][clear[:ROWS]], "f32")
        check_greedy(checks, name, greedy[clear[-3:]], want[-3:][clear[-3:]])


if __name__ == "__main__":
    checks = Checks()
    for name in sys.argv[1:] or CASES:
        check_case(checks, name)
    checks.finish()
