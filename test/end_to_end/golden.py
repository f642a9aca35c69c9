"""Compiles golden cases in each form and compares what `eval` gives with their numbers.

    golden.py CASE...

A few representative forms; with MOEC_TEST_ALL=1 every one.
"""

import itertools
import sys

from safetensors.numpy import load_file

from comparison import check_form, compare_outputs
from programs import ALL, GOLDEN, MOEC, OPTIONAL_PASSES, Checks, compile_model, evaluate, run, work_folder

# How eval may cut and share the work; its output must be the same to the byte.
WAYS = [["--chunk", "1"], ["--chunk", "5"], ["--chunk", "7", "--threads", "3"], ["--chunk", "64", "--threads", "1"], ["--batch"],
        ["--batch", "--chunk", "3", "--threads", "2"], ["--threads", "1"], ["--threads", "2"]]

# Every fusion left out.
UNFUSED = [f"--without-pass={name}" for name in OPTIONAL_PASSES]

# (activations, further options of compile, how many of WAYS)
FORMS = [("f32", ["--weights=pack"], 8), ("bf16", ["--weights=pack"], 2)]
MORE_FORMS = {"mixtral": [("f32", ["--weights=embed"], 1), ("f32", ["--weights=map"], 1), ("f32", ["--reference"], 1),
                          ("f32", UNFUSED, 1)],
              "mixtral_bf16": [("bf16", ["--weights=map"], 1), ("f32", ["--kv-cache=bf16"], 2)],
              "qwen3_moe": [("bf16", ["--reference"], 1)],
              "qwen2_moe": [("bf16", UNFUSED, 1)],
              "olmoe": [("f32", UNFUSED, 1)],
              "deepseek_v2": [("f32", ["--mla=expanded"], 2), ("f32", UNFUSED, 1), ("f32", ["--reference"], 1)],
              "deepseek_v3": [("f32", ["--mla=expanded"], 2), ("f32", UNFUSED, 1), ("f32", ["--reference", "--mla=expanded"], 1)],
              "deepseek_v32": [("f32", ["--mla=expanded"], 2), ("f32", UNFUSED, 1), ("f32", ["--reference"], 1)],
              "kimi_k2": [("f32", ["--weights=embed"], 1)],
              "llama4": [("f32", UNFUSED, 1), ("f32", ["--reference"], 1)],
              "deepseek_v3_fp8": [("f32", ["--mla=expanded"], 1), ("f32", UNFUSED, 1), ("f32", ["--reference"], 1)],
              "gpt_oss_mxfp4": [("f32", UNFUSED, 1), ("f32", ["--reference"], 1)],
              "gpt_oss": [("f32", UNFUSED, 1), ("f32", ["--reference"], 1)]}

# These have weights that are stored transposed, or as codes, which cannot be used where they lie.
TURNED = {"deepseek_v2", "deepseek_v3", "deepseek_v3_fp8", "deepseek_v32", "kimi_k2", "llama4", "gpt_oss", "gpt_oss_mxfp4"}

# In bf16 these choose among experts that are too near to each other for the numbers of f32; plain loops round alike.
NEAR = {"deepseek_v2", "deepseek_v3", "deepseek_v3_fp8", "deepseek_v32", "kimi_k2", "llama4", "gpt_oss", "gpt_oss_mxfp4"}


def forms(case):
    if not ALL:
        return FORMS + MORE_FORMS.get(case, [])
    homes = ["--weights=pack", "--weights=embed"] + (["--weights=map"] if case not in TURNED else [])
    return [(activations, [weights, *how], len(WAYS)) for activations, weights, how in itertools.product(
        ["f32", "bf16"], homes, [[], UNFUSED, ["--reference"]])]


def check_mapped(checks, case):
    with work_folder() as folder:
        done = run(MOEC, "compile", GOLDEN / case, "-o", folder / "mapped", "--weights=map")
        words = done.stderr.decode()
        checks.that(done.returncode == 4 and "--weights=pack" in words, f"{case} mapped: status {done.returncode}, {words[-500:]}")


def check_case(checks, case):
    if case in TURNED:
        check_mapped(checks, case)
    directory = GOLDEN / case
    source = directory / "golden.safetensors"
    golden = load_file(source)
    length = len(golden["seq0.greedy_ids"])
    strict = [form[:2] for form in FORMS + MORE_FORMS.get(case, [])]
    for activations, options, ways in forms(case):
        what = " ".join([case, activations, *options])
        exactness = "bf16" if "--kv-cache=bf16" in options else activations
        with work_folder() as folder, checks.about(what):
            program = compile_model(directory, folder / "program", f"--activations={activations}", *options)
            ask = ["--routing", "--greedy", str(length)]
            first = evaluate(program, source, folder / "first.safetensors", *ask)
            check_form(checks, what, first)
            # The representative forms have the reference's experts; among all others a sum in another order may meet a tie.
            wanted = golden
            if activations == "bf16" and case in NEAR:
                plain = compile_model(directory, folder / "plain", "--activations=bf16", "--reference", *options)
                wanted = load_file(evaluate(plain, source, folder / "plain.safetensors", *ask))
            compare_outputs(checks, what, load_file(first), wanted, exactness, ties=(activations, options) not in strict)
            for way in WAYS[:ways]:
                other = evaluate(program, source, folder / "other.safetensors", *ask, *way)
                checks.that(other.read_bytes() == first.read_bytes(), f"{what}: {' '.join(way)} gives other bytes")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:]:
        check_case(checks, case)
    checks.finish()
