"""Measures a model of Qwen3-30B-A3B's shape on a GPU, beside what cuBLAS and copies reach in the same run."""

import json
import os
import pathlib
import re
import sys

from report import Report, run

MODELS = pathlib.Path("speed")  # wide/ and narrow/, which differ in the width of their experts alone, and shape.json
DECODES = [1, 8, 64]  # sequences side by side
PROMPTS = [512, 16384]
# Shares of the yardsticks that are wanted: of a product's when an expert has so many rows, of a copy's when one sequence decodes.
WANTED_PRODUCT, WANTED_ROWS, WANTED_DECODE = 60, 1024, 50


def yardsticks(text):
    """{"C": bytes, "P": operations} per second, those that were measured: medians."""
    scale = {"GB/s": 1e9, "TFLOP/s": 1e12}
    found = re.findall(r"^([CP]): [\d.]+ / ([\d.]+) / [\d.]+ (\S+),", text, re.MULTILINE)
    return {name: float(median) * scale[unit] for name, median, unit in found}


def share(rate, limits, name):
    return f", {100 * rate / limits[name]:.1f} % of {name}" if name in limits else ""


def figures(wide, narrow, shape, limits):
    """Lines about what `bench --json` told of both programs."""
    lines = []
    for test in wide["tests"]:
        spread = f"{min(test['samples']):.1f} / {test['tokens_per_second']:.1f} / {max(test['samples']):.1f} tokens/s"
        if test["test"].startswith("tg"):
            rate = test["tokens_per_second"] * test["bytes_per_token"]
            wanted = f"; wanted: {WANTED_DECODE} % of C" if test["batch"] == 1 else ""
            lines.append(f"decode, batch {test['batch']}: {spread}, {rate / 1e9:.1f} GB/s{share(rate, limits, 'C')}{wanted}")
        else:
            rate = test["tokens_per_second"] * test["operations_per_token"]
            lines.append(f"prefill of {test['tokens']}: {spread}, {rate / 1e12:.1f} TFLOP/s{share(rate, limits, 'P')}")
    # Experts are all that the two programs do not have in common.
    width = shape["wide"] - shape["narrow"]
    operations = 2 * 3 * shape["layers"] * shape["picked"] * shape["hidden"] * width
    for one, other in zip(wide["tests"], narrow["tests"]):
        if one["test"].startswith("tg"):
            continue
        seconds = 1 / one["tokens_per_second"] - 1 / other["tokens_per_second"]
        rows = min(one["tokens"], shape["step_tokens"]) * shape["picked"] // shape["experts"]
        what = f"grouped products at {rows} rows per expert"
        wanted = f"; wanted: {WANTED_PRODUCT} % of P at {WANTED_ROWS} rows"
        if seconds <= 0:
            lines.append(f"{what}: narrow experts take as long, so that nothing can be told{wanted}")
            continue
        rate = operations / seconds
        lines.append(f"{what}: {rate / 1e12:.1f} TFLOP/s{share(rate, limits, 'P')}{wanted}")
    return lines


def library_path():
    """Also where Python packages keep cuBLAS."""
    folders = {str(file.parent) for place in sys.path if place for file in pathlib.Path(place).glob("nvidia/*/lib/libcublas.so.1[23]")}
    return os.environ | {"LD_LIBRARY_PATH": ":".join([*filter(None, [os.environ.get("LD_LIBRARY_PATH")]), *sorted(folders)])}


def bench(report, name):
    command = [MODELS / name / "program", "bench", "--json", "--device=cuda", "-p", ",".join(map(str, PROMPTS)), "-n", "128",
               "-b", ",".join(map(str, DECODES))]
    said, wrong = run(*command)
    report.check(f"speed: bench of {name} experts", wrong)
    return None if wrong else json.loads(said)


def main():
    report = Report()
    if not MODELS.is_dir():
        report.skip("speed: prepare.sh --only leaves its model out")
        report.finish()
    said, wrong = run("./yardsticks", env=library_path())
    print(said.decode().strip(), flush=True)
    limits = yardsticks(said.decode())
    if wrong:
        report.skip(f"yardsticks: {'; '.join(wrong)}")
    wide, narrow = bench(report, "wide"), bench(report, "narrow")
    if wide and narrow:
        for line in figures(wide, narrow, json.loads((MODELS / "shape.json").read_text()), limits):
            report.line("", line)
    report.finish()


if __name__ == "__main__":
    main()
