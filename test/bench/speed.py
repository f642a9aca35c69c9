#!/usr/bin/env python3
"""Decode and prefill speed on random checkpoints, each measured in turn with the limits of the machine.

    build/python/bin/python3 test/bench/speed.py [NAME...] [--rounds N] [--threads N]

NAME: bench-1b, bench-layer, bench-mixtral (default: all). Decode is compared with the read bandwidth, prefill with the peak of
bf16 dot products, or of f32 multiply-adds where the CPU has none of those, all of the same number of threads and of the same
minute. Checkpoints and programs stay in build/bench.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys

from measure import FOLDER, MOEC, TEST, machine, output_of, spread

PROMPT = 512


def limits(threads):
    """(bytes read per second, operations per second, of which kind); the median of few short rounds."""
    program = FOLDER / "machine_limits"
    source = TEST / "bench/machine_limits.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["g++", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    read, peaks = 0.0, {}
    for line in output_of(program, 512, 3).splitlines():
        found = re.match(rf"(.*?) +{threads} threads? +[\d.]+ / +([\d.]+) / ", line)
        if found and found[1].startswith("read"):
            read = max(read, float(found[2]) * 1e9)
        elif found:
            peaks[found[1].split()[0]] = float(found[2]) * 1e9
    kind = "bf16" if "bf16" in peaks else "f32"
    if not read or kind not in peaks:
        sys.exit(f"machine_limits says nothing of {threads} threads")
    return read, peaks[kind], kind


def prepare(name):
    """The program of the checkpoint, both made here where they are missing or older than the compiler."""
    import bench_model
    directory, program = FOLDER / name, FOLDER / f"{name}.program"
    if not (directory / "tokenizer.json").exists():
        print(f"writing {directory}", file=sys.stderr)
        bench_model.write(name, directory)
    if not program.exists() or program.stat().st_mtime < MOEC.stat().st_mtime:
        subprocess.run([MOEC, "compile", "--quiet", directory, "-o", program], check=True)
    total, active = bench_model.sizes(bench_model.MODELS[name])
    return program, 2 * active, bench_model.prefill_operations(bench_model.MODELS[name], PROMPT)


def measure(program, threads):
    """(decoded, prefilled) tokens per second, as the program itself measures them."""
    told = json.loads(output_of(program, "bench", "--json", "--threads", threads, "-p", PROMPT, "-n", 64, "-r", 1))
    return told["decode"]["tokens_per_second"], told["prefill"]["tokens_per_second"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["bench-1b", "bench-layer", "bench-mixtral"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {options.threads} thread(s); {options.rounds} rounds; least / median / most\n")
    print("| checkpoint | decode, tokens/s | % of read bandwidth | prefill, tokens/s | % of peak | GB/s | GFLOP/s | peak of |\n"
          "|---|---|---|---|---|---|---|---|")
    for name in options.names:
        program, bytes_, operations = prepare(name)
        rows = []
        for _ in range(options.rounds):
            read, peak, kind = limits(options.threads)
            decode, prefill = measure(program, options.threads)
            rows.append((decode, 100 * decode * bytes_ / read, prefill, 100 * prefill * operations / PROMPT / peak, read / 1e9,
                         peak / 1e9))
        columns = list(zip(*rows))
        print(f"| {name} | " + " | ".join(spread(column, 0 if i > 3 else 1) for i, column in enumerate(columns)) + f" | {kind} |", flush=True)
        if statistics.median(columns[1]) > 105:
            sys.exit("more than the bandwidth of the machine: the weights are not read, or the limit is not one")
