#!/usr/bin/env python3
"""Time and memory of compiling models of true sizes to object code, and what twice the layers or experts adds.

    build/python/bin/python3 test/bench/compile_cost.py [--rounds N]

The directories hold headers only, so nothing is packed. What twice the layers or experts add is taken of the least
CPU time of the rounds, which other jobs on the machine change least; wanted is less than 10 %.
"""

import argparse
import tempfile
import pathlib

from measure import FOLDER, MOEC, machine, spread, timed
import checkpoints
import published

MODELS = {
    "Mixtral 8x7B": published.mixtral_8x7b(),
    "twice the layers": published.mixtral_8x7b(layers=64),
    "twice the experts": published.mixtral_8x7b(experts=16),
    "Qwen3-30B-A3B": published.qwen3_30b(),
    "twice the layers ": published.qwen3_30b(layers=96),
    "twice the experts ": published.qwen3_30b(experts=256),
    "Llama 4 Maverick": published.maverick(),
    "gpt-oss-120b": published.gpt_oss_120b(),
    "DeepSeek-V3": published.deepseek_v3(),
    "twice the layers  ": published.deepseek_v3(layers=122),
    "twice the experts  ": published.deepseek_v3(experts=512),
    "Kimi K2": published.kimi_k2(),
    "twice the layers   ": published.kimi_k2(layers=122),
    "twice the experts   ": published.kimi_k2(experts=768),
}

MOST = 10  # per cent that twice the layers or experts may add

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = pathlib.Path(name)
        for number, config in enumerate(MODELS.values()):
            checkpoints.write_headers(folder / str(number), config)
        taken = {model: [] for model in MODELS}
        for _ in range(rounds):  # in turns, so that a slow minute of the machine meets all of them
            for number, model in enumerate(MODELS):
                taken[model].append(timed(MOEC, "compile", folder / str(number), "--headers-only", "--emit=obj",
                                          "-o", folder / "out.o"))
    print(f"{machine()}; {rounds} rounds; least / median / most\n")
    print("| model | seconds | CPU seconds | against the first | MB | against the first |\n|---|---|---|---|---|---|")
    base = None
    for model, figures in taken.items():
        seconds, work, peak = zip(*figures)
        least = min(work), min(peak)
        if not model.startswith("twice"):
            base = least
        change = [100 * (now / then - 1) for now, then in zip(least, base)]
        words = [f"{more:+.1f} %" + ("" if more < MOST else " (too much)") if least is not base else "" for more in change]
        print(f"| {model.strip()} | {spread(seconds, 2)} | {spread(work, 2)} | {words[0]} | "
              f"{spread([p / 1e6 for p in peak], 0)} | {words[1]} |")
