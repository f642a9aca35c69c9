"""Compares what programs give on a GPU with golden numbers, with the emulated GPU, and with themselves cut otherwise.

    parity.py DEVICE

Without numpy only bytes are compared.
"""

import json
import math
import pathlib
import shutil
import sys
import tempfile

from report import Check, Report, run

CASES = pathlib.Path("cases")  # CASE-TYPE/ with program, input.safetensors and wanted.safetensors
WAYS = [["--chunk", "5"], ["--batch", "--chunk", "3"]]  # how eval may cut and share the work; its output must be the same to the byte
SANITIZERS = ["memcheck", "racecheck", "synccheck"]

try:
    import numpy as np

    from comparison import check_form, compare_outputs
except ImportError:
    np = None


def header(path):
    """What a safetensors file says of its tensors, and where their bytes begin."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size)), 8 + size


def load(path):
    entries, begin = header(path)
    data, tensors = path.read_bytes(), {}
    for name, entry in entries.items():
        if name != "__metadata__":
            kind = {"F32": np.float32, "I64": np.int64, "I32": np.int32}[entry["dtype"]]
            tensors[name] = np.frombuffer(data, kind, math.prod(entry["shape"]), begin + entry["data_offsets"][0]).reshape(entry["shape"])
    return tensors


def evaluate(folder, output, *options):
    """What is wrong with the command."""
    source = folder / "input.safetensors"
    length = header(source)[0]["seq0.greedy_ids"]["shape"][0]
    return run(folder / "program", "eval", "--input", source, "--output", output, "--routing", "--greedy", length, *options)[1]


def largest_difference(one, other):
    """Of logits, as a share of the largest; 0: the same bits."""
    names = [name for name in one if name.endswith(".logits")]
    return max(float(np.abs(one[name].astype(np.float64) - other[name]).max() / np.abs(other[name]).max()) for name in names)


def check_folder(report, folder, device, scratch):
    case, activations = folder.name.rsplit("-", 1)
    what = f"{case} {activations}"
    first = scratch / "first.safetensors"
    wrong = evaluate(folder, first, f"--device={device}")
    if wrong:
        report.check(f"{what}: runs", wrong)
        return
    if np is None:
        report.skip(f"{what}: golden numbers, and the emulated GPU's: this python3 has no numpy")
    else:
        check = Check()
        check_form(check, what, first)
        compare_outputs(check, what, load(first), load(folder / "wanted.safetensors"), activations, ties=activations == "bf16")
        report.check(f"{what}: golden numbers", check.wrong)
    for way in WAYS:
        other = scratch / "other.safetensors"
        wrong = evaluate(folder, other, f"--device={device}", *way)
        if not wrong and other.read_bytes() != first.read_bytes():
            wrong = ["other bytes"]
        report.check(f"{what}: {' '.join(way)} gives the same bytes", wrong)
    if device == "emulated" or np is None:
        return
    emulated = scratch / "emulated.safetensors"
    wrong = evaluate(folder, emulated, "--device=emulated")
    words = "" if wrong else f" differ by at most {largest_difference(load(first), load(emulated)):.2e} of the largest"
    report.check(f"{what}: logits of the emulated GPU{words}", wrong)


def sanitize(report, folders, scratch):
    """Of one family in f32 and in bf16."""
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if not sanitizer:
        report.skip("compute-sanitizer: it is not here")
        return
    for activations in ("f32", "bf16"):
        folder = next(folder for folder in folders if folder.name.endswith(f"-{activations}"))
        for tool in SANITIZERS:
            _, wrong = run(sanitizer, "--tool", tool, "--error-exitcode", "9", folder / "program", "eval", "--input",
                           folder / "input.safetensors", "--output", scratch / "sanitized.safetensors", "--device=cuda")
            report.check(f"{folder.name}: compute-sanitizer --tool {tool}", wrong)


if __name__ == "__main__":
    report = Report()
    folders = sorted(folder for folder in CASES.iterdir() if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        for folder in folders:
            check_folder(report, folder, sys.argv[1], pathlib.Path(scratch))
        if sys.argv[1] == "cuda":
            sanitize(report, folders, pathlib.Path(scratch))
    report.finish()
