#!/usr/bin/env python3
"""How fast weights are packed, against what the disk reads and writes in the same minute.

    build/python/bin/python3 test/bench/pack_rate.py [NAME] [--rounds N]

NAME: a checkpoint of bench_model.py, by default bench-1b. The page cache is emptied before each reading where this user may.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

from measure import FOLDER, MOEC, machine, spread, timed
import bench_model

BLOCK = 8 << 20


def forget(paths):
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_rate(paths):
    forget(paths)
    start, size = time.monotonic(), 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(BLOCK):
                size += len(block)
    return size / (time.monotonic() - start)


def write_rate(size):
    path, block = FOLDER / "written", os.urandom(BLOCK)
    start = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // BLOCK):
            file.write(block)
        os.fsync(file.fileno())
    taken = time.monotonic() - start
    path.unlink()
    return size // BLOCK * BLOCK / taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="bench-1b", choices=bench_model.MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    directory, program = FOLDER / options.name, FOLDER / "packed"
    if not (directory / "tokenizer.json").exists():
        bench_model.write(options.name, directory)
    shards = sorted(directory.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in shards)
    rows = []
    for _ in range(options.rounds):
        for stale in FOLDER.glob("packed*"):
            stale.unlink()
        read, write = read_rate(shards), write_rate(size)
        bare = timed(MOEC, "compile", directory, "--headers-only", "--emit=obj", "-o", FOLDER / "packed.o")[0]
        forget(shards)
        whole = timed(MOEC, "compile", directory, "-o", program, stderr=subprocess.DEVNULL)[0]
        packed = pathlib.Path(f"{program}.weights").stat().st_size
        if whole <= bare:
            sys.exit(f"packing and compiling took {whole:.1f} s, compiling alone {bare:.1f} s: the machine is too busy to tell")
        rate = packed / (whole - bare)
        rows.append((read / 1e9, write / 1e9, rate / 1e9, 100 * rate / min(read, write)))
    print(f"{machine()}; {options.name}, {size / 1e9:.2f} GB; {options.rounds} rounds; least / median / most\n")
    print("| disk reads, GB/s | writes, GB/s | packs, GB/s | % of the slower |\n|---|---|---|---|")
    print("| " + " | ".join(spread(column, 0 if i == 3 else 2) for i, column in enumerate(zip(*rows))) + " |")
