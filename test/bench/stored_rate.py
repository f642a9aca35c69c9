#!/usr/bin/env python3
"""How much of the read bandwidth decoding takes with weights in the form that they are stored in, bytes counted as stored.

    build/python/bin/python3 test/bench/stored_rate.py [--models deepseek-fp8,gpt-oss-mxfp4] [--threads 1] [--rounds 5]

Layers whose experts have the sizes of DeepSeek-V3's (F8_E4M3 in blocks of 128 x 128) and of gpt-oss' (MXFP4), with random codes and
few and small other weights. Programs take turns; the limits of so many threads are measured before and after each run. Checkpoints
and programs stay in build/bench.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys

import numpy as np

from measure import CPUS, FOLDER, MOEC, limits, machine, output_of, spread, timed

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
import checkpoints  # noqa: E402

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
MXFP4 = {"quant_method": "mxfp4"}
VOCABULARY = 1024

# config; more than the caches hold is read in a token
MODELS = {
    "deepseek-fp8": checkpoints.qwen3_moe(7168, 2, 16, 8, 2048, 8, 2, 128, VOCABULARY, quantization_config=FP8),
    "gpt-oss-mxfp4": checkpoints.mixtral(2880, 12, 32, 4, 2880, 8, 2, VOCABULARY, head_dim=64, quantization_config=MXFP4),
}
TOKENS = 32


class Codes:
    """Random bytes, a window of a table for each tensor."""

    def __init__(self, seed=1, entries=1 << 24):
        self.random = np.random.default_rng(seed)
        table = self.random.integers(0, 256, entries, np.uint8)
        self.table = np.where(table & 127 == 127, 0, table).astype(np.uint8)  # no NaNs

    def bytes(self, count):
        parts = []
        while count:
            take = min(count, len(self.table) // 2)
            start = int(self.random.integers(0, len(self.table) - take))
            parts.append(self.table[start:start + take].tobytes())
            count -= take
        return b"".join(parts)


def stored_tensors(config):
    """name -> (kind, shape, what gives the bytes) of the whole model."""
    draw, codes, mxfp4 = checkpoints.Draw("BF16"), Codes(), config["quantization_config"] is MXFP4
    tensors = {}

    def add(name, kind, shape, data):
        tensors[name] = kind, shape, data

    for name, shape, deviation in checkpoints.tensors(config):
        is_expert = ".experts." in name
        if is_expert and mxfp4:
            rows, columns = shape
            exponent = 127 + round(math.log2(deviation / 3))  # 3 is about what random codes deviate by
            add(name + "_blocks", "U8", (rows, columns // 32, 16), lambda n=rows * columns // 2: codes.bytes(n))
            add(name + "_scales", "U8", (rows, columns // 32), bytes([exponent]) * (rows * columns // 32))
        elif len(shape) == 2 and not mxfp4 and "_proj." in name:
            grid = tuple(-(-extent // 128) for extent in shape)
            add(name, "F8_E4M3", shape, lambda n=math.prod(shape): codes.bytes(n))
            add(name + "_scale_inv", "F32", grid, np.full(grid, deviation / 130, np.float32).tobytes())
        else:
            add(name, "BF16", shape, lambda shape=shape, deviation=deviation: draw.bytes(shape, deviation))
    return tensors


def bytes_per_token(config, tensors):
    """As stored: of the experts those that a token picks, of the embedding a row, all else whole."""
    experts = config.get("num_experts") or config["num_local_experts"]
    total = 0
    for name, (kind, shape, _) in tensors.items():
        size = math.prod(shape) * checkpoints.SIZES[kind]
        if "embed_tokens" in name:
            size /= shape[0]
        total += size * config["num_experts_per_tok"] / experts if ".experts." in name else size
    return total


def program(name, options):
    """The program of a model, made where it is missing or older than the compiler."""
    config, directory = MODELS[name], FOLDER / name
    path = FOLDER / "-".join([name, "stored", *(option.strip("-").replace("=", "-") for option in options)])
    if not (directory / "model.safetensors.index.json").exists():
        print(f"writing {directory}", file=sys.stderr)
        checkpoints.write_mixed(directory, config, [stored_tensors(config)])
    if not path.exists() or path.stat().st_mtime < MOEC.stat().st_mtime:
        timed(MOEC, "compile", "--quiet", directory, "-o", path, *options)
    return path


def rate_of(path, threads):
    told = json.loads(output_of(path, "bench", "--json", "--threads", threads, "-p", 0, "-n", TOKENS, "-r", 2))
    return statistics.median(told["tests"][0]["samples"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", default=f"1,{CPUS}")
    parser.add_argument("--options", default="", help="of moec compile, with blanks between")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {options.rounds} rounds; least / median / most\n")
    print("| model | threads | tokens/s | stored MB a token | % of the bandwidth | bandwidth, GB/s |\n" + "|---" * 6 + "|", flush=True)
    for name in options.models.split(","):
        path = program(name, options.options.split())
        cost = bytes_per_token(MODELS[name], stored_tensors(MODELS[name]))
        for threads in map(int, options.threads.split(",")):
            rate_of(path, threads)  # brings its file into memory
            rates, reads, before = [], [], limits(threads)[0]
            for _ in range(options.rounds):
                rates.append(rate_of(path, threads))
                after = limits(threads)[0]
                reads.append((before + after) / 2)
                before = after
            shares = [100 * rate * cost / read for rate, read in zip(rates, reads)]
            print(f"| {name} | {threads} | {spread(rates)} | {cost / 1e6:.1f} | {spread(shares, 0)} | {spread([read / 1e9 for read in reads])} |",
                  flush=True)


if __name__ == "__main__":
    main()
