#!/usr/bin/env python3
"""How much of the read bandwidth decoding takes with weights in the form that they are stored in, bytes counted as stored.

    build/python/bin/python3 test/bench/stored_rate.py [--models deepseek-v3-fp8,gpt-oss-mxfp4] [--threads 1] [--rounds 5]

Layers of DeepSeek-V3 (F8_E4M3 in blocks of 128 x 128, latent attention) and of gpt-oss (MXFP4) at their published sizes, but fewer
of them, with fewer experts and a small vocabulary; weights are random. The limits of so many threads are measured before and after
each run. Checkpoints and programs stay in build/bench.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys

from measure import CPUS, FOLDER, MOEC, limits, machine, output_of, spread, timed

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
import checkpoints  # noqa: E402
import deepseek  # noqa: E402
import gpt_oss  # noqa: E402

# config; the layers and experts left take some GB, and a token reads more than the caches hold
MODELS = {
    "deepseek-v3-fp8": deepseek.v3(num_hidden_layers=3, first_k_dense_replace=1, n_routed_experts=16, n_group=4, topk_group=2,
                                   num_nextn_predict_layers=0, vocab_size=1024),
    "gpt-oss-mxfp4": gpt_oss.config(num_hidden_layers=6, num_local_experts=32, vocab_size=1024),
}
TOKENS = 32


def bytes_per_token(config):
    """As stored: of the experts those that a token picks, of the embedding a row, all else whole."""
    experts = config.get("n_routed_experts") or config["num_local_experts"]
    total = 0
    for name, (kind, shape, _) in checkpoints.stored_tensors(config, checkpoints.Draw("BF16", entries=2)).items():
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
        checkpoints.write_random(directory, config, "BF16")
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
        cost = bytes_per_token(MODELS[name])
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
