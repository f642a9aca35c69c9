#!/usr/bin/env python3
"""Checks what keeps the tree simple: includes point one way, every op and pass has its test, files say what they are for."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["dialects", "compiler", "runtime", "frontends", "tools", "test", "examples"]

# Whose headers the files of a folder may include; the longest path that fits counts. The runtime is the lowest layer, the
# dialects stand on MLIR alone, and what reads model directories knows nothing of either.
MAY_INCLUDE = {
    "runtime": ["runtime"],
    "dialects": ["dialects"],
    "frontends/checkpoint": ["frontends/checkpoint", "runtime"],
    "frontends/onnx": ["frontends/onnx", "runtime"],
    "frontends/onnx/import": ["frontends/onnx", "dialects", "runtime"],
    "frontends": ["frontends", "dialects", "runtime"],
    "compiler": ["compiler", "dialects", "frontends/checkpoint", "runtime"],
    "tools": ["tools", "frontends", "compiler", "dialects", "runtime"],
    "examples": ["examples", "compiler", "dialects"],
}
VAGUE = re.compile(r"Util|Common|Misc|Helper", re.IGNORECASE)
# Places on one developer's machine; spelled so that this line does not find itself.
MACHINE = re.compile(r"(?<![\w.])/(?:wor[k]|hom[e]|roo[t]|opt/wheel[s])(?:/|\b)|\.\./share[d]|pyen[v]")
MOST_LINES = 600
WIDTH = 100  # of TableGen, which clang-format does not break
# Data, and text that is as it was published.
AS_PUBLISHED = ("test/golden/", "examples/dictionary/model/", "LICENSE")

problems = []


def problem(path, words):
    problems.append(f"{path}: {words}")


def tracked():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode == 0:
        return [ROOT / name for name in names.stdout.splitlines() if (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and "build" not in path.relative_to(ROOT).parts]


def text_of(path):
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def check_includes(name, text):
    folder = name.split("/")[0]
    allowed = next((MAY_INCLUDE[path] for path in sorted(MAY_INCLUDE, key=len, reverse=True) if name.startswith(path + "/")), None)
    for included in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
        first = included.split("/")[0]
        if allowed and first in FOLDERS and not any(included.startswith(path + "/") for path in allowed):
            problem(name, f"includes {included}, but may include only {', '.join(allowed)}")
        if folder == "runtime" and first in ("mlir", "llvm", "lld"):
            problem(name, f"includes {included}, but the runtime builds without LLVM")
        if "/" not in included and (ROOT / name).with_name(included).is_file():
            problem(name, f"includes {included}; includes are spelled from the root")
    if folder == "runtime" and re.search(r"^#include <(iostream|iomanip|sstream|fstream|regex)>", text, re.MULTILINE):
        problem(name, "includes a stream header; the runtime stays small without")
    if folder == "runtime" and re.search(r"\b(fmt::print|f?printf|f?puts)\(", text):
        problem(name, "prints; a program does so through program/Output.h, which survives a stream that is closed or full")


def check_first_line(name, text):
    first = text.split("\n", 1)[0]
    if first.startswith("#!"):
        first = text.split("\n", 2)[1]
    if not re.match(r'(//|/\*|#|"""|;) ?\S', first):
        problem(name, "line one does not say what the file is for")
    elif "===" in first or "-*-" in first:
        problem(name, "line one is a banner")


def check_ops(files):
    for td in files:
        if not (td.name.endswith("Ops.td") and td.relative_to(ROOT).parts[0] == "dialects"):
            continue
        dialect = td.parent.name
        tests = "".join(text_of(path) for path in (ROOT / "test/dialects" / dialect).glob("*.mlir"))
        for op in re.findall(r'^def \w+ : \w+_Op<"([\w.]+)"', td.read_text(), re.MULTILINE):
            if not re.search(rf"\b{dialect}\.{re.escape(op)}\b", tests):
                problem(td.relative_to(ROOT), f"no test in test/dialects/{dialect}/ has {dialect}.{op}")


def check_passes(files):
    tests = [path for path in files if path.suffix in (".mlir", ".test")]
    for td in files:
        if not td.name.endswith("Passes.td"):
            continue
        for flag in re.findall(r': Pass<"([\w-]+)"', td.read_text()):
            if not any(path.relative_to(ROOT).parts[0] == "test" and re.search(rf"(?<!\w)(?<!\w-){flag}(?![\w-])", path.read_text())
                       for path in tests):
                problem(td.relative_to(ROOT), f"no test runs --{flag}")


def main():
    files = tracked()
    for path in files:
        name = str(path.relative_to(ROOT))
        if name.startswith(AS_PUBLISHED):
            continue
        text = text_of(path)
        if text is None:
            problem(name, "is not text")
            continue
        if found := MACHINE.search(text):
            problem(name, f"refers to a place on one machine: {found.group()}")
        if path.suffix in (".h", ".cpp", ".c", ".td", ".py", ".sh", ".def"):
            check_first_line(name, text)
            if text.count("\n") > MOST_LINES:
                problem(name, f"has {text.count(chr(10))} lines; {MOST_LINES} are the most")
        if path.suffix in (".h", ".cpp", ".c"):
            check_includes(name, text)
        if path.suffix == ".td":
            for number, line in enumerate(text.splitlines(), 1):
                if len(line) > WIDTH:
                    problem(f"{name}:{number}", f"is {len(line)} columns wide; {WIDTH} are the most")
        if VAGUE.search(path.name):
            problem(name, "a name that says nothing; name the idea")
        if re.search(r"\b(TODO|FIXME|XXX)\b(?! *\(#\d+\))", text) and path.name != "structure.py":
            problem(name, "a TODO without an issue number")
    for folder in FOLDERS:
        if not (ROOT / folder / "README.md").is_file():
            problem(folder, "has no README.md")
    check_ops(files)
    check_passes(files)
    for words in problems:
        print(words)
    print(f"{len(problems)} problems in {len(files)} files")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
