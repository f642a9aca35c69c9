"""Runs the CUDA target's kernels of golden cases on the emulated GPU, and compares what `eval` gives with their numbers.

    devices.py CASE...

What kernels do that they must not - races, accesses out of bounds, memory read before it is written - makes `eval` fail. With
MOEC_TEST_ALL=1 more forms and more architectures.
"""

import sys

from safetensors.numpy import load_file

from comparison import check_form, compare_outputs
from golden import NEAR, TURNED, UNFUSED
from programs import ALL, GOLDEN, Checks, compile_model, evaluate, work_folder

# How eval may cut and share the work; its output must be the same to the byte.
WAYS = [["--batch", "--chunk", "3"]] + ([["--chunk", "5"], ["--chunk", "1"], ["--batch"]] if ALL else [])

FORMS = [("f32", []), ("bf16", [])]
MORE_FORMS = {"deepseek_v3": [("f32", ["--mla=expanded"])]}


def forms(case):
    if not ALL:
        return FORMS + MORE_FORMS.get(case, [])
    homes = [["--weights=pack"]] + ([["--weights=map"]] if case not in TURNED else [])
    return [(activations, [*home, *how]) for activations in ("f32", "bf16") for home in homes
            for how in ([], UNFUSED, ["--reference"])] + MORE_FORMS.get(case, [])


def wanted_of(case, activations, options, ask, folder):
    """In bf16 some choose among experts too near to each other for f32's numbers: there, those of plain loops on a CPU."""
    source = GOLDEN / case / "golden.safetensors"
    if activations == "f32" or case not in NEAR:
        return load_file(source)
    plain = compile_model(GOLDEN / case, folder / "plain", "--activations=bf16", "--reference", *options)
    return load_file(evaluate(plain, source, folder / "plain.safetensors", *ask))


def check_case(checks, case):
    source = GOLDEN / case / "golden.safetensors"
    length = len(load_file(source)["seq0.greedy_ids"])
    ask = ["--routing", "--greedy", str(length)]
    gpus = "sm_90a,sm_80" if ALL else "sm_80"
    for activations, options in forms(case):
        what = " ".join([case, activations, *options])
        with work_folder() as folder, checks.about(what):
            program = compile_model(GOLDEN / case, folder / "program", "--target=cuda", f"--gpu={gpus}", "--emulate",
                                    f"--activations={activations}", *options)
            wanted = wanted_of(case, activations, [option for option in options if option != "--reference"], ask, folder)
            first = evaluate(program, source, folder / "first.safetensors", "--device=emulated", *ask)
            check_form(checks, what, first)
            compare_outputs(checks, what, load_file(first), wanted, activations, ties=activations == "bf16")
            for way in WAYS:
                other = evaluate(program, source, folder / "other.safetensors", "--device=emulated", *ask, *way)
                checks.that(other.read_bytes() == first.read_bytes(), f"{what}: {' '.join(way)} gives other bytes")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:]:
        check_case(checks, case)
    checks.finish()
