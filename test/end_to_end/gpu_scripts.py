"""What is carried to a machine with a GPU: it says that there is none, its checks of numbers run without one, and find what is wrong."""

import json
import os
import pathlib
import shutil
import sys

from programs import TEST, Checks, run, succeed

sys.path.append(str(TEST / "gpu"))
import speed  # noqa: E402

MISMATCH = 5
SHAPE = {"layers": 2, "hidden": 1000, "experts": 8, "picked": 2, "wide": 600, "narrow": 100, "step_tokens": 512}
YARDSTICKS = "gpu: a GPU (sm_90), driver for CUDA 13.0\nC: 3000.0 / 4000.0 / 4100.0 GB/s, copy\nP: 500.0 / 600.0 / 700.0 TFLOP/s, product\n"


def told(prompt_rate):
    """As bench --json tells of decoding at 1000 tokens per second and of a prompt."""
    return {"tests": [
        {"test": "pp16384", "tokens": 16384, "batch": 1, "tokens_per_second": prompt_rate, "samples": [prompt_rate],
         "bytes_per_token": 1e6, "operations_per_token": 6e7},
        {"test": "tg128", "tokens": 128, "batch": 1, "tokens_per_second": 1000.0, "samples": [900.0, 1100.0],
         "bytes_per_token": 1e9, "operations_per_token": 6e7}]}


def check_figures(checks, _):
    """Shares of the yardsticks, and the grouped products' from what narrower experts take less."""
    limits = speed.yardsticks(YARDSTICKS)
    checks.that(limits == {"C": 4e12, "P": 6e14}, f"yardsticks: {limits}")
    prefill, decode, grouped = speed.figures(told(1e6), told(2e6), SHAPE, limits)
    checks.that("60.0 TFLOP/s, 10.0 % of P" in prefill, prefill)
    checks.that("900.0 / 1000.0 / 1100.0 tokens/s, 1000.0 GB/s, 25.0 % of C" in decode, decode)
    # 2 * 3 * 2 layers * 2 experts * 1000 * 500 operations in half a microsecond
    checks.that("at 128 rows per expert: 24.0 TFLOP/s, 4.0 % of P" in grouped, grouped)
    *_, untold = speed.figures(told(2e6), told(2e6), SHAPE, {})
    checks.that("nothing can be told" in untold and "% of P at" in untold, untold)


def check_folder(checks, folder):
    place = folder / "gpu"
    succeed(TEST / "gpu/prepare.sh", place, "--only", "mixtral", "--gpu", "sm_80", env=os.environ | {"PYTHON": sys.executable})
    again = run(TEST / "gpu/prepare.sh", place)
    checks.that(again.returncode == 2 and b"is not empty" in again.stderr, f"prepare.sh again: {again.returncode}, {again.stderr[-300:]}")
    there = shutil.which("nvidia-smi")
    done = run(place / "run.sh")
    said = (done.stdout + done.stderr).decode()
    if there:
        checks.that(done.returncode == 0, f"run.sh: status {done.returncode}: {said[-1500:]}")
    else:
        checks.that(done.returncode == MISMATCH and "there is no NVIDIA driver here" in said and not (place / "results.txt").exists(),
                    f"run.sh without a GPU: status {done.returncode}: {said[-500:]}")
    # One number of one golden file is wrong: this is found, and all else is right.
    wanted = place / "cases/mixtral-f32/wanted.safetensors"
    data = bytearray(wanted.read_bytes())
    data[logits_at(data) + 3] ^= 0x80
    wanted.write_bytes(data)
    with_numpy = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = run(place / "run.sh", "--device=emulated", env=with_numpy)
    said = done.stdout.decode()
    marks = [line.split(" ")[0] for line in said.splitlines()]
    checks.that(done.returncode == 1 and marks.count("FAIL") == 1 and marks.count("ok") == 5 and "FAIL  mixtral f32: golden numbers" in said,
                f"run.sh --device=emulated: status {done.returncode}: {said[-1500:]}")
    checks.that((place / "results.txt").read_text() == said, "results.txt is not what was printed")


def logits_at(data):
    """Where in a safetensors file the first sequence's logits begin."""
    size = int.from_bytes(data[:8], "little")
    return 8 + size + json.loads(data[8:8 + size])["seq0.logits"]["data_offsets"][0]


if __name__ == "__main__":
    checks = Checks()
    checks.run_parts(check_figures, check_folder)
    checks.finish()
