"""The golden ONNX graphs, compiled as they stand: their outputs are ONNX Runtime's.

    onnx_golden.py [CASE...]
"""

import sys

import numpy as np
from safetensors.numpy import load_file

from programs import GOLDEN, MOEC, Checks, run, succeed, work_folder

TOLERANCE = 1e-4  # of the largest value
UNSUPPORTED = 4
# Their loops over experts have sizes that data decides without a bound.
REFUSED = ["decoder_deepseek_v3_grouped", "decoder_mixtral_grouped", "decoder_mixtral_grouped_ort_cpu"]


# What the optimized form of a case has: layers of experts, not loops over all their elements.
EXPERTS = {"moe_": "moe.expert_ffn", "qmoe_": "moe.route"}


def check_experts(checks, case):
    for start, op in EXPERTS.items():
        if case.startswith(start):
            text = succeed(MOEC, "compile", GOLDEN / "onnx" / case / "model.onnx", "-q", "--emit=optimized")
            checks.that(text.count(op.encode()) == 1, f"{case}: has {text.count(op.encode())} {op}, wanted 1")


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


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:] or sorted(path.name for path in (GOLDEN / "onnx").iterdir() if path.is_dir()):
        check_case(checks, case)
    checks.finish()
