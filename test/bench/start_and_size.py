#!/usr/bin/env python3
"""How soon the dictionary program writes its first token, and how large programs are.

    build/python/bin/python3 test/bench/start_and_size.py [--rounds N]
"""

import argparse
import subprocess
import time

from measure import FOLDER, MOEC, TEST, machine, spread

GOLDEN = TEST / "golden"
DICTIONARY = TEST.parent / "examples/dictionary/model"


def first_byte(program):
    """Milliseconds from start to the first byte of the answer."""
    start = time.monotonic()
    with subprocess.Popen([program, "generate", "--temperature", "0", "--max-tokens", "8", "volcano"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.read(1)
        taken = 1e3 * (time.monotonic() - start)
        process.stdout.read()
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {rounds} rounds\n\n| program | bytes stripped | tokenizer.json | first byte, ms |\n|---|---|---|---|")
    models = {"dictionary": DICTIONARY} | {case: GOLDEN / case for case in ("mixtral", "qwen3_moe", "qwen2_moe", "olmoe")}
    for name, model in models.items():
        program = FOLDER / f"size-{name}"
        subprocess.run([MOEC, "compile", "--quiet", model, "-o", program], check=True)
        stripped = FOLDER / "stripped"
        subprocess.run(["strip", "-o", stripped, program], check=True)
        start = spread([first_byte(program) for _ in range(rounds)]) if name == "dictionary" else ""
        print(f"| {name} | {stripped.stat().st_size} | {(model / 'tokenizer.json').stat().st_size} | {start} |")
