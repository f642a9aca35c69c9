#!/usr/bin/env python3
"""What formats of weights cost in accuracy on the dictionary model: one table of ours and llama.cpp's.

    quality.py [--text FILE] [--quantize LIST ...] [--theirs TYPE ...] [--skip-peers]

Ours is `moec quality`, theirs llama-perplexity --kl-divergence on GGUF files of the same model; each is compared with its own
program of bf16 weights. Both score the second half of windows of 32 tokens. The text is made for that: each line is the beginning
of an entry of WordNet 3.0 (examples/dictionary/model/LICENSE-WordNet) that was held out from training (evaluate.py there), cut after 31
tokens, so that with the line's end each window is an entry, such as the model has learned. A bit counts for what it costs in the whole file.
"""

import argparse
import json
import pathlib
import re
import subprocess

import numpy as np

from llama import PEERS, Llama, convert
from measure import FOLDER, MOEC, TEST, output_and_peak, output_of
from programs import compile_model

MODEL = TEST.parent / "examples/dictionary/model"
TEXT = TEST / "bench/dictionary-held-out.txt"
WINDOW = 32
OURS = ["all:int8", "all:int8_channel", "all:int6", "all:int5", "all:int5,attention:int8,head:int8", "all:int5,attention:int6,head:int8",
        "all:int4", "all:int4,attention:int5,head:int8", "all:int4,attention:int8,head:int8", "all:int4_asymmetric,attention:int8,head:int8",
        "all:mxfp4,attention:int5,head:int8", "all:fp8"]
THEIRS = ["Q8_0", "Q4_0", "Q4_K_M"]


class LlamaPerplexity(Llama):
    programs = [*Llama.programs, "llama-perplexity"]


def parse_perplexity(text):
    """What llama-perplexity prints of a comparison, under our names."""
    def figures(name):
        found = re.search(rf"^{name} *: *([-\d.]+)(?: ± *([\d.]+))?", text, re.MULTILINE)
        if not found:
            raise SystemExit(f"llama-perplexity does not print '{name}': {text[-2000:]}")
        return [float(number) for number in found.groups() if number]
    perplexity, divergence = figures(r"Mean PPL\(Q\)"), figures("Mean +KLD")
    return {"perplexity": perplexity[0], "perplexity_error": perplexity[1], "kl_divergence": divergence[0], "kl_divergence_error": divergence[1],
            "kl_divergence_99_percent": figures("99.0% +KLD")[0], "same_top": figures("Same top p")[0] / 100}


def read_tokens(path):
    """The windows of tokens in a file that llama-perplexity --kl-divergence-base has written."""
    with open(path, "rb") as file:
        if file.read(8) != b"_logits_":
            raise SystemExit(f"{path} is no file of logits")
        window, _, count = np.fromfile(file, np.int32, 3)
        return np.fromfile(file, np.int32, window * count).reshape(count, window)


def theirs(options, parameters, tokens):
    program = LlamaPerplexity()
    program.build()
    model = "dictionary"
    link = FOLDER / model
    if not link.exists():
        link.symlink_to(MODEL)
    base, text_file = PEERS / f"{model}.logits", PEERS / "text.txt"
    text_file.write_text(options.text.read_text() + "\n")  # llama-perplexity drops the last line's end
    command = [program.bin("llama-perplexity"), "-f", text_file, "-c", WINDOW, "--kl-divergence-base", base, "-m"]

    def score(kind, *more):
        made = convert(model, kind)
        text, _ = output_and_peak(*command, program.file(model, kind), *more, cwd=PEERS, stderr=subprocess.STDOUT)
        return text, sum(made["tensors"].values())

    score("bf16")
    if not np.array_equal(read_tokens(base), tokens):
        raise SystemExit(f"llama.cpp and moec take {options.text} apart into different tokens")
    for kind in options.theirs:
        text, size = score(kind, "--kl-divergence")
        yield {"name": f"llama.cpp {kind}", "bytes": size, "bits": 8 * size / parameters} | parse_perplexity(text)
    base.unlink()


def ours(options):
    lists = [f"--quantize={item}" for item in options.quantize]
    told = json.loads(output_of(MOEC, "quality", "--json", "--text", options.text, "--window", WINDOW, *lists, MODEL))
    for row in told:
        yield {"name": f"moec {row['quantize']}", "bytes": row["weights_bytes"], "bits": row["bits_per_weight"],
               "parameters": row["parameters"]["total"]} | row.get("against", {}) | {"perplexity": row["perplexity"],
                                                                                     "perplexity_error": row["perplexity_error"]}


def our_tokens(options):
    """As this text is cut by our program; read from what it saves."""
    from safetensors.numpy import load_file
    program, saved = FOLDER / "dictionary.program", FOLDER / "dictionary.safetensors"
    compile_model(MODEL, program)
    output_of(program, "perplexity", "--text", options.text, "--window", WINDOW, "--save", saved)
    tokens = load_file(saved)["tokens"]
    saved.unlink()
    return tokens


def line(row):
    cells = [f"{row['name']:<38}", f"{row['bytes']:>10}", f"{row['bits']:>6.2f}", f"{row['perplexity']:>8.2f} ± {row['perplexity_error']:.2f}"]
    if "kl_divergence" in row:
        cells += [f"{row['kl_divergence']:.6f} ± {row['kl_divergence_error']:.6f}", f"{row['kl_divergence_99_percent']:.5f}",
                  f"{100 * row['same_top']:.2f} %"]
    else:
        cells += ["", "", ""]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", default=TEXT, metavar="FILE")
    parser.add_argument("--quantize", nargs="+", default=OURS, metavar="LIST")
    parser.add_argument("--theirs", nargs="+", default=THEIRS, metavar="TYPE")
    parser.add_argument("--skip-peers", action="store_true", help="ours only")
    options = parser.parse_args()
    options.text = pathlib.Path(options.text).resolve()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("| format | bytes | bits a weight | perplexity | KL divergence to bf16 | 99 % within | same top |\n|---|---:|---:|---:|---:|---:|---:|")
    parameters = 0
    for row in ours(options):
        parameters = row["parameters"]
        print(line(row), flush=True)
    if options.skip_peers:
        return
    for row in theirs(options, parameters, our_tokens(options)):
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
