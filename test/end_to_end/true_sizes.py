"""Directories of published models' true sizes that hold headers only: compiled to object code with every fusion, and inspected."""

import json
import resource

import checkpoints
from programs import MOEC, Checks, succeed, work_folder

# name -> config, parameters in all and at work per token, as published, in billions
MODELS = {
    "mixtral-8x7b": (checkpoints.mixtral_8x7b(), 46.70, 12.88),
    "qwen3-30b-a3b": (checkpoints.qwen3_30b(), 30.53, 3.35),
    "qwen1.5-moe-a2.7b": (checkpoints.qwen15_a27b(), 14.32, 2.69),
}
BYTES = 1 << 30  # at most, of a compile; test/bench/compile_cost.py measures the time

if __name__ == "__main__":
    checks = Checks()
    for name, (config, total, active) in MODELS.items():
        with work_folder() as folder, checks.about(name):
            directory = folder / "model"
            checkpoints.write_headers(directory, config)
            succeed(MOEC, "compile", directory, "-o", folder / "model.o", "--headers-only", "--emit=obj", "--strict")
            checks.that((folder / "model.o").read_bytes()[:4] == b"\x7fELF", f"{name}: no object file")
            counts = json.loads(succeed(MOEC, "inspect", directory, "--json"))["parameters"]
            for kind, want in (("total", total), ("active", active)):
                found = counts[kind] / 1e9
                checks.that(abs(found - want) < 0.02, f"{name}: {found:.2f} billion {kind} parameters, expected {want}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    checks.that(peak <= BYTES, f"a compile took {peak / 1e6:.0f} MB")
    checks.finish()
