#!/usr/bin/env python3
"""Decode speed when the CPUs are not the program's alone: a busy neighbour, and more threads than CPUs.

    build/python/bin/python3 test/bench/neighbours.py [PROGRAM...] [--rounds N] [--tokens N]

PROGRAM: compiled models, each measured in turn in every situation (default: that of bench-1b, made where it is missing). The
percentage is that of the same program and round with a thread per CPU and no neighbour.
"""

import argparse
import pathlib
import statistics

from measure import CPUS, FOLDER, machine, neighbours, output_of, spread
from ours import Moec, parse_bench
from speed import checkpoint


def decode(program, threads, tokens):
    return statistics.median(parse_bench(output_of(program, "bench", "--json", "--threads", threads, "-p", 0, "-n", tokens, "-r", 2)).rates)


def default_program():
    checkpoint("bench-1b")
    Moec().prepare("bench-1b", "bf16")
    return Moec().program("bench-1b", "bf16")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    programs = options.programs or [default_program()]
    situations = list(dict.fromkeys([(CPUS, 0), (1, 0), (2 * CPUS, 0), (1, 1), (CPUS, 1), (CPUS, CPUS)]))
    rates = {(program, situation): [] for program in programs for situation in situations}
    for _ in range(options.rounds):
        for situation in situations:
            for program in programs:
                with neighbours(situation[1]):
                    rates[program, situation].append(decode(program.resolve(), situation[0], options.tokens))
    print(f"{machine()}; {options.rounds} rounds; tokens/s and % of unloaded, least / median / most\n")
    print("| program | threads | busy neighbours | decode | % of unloaded |\n|---|---|---|---|---|")
    for program in programs:
        unloaded = rates[program, situations[0]]
        for situation in situations:
            found = rates[program, situation]
            percent = [100 * rate / whole for rate, whole in zip(found, unloaded)]
            print(f"| {program.name} | {situation[0]} | {situation[1]} | {spread(found)} | {spread(percent, 0)} |")
