"""Directories of published models' true sizes that hold headers only: compiled to object code with every fusion, and inspected.

    true_sizes.py [MODEL...]
"""

import json
import resource
import sys

import checkpoints
import published
from programs import MOEC, Checks, run, succeed, work_folder

BYTES = 1 << 30  # at most, of a compile; test/bench/compile_cost.py measures the time
# --strict refuses these, whose layers of several kinds share the weights of a shared expert.
UNFUSED = ["llama-4-scout", "llama-4-maverick"]
# What is left out, by what a model's name has in it.
NOTICES = {"deepseek-v3": "tensors of multi-token prediction, which is not run: model.layers.61.*",
           "llama-4": "tensors of what reads images: vision_model.*, multi_modal_projector.*"}


def check_model(checks, name):
    config, total, active = published.MODELS[name]
    with work_folder() as folder, checks.about(name):
        directory = folder / "model"
        checkpoints.write_headers(directory, config)
        compiled = run(MOEC, "compile", directory, "-o", folder / "model.o", "--headers-only", "--emit=obj",
                       *[] if name in UNFUSED else ["--strict"])
        words = compiled.stderr.decode()
        if checks.that(compiled.returncode == 0, f"{name}: status {compiled.returncode}: {words[-1000:]}"):
            checks.that((folder / "model.o").read_bytes()[:4] == b"\x7fELF", f"{name}: no object file")
        for part, notice in NOTICES.items():
            if name.startswith(part):
                checks.that(notice in words, f"{name}: no notice of {notice}, but {words[-300:]}")
        counts = json.loads(succeed(MOEC, "inspect", directory, "--json"))["parameters"]
        for kind, want in (("total", total), ("active", active)):
            found = counts[kind] / 1e9
            checks.that(abs(found - want) < 0.006, f"{name}: {found:.3f} billion {kind} parameters, expected {want}")


if __name__ == "__main__":
    checks = Checks()
    for name in sys.argv[1:] or published.MODELS:
        check_model(checks, name)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    checks.that(peak <= BYTES, f"a compile took {peak / 1e6:.0f} MB")
    checks.finish()
