"""The golden ONNX graphs, compiled as they stand: their outputs are ONNX Runtime's.

    onnx_golden.py [CASE...]
"""

import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

from programs import GOLDEN, MOEC, Checks, run, succeed, work_folder

TOLERANCE = 1e-4  # of the largest value
UNSUPPORTED = 4
# Their loops over experts have sizes that data decides without a bound.
REFUSED = ["decoder_deepseek_v3_grouped", "decoder_mixtral_grouped", "decoder_mixtral_grouped_ort_cpu"]


# Of what looks like a layer of experts, why it is none.
KEPT = {"bad_foreign_index": "the weights are not those of the experts' choice",
        "bad_missing_expert": "of 5 experts there are not: 4",
        "bad_other_function": "expert 2 has another activation",
        "bad_other_input": "expert 3 reads another input",
        "bad_overwritten": "rows take the place of others",
        "bad_smallest_k": "the smallest scores are chosen",
        "bad_softmax_over_tokens": "the scores of a token depend on other tokens",
        "bad_twice_visited": "there are twice: 1; there are not: 2",
        "bad_weight_twice": "gets what a weight has multiplied",
        "bad_wrong_axis": "the weights of a token depend on other tokens"}


def check_experts(checks, case):
    """What the optimized form has: layers of experts, not loops over all their elements."""
    source = GOLDEN / "onnx" / case
    form = json.loads((source / "case.json").read_text())["form"]
    op = b"moe.route" if case.startswith("qmoe_") else b"moe.expert_ffn"
    text = succeed(MOEC, "compile", source / "model.onnx", "-q", "--emit=optimized")
    wanted = 0 if form == "bad" else 2 if case.startswith("decoder_") else 1
    checks.that(text.count(op) == wanted, f"{case}: has {text.count(op)} {op.decode()}, wanted {wanted}")
    if form == "bad":
        kept = KEPT.get(case)
        checks.that(kept.encode() in text if kept else b"not_raised" not in text, f"{case}: does not say why it is kept")
        strict = run(MOEC, "compile", source / "model.onnx", "-q", "--strict", "--emit=optimized")
        checks.that(not kept or strict.returncode == UNSUPPORTED and kept.encode() in strict.stderr, f"{case}: --strict gave {strict.returncode}")


def check_outputs(checks, case, got, wanted):
    checks.that(got.keys() == wanted.keys(), f"{case}: has {[*got]}, wanted {[*wanted]}")
    for name in got.keys() & wanted.keys():
        value, reference = np.atleast_1d(got[name]), wanted[name]  # which has no scalars
        if not checks.that(value.shape == reference.shape and value.dtype == reference.dtype,
                           f"{case}: {name} is {value.dtype} {value.shape}, wanted {reference.dtype} {reference.shape}"):
            continue
        if value.size == 0 or value.dtype.kind != "f":
            checks.that(np.array_equal(value, reference), f"{case}: {name} is wrong")
            continue
        error = np.abs(value.astype(np.float64) - reference).max() / max(np.abs(reference).max(), 1e-30)
        checks.that(error <= TOLERANCE, f"{case}: {name} is off by {error:.1e} of the largest")


def check_one_token(checks, case, folder):
    """Of one token alone, the row that it has among others; most experts then have none."""
    source = GOLDEN / "onnx" / case
    rows = load_file(source / "inputs.safetensors")["hidden"]
    wanted = load_file(source / "outputs.safetensors")["out"]
    save_file({"hidden": rows[:1]}, folder / "one.safetensors")
    for options in ([], ["--without-pass=moe-raise-experts"]):
        succeed(MOEC, "compile", source / "model.onnx", "-q", "-o", folder / "graph", *options)
        succeed(folder / "graph", "graph", "--input", folder / "one.safetensors", "--output", folder / "out.safetensors")
        check_outputs(checks, f"{case}, one token", load_file(folder / "out.safetensors"), {"out": wanted[:1]})


def check_case(checks, case):
    source = GOLDEN / "onnx" / case
    with work_folder() as folder, checks.about(case):
        done = run(MOEC, "compile", source / "model.onnx", "-q", "-o", folder / "graph")
        if case in REFUSED:
            checks.that(done.returncode == UNSUPPORTED and "size" in done.stderr.decode(), f"{case}: {done.returncode}: {done.stderr.decode()[-400:]}")
            return
        if not checks.that(done.returncode == 0, f"{case}: status {done.returncode}: {done.stderr.decode()[-400:]}"):
            return
        check_experts(checks, case)
        succeed(folder / "graph", "graph", "--input", source / "inputs.safetensors", "--output", folder / "out.safetensors")
        check_outputs(checks, case, load_file(folder / "out.safetensors"), load_file(source / "outputs.safetensors"))
        if case.startswith("loop_"):
            check_one_token(checks, case, folder)


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:] or sorted(path.name for path in (GOLDEN / "onnx").iterdir() if path.is_dir()):
        check_case(checks, case)
    checks.finish()
