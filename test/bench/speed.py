#!/usr/bin/env python3
"""Speed of compiled programs on random checkpoints, beside that of llama.cpp, ik_llama.cpp and, where they are asked for, vLLM and
transformers, which take 6 GB to install, and beside the limits of the machine.

    build/python/bin/python3 test/bench/speed.py [--models bench-1b] [--formats bf16] [--threads 1] [--work decode] [--peers none]

Checkpoints, programs, the peers' sources and builds and their files are made where they are missing, and stay in build/bench. A line
tells of one program at one work: tokens per second; its ratio to the best peer; what it takes of the limit, which is the read bandwidth
for decode, and for prefill the peak of bf16 dot products, or of f32 multiply-adds where the CPU has none of those; what a token reads
or computes; and the most memory held. Programs take turns, each round in another order, with the limits of so many threads measured
before and after each run; ratios are taken within a round. Of several figures the least / median / most are given.

All but the first of the batches are tried at the first of the contexts only; busy neighbours, and more threads than cores, with the
first of the prompts, contexts and batches only.
"""

import argparse
import statistics
import subprocess
import sys
import typing

import bench_model
from llama import IkLlama, Llama
from measure import CPUS, FOLDER, limits, machine, neighbours, spread
from ours import Moec
from python_peers import Transformers, Vllm
from work import Refused, Work, decode

PEERS = {peer.name: peer for peer in (IkLlama, Llama, Vllm, Transformers)}


class Program(typing.NamedTuple):
    """One of those that are compared: an engine, and what it calls the format."""
    engine: object
    kind: str

    def name(self):
        return f"{self.engine.name} {self.kind}"


class Reading(typing.NamedTuple):
    """One run, with the limits around it."""
    rate: float  # tokens per second
    read: float  # bytes per second
    peak: float  # operations per second
    sample: object


def in_turns(programs, run, limit, rounds):
    """{program: its reading of each round}; `run(program)` gives a sample, `limit()` those of the machine. Without those that refuse."""
    readings = {program: [] for program in programs}
    for number in range(rounds):
        before, left = limit(), list(readings)
        first = number % len(left)
        for program in left[first:] + left[:first]:
            try:
                sample, after = run(program), limit()
            except Refused as reason:
                print(f"left out: {program.name()}: {reason}", file=sys.stderr)
                del readings[program]
                continue
            read, peak = ((a + b) / 2 for a, b in zip(before[:2], after[:2]))
            readings[program].append(Reading(statistics.median(sample.rates), read, peak, sample))
            before = after
    return readings


def best_peer(readings):
    """The program, ours apart, whose median is the largest; None where there is none."""
    peers = [program for program in readings if not isinstance(program.engine, Moec)]
    return max(peers, key=lambda program: statistics.median(reading.rate for reading in readings[program]), default=None)


def rows(readings, work, operations):
    """For each program the cells that follow its name; `operations` are those of a token of a prompt."""
    best = best_peer(readings)
    for program, own in readings.items():
        if work.kind == "decode":
            limit = [reading.read for reading in own]
            shares = [100 * reading.rate * reading.sample.bytes_per_token / reading.read for reading in own]
            cost = f"{own[0].sample.bytes_per_token / 1e6:.1f} MB"
        else:
            limit = [reading.peak for reading in own]
            shares = [100 * reading.rate * operations / reading.peak for reading in own]
            cost = f"{operations / 1e9:.3f} GFLOP"
        ratios = [mine.rate / theirs.rate for mine, theirs in zip(own, readings[best])] if best else []
        yield program, [spread([reading.rate for reading in own]), spread(ratios, 2) if ratios else "", spread(shares, 0),
                        spread([most / 1e9 for most in limit]), cost, f"{max(reading.sample.peak for reading in own) / 1e6:.0f}"]


def works(options, crowded):
    """What is measured; less of it where others crowd the cores."""
    for prompt in options.prompts[:1] if crowded else options.prompts:
        if "prefill" in options.work:
            yield Work("prefill", prompt)
    for depth in options.contexts[:1] if crowded else options.contexts:
        if "decode" in options.work:
            yield decode(depth, options.batches[0])
    for batch in [] if crowded else options.batches[1:]:
        if "decode" in options.work:
            yield decode(options.contexts[0], batch)


def prepare(model, format_, engines):
    """The programs for this format with what making them took, {program: made}; empty where ours does not know it yet."""
    made = {}
    for engine in engines:
        for kind in engine.formats.get(format_, []):
            program = Program(engine, kind)
            try:
                made[program] = engine.prepare(model, kind)
            except Refused as reason:
                print(f"left out: {model} as {program.name()}: {reason}", file=sys.stderr)
                if isinstance(engine, Moec):
                    return {}
    return made


def checkpoint(model):
    if not (FOLDER / model / "tokenizer.json").exists():
        print(f"writing {FOLDER / model}", file=sys.stderr)
        # By a process of its own: what this one has held once counts as held by all that it starts.
        subprocess.run([sys.executable, "-B", bench_model.__file__, model, FOLDER / model], check=True, stdout=sys.stderr)


def print_line(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def measure_speed(options, model, programs):
    """Prints the lines of one model and format."""
    for beside in options.neighbours:
        for threads in options.threads:
            for work in works(options, beside or threads > CPUS):
                operations = bench_model.prefill_operations(bench_model.MODELS[model], work.tokens) / work.tokens
                with neighbours(beside):
                    readings = in_turns(programs, lambda program: program.engine.run(model, program.kind, work, threads),
                                        lambda: limits(threads), options.rounds)
                for program, cells in rows(readings, work, operations):
                    print_line([model, str(threads), str(beside), work.name(), program.name(), *cells])


def measure_start(options, model, made):
    """Lines of the second table: what making the programs took, and how soon they give a token."""
    taken = {program: [] for program in made}
    for _ in range(options.rounds):
        for program in made:
            taken[program].append(program.engine.start(model, program.kind, options.threads[0]))
    for program, told in made.items():
        yield [model, program.name(), f"{told['bytes'] / 1e6:.0f}", f"{told['seconds']:.1f}", f"{told['cpu_seconds']:.1f}",
               f"{told['peak'] / 1e6:.0f}", spread(taken[program], 2)]


def list_of(known=None):
    """Reads values with commas between them: integers, or some of `known`."""
    def take(text):
        values = text.split(",")
        if known and not set(values) <= set(known):
            raise argparse.ArgumentTypeError(f"'{text}', wanted some of {','.join(known)}")
        if not known and not all(value.isdecimal() for value in values):
            raise argparse.ArgumentTypeError(f"'{text}', wanted integers with commas between")
        return values if known else [int(value) for value in values]
    return take


def parse_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def choice(name, known, default=None):
        parser.add_argument(name, type=list_of(known), default=default or list(known), metavar="A,B", help=f"some of {','.join(known)}")

    def numbers(name, default, about):
        parser.add_argument(name, type=list_of(), default=default, metavar="N,N", help=f"{about} (default: {','.join(map(str, default))})")

    choice("--models", bench_model.MODELS)
    choice("--formats", ["bf16", "8bit", "4bit"])
    choice("--work", ["prefill", "decode", "start"])
    choice("--peers", [*PEERS, "none"], ["ik_llama.cpp", "llama.cpp"])
    numbers("--threads", sorted({1, CPUS, 2 * CPUS}), "of each program")
    numbers("--neighbours", [0, 1], "busy processes beside")
    numbers("--prompts", [512, 2048], "tokens of a prompt")
    numbers("--contexts", [0, 512, 4096], "tokens before those that decode gives")
    numbers("--batches", [1, 8, 32], "sequences that decode side by side")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def main():
    options = parse_options()
    FOLDER.mkdir(parents=True, exist_ok=True)
    engines = [Moec()] + [PEERS[name]() for name in options.peers if name != "none"]
    programs = {}
    for model in options.models:
        checkpoint(model)
        for format_ in options.formats:
            programs[model, format_] = prepare(model, format_, engines)
    print(f"{machine()}; {options.rounds} rounds; least / median / most\n")
    print("| model | threads | beside | work | program | tokens/s | against the best peer | % of the limit | limit, GB/s or GFLOP/s "
          "| a token | peak MB |\n" + "|---" * 11 + "|", flush=True)
    lines = []
    for (model, _), made in programs.items():
        for program in made:
            program.engine.start(model, program.kind, options.threads[0])  # brings its file into memory
        if made:
            measure_speed(options, model, list(made))
        if "start" in options.work and made:
            lines += measure_start(options, model, made)
    if lines:
        print("\n| model | program | MB | seconds to make | CPU seconds | peak MB | start to first token, seconds |\n" + "|---" * 7 + "|")
        for line in lines:
            print_line(line)


if __name__ == "__main__":
    main()
