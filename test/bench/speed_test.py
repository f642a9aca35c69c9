"""What speed.py reads out of recorded outputs, and what its lines say of invented figures. Nothing is timed."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from measure import FOLDER, parse_limits
import checkpoints
from llama import IkLlama, Llama, parse_batched, parse_bench
from ours import Moec
from ours import parse_bench as parse_ours
from python_peers import Transformers, Vllm
from speed import Program, in_turns, parse_options, rows, works
from to_gguf import entries_of, interleaved, widened
from work import Refused, Sample, Work, bytes_per_token, decode

LIMITS = """read 4K pages 1st      1 thread       16.0 /     17.0 /     18.0 GB/s
read 4K pages 1st      2 threads      20.0 /     21.0 /     22.0 GB/s
read 2M pages 4st      1 thread       18.0 /     20.0 /     21.0 GB/s
f32 fma                1 thread      100.0 /    105.0 /    106.0 G/s
f32 fma                2 threads     200.0 /    210.0 /    211.0 G/s
"""
DOT_PRODUCTS = LIMITS + "bf16 vdpbf16ps         1 thread      400.0 /    410.0 /    411.0 G/s\n"
LLAMA_BENCH = """[
  {
    "build_commit": "unknown",
    "n_prompt": 512,
    "n_gen": 0,
    "avg_ts": 150.000000,
    "samples_ns": [ 4000000000, 3000000000 ],
    "samples_ts": [ 128.0, 172.0 ]
  }
]
"""
BATCHED_BENCH = """main: n_kv_max = 2048, n_batch = 2048, n_threads = 1

|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|     1 |     24 |    8 |    200 |    0.100 |    80.00 |    2.000 |    96.25 |    2.100 |    95.24 |

"""
OURS = """{"model": "m", "peak_bytes": 3000000, "decode": {"test": "tg4"}, "tests": [
{"test": "tg4 x8 @ d512", "samples": [10.0, 12.5], "bytes_per_token": 500.0}]}"""


def expect(found, wanted):
    if found != wanted:
        sys.exit(f"found {found}\nwanted {wanted}")


def exits(call, word):
    try:
        call()
    except SystemExit as error:
        return expect(word in str(error), True)
    sys.exit("no exit")


expect(parse_limits(LIMITS, 1), (20e9, 105e9, "f32"))  # the fastest way of reading, by its median
expect(parse_limits(LIMITS, 2), (21e9, 210e9, "f32"))
expect(parse_limits(DOT_PRODUCTS, 1), (20e9, 410e9, "bf16"))
exits(lambda: parse_limits(LIMITS, 3), "3 threads")
expect(parse_bench(LLAMA_BENCH), [128.0, 172.0])
expect(parse_bench("device [0]: 8 layers\n" + LLAMA_BENCH), [128.0, 172.0])
expect(parse_batched(BATCHED_BENCH), [96.25])
exits(lambda: parse_batched("llama_decode() failed"), "failed")
expect(parse_ours(OURS), Sample([10.0, 12.5], 3000000, 500.0))

# Each of both in its own words.
expect(Llama().command("f", decode(512, 1), 2)[0][1:], ["-m", "f", "-t", 2, "-r", 2, "-o", "json", "-p", 0, "-n", 64, "-d", 512,
                                                        "-fa", "1", "-lm", "none"])
expect(IkLlama().command("f", decode(4096, 1), 2)[0][5:13], ["-r", 1, "-o", "json", "-p", 0, "-n", 0])
expect(IkLlama().command("f", decode(4096, 1), 2)[0][13:15], ["-gp", "4096,64"])
expect(IkLlama().command("f", decode(0, 8), 1)[0][7:15], ["-c", 2048, "-npp", 1, "-ntg", 24, "-npl", 8])

# The command of the two that are Python, which load the checkpoint itself.
expect([str(word) for word in Vllm().command("m", decode(512, 8), 2)[-7:]], [str(FOLDER / "m"), "2", "decode", "24", "512", "8", "1"])
expect(Transformers().command("m", Work("prefill", 64), 1)[2].name, "run_transformers.py")
expect([engine for engine in parse_options([]).peers if engine in ("vllm", "transformers")], [])

# Two experts of four: one token reads half of them, two tokens three quarters; and a row of the embedding each.
CONFIG = {"num_experts": 4, "num_experts_per_tok": 2, "vocab_size": 10, "hidden_size": 8, "num_attention_heads": 4,
          "num_key_value_heads": 2, "num_hidden_layers": 3}
TENSORS = {"token_embd.weight": 160, "blk.0.ffn_up_exps.weight": 4000, "output.weight": 100}
CACHE = 3 * 2 * 2 * 2 * 2  # layers, keys and values, heads, width, bytes
expect(bytes_per_token(TENSORS, CONFIG, Work("decode", 1)), 16 + 2000 + 100)
expect(bytes_per_token(TENSORS, CONFIG, Work("decode", 3, 50)), 16 + 2000 + 100 + 51 * CACHE)
expect(bytes_per_token(TENSORS, CONFIG, Work("decode", 1, 50, 2)), 16 + 1500 + 50 + 50 * CACHE)
tied = {"token_embd.weight": 160, "blk.0.ffn_up_exps.weight": 4000}
expect(bytes_per_token(tied, CONFIG, Work("decode", 1)), 160 + 2000)

# What becomes of a checkpoint's tensors: pairs that rotate together become neighbours, bf16 becomes f32.
expect(interleaved(np.arange(8).reshape(8, 1), 2)[:, 0].tolist(), [0, 2, 1, 3, 4, 6, 5, 7])
expect(widened(np.array([0x3FC0, 0xC000], np.uint16).view(np.int16)).tolist(), [1.5, -2.0])
for config in (checkpoints.qwen3_moe(8, 2, 4, 2, 12, 4, 2, 2, 10), checkpoints.mixtral(8, 2, 4, 2, 12, 4, 2, 10, tie_word_embeddings=True)):
    tensors = {name: np.zeros(shape, np.int16) for name, shape, _ in checkpoints.tensors(config)}
    entries = list(entries_of(config, tensors))
    expect(sum(len(entry.parts) for entry in entries), len(tensors))
    shapes = {entry.name: entry.values().shape for entry in entries}
    expect(shapes, {entry.name: entry.shape() for entry in entries})
    expect((shapes["blk.1.ffn_down_exps.weight"], shapes["blk.1.attn_k.weight"]), ((4, 8, 12), (4, 8)))
    expect([entry.name for entry in entries if entry.name.startswith("blk.0") and entry.is_wide()][-2:],
           ["blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight"] if config["model_type"] == "qwen3_moe" else
           ["blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight"])
    expect("output.weight" in shapes, not config["tie_word_embeddings"])

# Three programs in turns of changing order; the limit of a run is the mean of those around it.
ours, ik, other = Program(Moec(), "bf16"), Program(IkLlama(), "bf16"), Program(Llama(), "bf16")
ran, rates = [], {ours: iter([30, 40, 44]), ik: iter([20, 32, 40]), other: iter([19, 10, 41])}
bandwidth = iter([100e9, 300e9] + [400e9] * 20)


def run(program):
    ran.append(program)
    return Sample([next(rates[program])], 5e6, 2e9)


readings = in_turns([ours, ik, other], run, lambda: (next(bandwidth), 1000e9, "f32"), 3)
expect(ran, [ours, ik, other, ik, other, ours, other, ours, ik])
expect([reading.read for reading in readings[ours]], [200e9, 400e9, 400e9])
lines = dict(rows(readings, Work("decode", 4), 0))
# The best peer is the one with the best median, though another was faster once.
expect(lines[ours], ["30.0 / 40.0 / 44.0", "1.10 / 1.25 / 1.50", "20 / 22 / 30", "200.0 / 400.0 / 400.0", "2000.0 MB", "5"])
expect(lines[ik][1], "1.00 / 1.00 / 1.00")
expect(lines[other][1], "0.31 / 0.95 / 1.02")
lines = dict(rows(readings, Work("prefill", 4), 10e9))
expect(lines[ours][2:5], ["30 / 40 / 44", "1000.0 / 1000.0 / 1000.0", "10.000 GFLOP"])
expect(dict(rows({ours: readings[ours]}, Work("decode", 4), 0))[ours][1], "")

# One that refuses is left out, the others go on.
def run_or_refuse(program):
    if program is ik:
        raise Refused("as a test")
    return Sample([1], 5e6, 2e9)


readings = in_turns([ours, ik, other], run_or_refuse, lambda: (1e9, 1e9, "f32"), 2)
expect([(program, len(own)) for program, own in readings.items()], [(ours, 2), (other, 2)])

options = parse_options(["--prompts", "5,6", "--contexts", "0,9", "--batches", "1,8"])
names = [work.name() for work in works(options, False)]
expect(names, ["prefill 5", "prefill 6", "decode at 0", "decode at 9", "decode at 0, batch 8"])
expect([work.name() for work in works(options, True)], ["prefill 5", "decode at 0"])
expect(parse_options(["--peers", "none", "--formats", "bf16,4bit"]).formats, ["bf16", "4bit"])

speed = [sys.executable, "-B", Path(__file__).with_name("speed.py")]
help_ = subprocess.run([*speed, "--help"], capture_output=True, text=True, check=False)
expect((help_.returncode, "--peers" in help_.stdout, help_.stderr), (0, True, ""))
refused = subprocess.run([*speed, "--models", "bench-2b"], capture_output=True, text=True, check=False)
expect((refused.returncode, "bench-2b" in refused.stderr), (2, True))
