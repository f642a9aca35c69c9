#!/usr/bin/env python3
"""Time and memory of compiling models of true sizes to object code, and what twice the layers or experts adds; or to kernels for GPUs.

    build/python/bin/python3 test/bench/compile_cost.py [--target cpu|cuda] [--rounds N] [--models NAME,...]

The directories hold headers only, so nothing is packed. What twice the layers or experts add is taken of the least
CPU time of the rounds, which other jobs on the machine change least; wanted is less than 10 %. Kernels are made for
sm_80 and sm_90a, of models as published, and assembled by ptxas, whose time counts, and whose memory where it is more.
"""

import argparse
import multiprocessing
import os
import pathlib
import sys
import tempfile

from measure import FOLDER, MOEC, machine, spread, timed
import checkpoints
import published

# name -> what makes its config, layers, experts
MODELS = {
    "Mixtral 8x7B": (published.mixtral_8x7b, 32, 8),
    "Qwen3-30B-A3B": (published.qwen3_30b, 48, 128),
    "DeepSeek-V3": (published.deepseek_v3, 61, 256),
    "Llama 4 Maverick": (published.maverick, 48, 128),
    "gpt-oss-120b": (published.gpt_oss_120b, 36, 128),
    "Kimi K2": (published.kimi_k2, 61, 384),
}

# What a target's compile makes.
FORMS = {"cpu": ["--emit=obj"], "cuda": ["--target=cuda", "--gpu=sm_80,sm_90a", "--emit=cubin"]}

MOST = 10  # per cent that twice the layers or experts may add


def variants(name, target):
    """(what is said of it, its config): the model as published, and for CPUs with twice the layers or experts."""
    config, layers, experts = MODELS[name]
    twice = [("twice the layers", config(layers=2 * layers)), ("twice the experts", config(experts=2 * experts))]
    return [(name, config())] + (twice if target == "cpu" else [])


def measure(models, rounds, form):
    """For each of `models` and each round what `timed` says; in turns, so that a slow minute of the machine meets all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = pathlib.Path(name)
        # A process's peak begins with that of the one that starts it, so another one writes the headers.
        with multiprocessing.Pool(1) as pool:
            pool.starmap(checkpoints.write_headers, [(folder / str(number), config) for number, (_, config) in enumerate(models)])
        _, _, floor = timed("true")
        uncached = os.environ | {"XDG_CACHE_HOME": "", "HOME": ""}
        taken = [[] for _ in models]
        for _ in range(rounds):
            for number, figures in enumerate(taken):
                figures.append(timed(MOEC, "compile", folder / str(number), "--headers-only", *form, "--quiet",
                                     "-o", folder / "out", env=uncached))
    if floor >= min(peak for figures in taken for _, _, peak in figures):
        sys.exit(f"the peaks are no more than this process's own, {floor / 1e6:.0f} MB")
    return taken


def change(now, base):
    """What of `now`, a least time or peak, is more than `base`."""
    more = 100 * (now / base - 1)
    return f"{more:+.1f} %" + ("" if more < MOST else " (too much)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", choices=FORMS, default="cpu")
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    options = parser.parse_args()
    names = options.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"--models: no {', '.join(unknown)} among {', '.join(MODELS)}")
    models = [variant for name in names for variant in variants(name, options.target)]
    taken = measure(models, options.rounds, FORMS[options.target])
    print(f"{machine()}; {options.rounds} rounds; least / median / most\n")
    print("| model | seconds | CPU seconds | against the first | MB | against the first |\n|---|---|---|---|---|---|")
    for (model, _), figures in zip(models, taken):
        seconds, work, peak = zip(*figures)
        if model in MODELS:
            base = min(work), min(peak)
        words = ["", ""] if model in MODELS else [change(min(work), base[0]), change(min(peak), base[1])]
        print(f"| {model} | {spread(seconds, 2)} | {spread(work, 2)} | {words[0]} | "
              f"{spread([p / 1e6 for p in peak], 0)} | {words[1]} |")
