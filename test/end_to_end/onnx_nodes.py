"""ONNX's own tests of single nodes, through the whole compiler.

The models are made by the onnx package when this runs. A case is right, refused (moec says why) or wrong. Without --all every
eighth case is run. `--table FILE` puts the numbers, by operator, between the marks of that page.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import struct
import sys
import warnings

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
from onnx import numpy_helper

from programs import ALL, MOEC, Checks, run, work_folder

# Inputs that sizes of outputs follow from, or dimensions that are worked on: known when a model is compiled.
KNOWN_INPUTS = {"Squeeze": [1], "Unsqueeze": [1], "CumSum": [1], "CumProd": [1], "Slice": [1, 2, 3, 4], "Pad": [1, 3], "Reshape": [1],
                "Expand": [1], "Tile": [1], "ConstantOfShape": [0], "Range": [0, 1, 2], "OneHot": [1], "Split": [1], "TopK": [1]}
TYPES = {"bool": "BOOL", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
# Cases whose reference rounds each sum to 16 bits, which moec does not.
COARSE = re.compile(r"attention.*_(bf16|fp16)")
BEGIN, END = "<!-- node tests -->", "<!-- end of node tests -->"


def type_name(value):
    name = value.dtype.name
    return TYPES.get(name) or re.sub(r"^(u?)(int|float)(\d+)$", lambda m: {"int": "I", "float": "F"}[m[2]].replace("I", "U" if m[1] else "I") + m[3], name)


def save(values, path):
    header, data = {}, b""
    for name, value in values.items():
        header[name] = {"dtype": type_name(value), "shape": list(value.shape), "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def load(path):
    """Bytes and shape of each tensor."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    return {name: (data[8 + length + entry["data_offsets"][0]:8 + length + entry["data_offsets"][1]], entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()}


def as_array(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def fix_known(model, values):
    """Inputs that have to be known become initializers."""
    known = set()
    for node in model.graph.node:
        places = [1] if node.op_type.startswith("Reduce") else KNOWN_INPUTS.get(node.op_type, [])
        known |= {node.input[place] for place in places if place < len(node.input)}
    for entry in [entry for entry in model.graph.input if entry.name in known]:
        model.graph.initializer.append(numpy_helper.from_array(values.pop(entry.name), entry.name))
        model.graph.input.remove(entry)


def differs(wanted, found, rtol, atol):
    data, kind, shape = found
    if (kind, shape) != (type_name(wanted), wanted.shape):
        return f"{kind} {shape}, wanted {type_name(wanted)} {wanted.shape}"
    found = np.frombuffer(data, wanted.dtype).reshape(shape)
    if np.issubdtype(wanted.dtype, np.integer) or wanted.dtype == bool:
        return "" if (wanted == found).all() else "other numbers"
    close = np.isclose(found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    return "" if close.all() else f"{np.count_nonzero(~close)} of {close.size} numbers are off"


def try_case(case, folder):
    """right, refused or wrong, and why."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    data = case.data_sets[0]
    if any(entry.type.WhichOneof("value") != "tensor_type" for entry in [*model.graph.input, *model.graph.output]):
        return "refused", "inputs or outputs that are no tensors"
    inputs = {entry.name: as_array(value) for entry, value in zip(model.graph.input, data[0])}
    fix_known(model, inputs)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    made = run(MOEC, "compile", folder / "model.onnx", "-o", folder / "program")
    if made.returncode != 0:
        words = made.stderr.decode(errors="replace").strip().split("\n")[0]
        return ("refused" if made.returncode == 4 else "wrong"), words
    save(inputs, folder / "in.safetensors")
    done = run(folder / "program", "graph", "--input", folder / "in.safetensors", "--output", folder / "out.safetensors")
    if done.returncode != 0:
        return "wrong", done.stderr.decode(errors="replace").strip()
    outputs = load(folder / "out.safetensors")
    for entry, wanted in zip(model.graph.output, data[1]):
        words = differs(as_array(wanted), outputs[entry.name], max(case.rtol, 2e-2 if COARSE.search(case.name) else 0), case.atol)
        if words:
            return "wrong", f"{entry.name}: {words}"
    return "right", ""


def operator_of(case):
    names = {node.op_type for node in case.model.graph.node}
    return "functions written out" if case.name.endswith("_expanded") or len(names) > 1 else names.pop()


def table(results):
    rows = collections.defaultdict(collections.Counter)
    reasons = {}
    for operator, (outcome, words) in results:
        rows[operator][outcome] += 1
        if outcome == "refused":
            reason = words.split("model.onnx: ")[-1].removeprefix("moec: error: ")
            reasons.setdefault(operator, re.sub(r"^node '.*?' \(.*?\): ", "", reason)[:90])
    claimed = {name: row for name, row in rows.items() if row["right"] + row["wrong"]}
    text = ["| operator | right | refused | wrong | why refused, for example |", "|---|---|---|---|---|"]
    text += [f"| {name} | {row['right']} | {row['refused']} | {row['wrong']} | {reasons.get(name, '')} |" for name, row in sorted(claimed.items())]
    others = sorted(set(rows) - set(claimed))
    return "\n".join(text) + f"\n\nNot claimed, {sum(rows[name].total() for name in others)} cases: {', '.join(others)}.\n"


def main():
    warnings.simplefilter("ignore")
    arguments = sys.argv[1:]
    page = pathlib.Path(arguments[arguments.index("--table") + 1]) if "--table" in arguments else None
    cases = node_cases.collect_testcases(None)
    if not ALL and not page:
        cases = cases[::8]
    checks, results = Checks(), []
    with work_folder() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(lambda case: try_case(case, pathlib.Path(folder) / case.name), cases)
        for case, outcome in zip(cases, outcomes):
            results.append((operator_of(case), outcome))
            checks.that(outcome[0] != "wrong", f"{case.name}: {outcome[1]}")
    count = collections.Counter(outcome for _, (outcome, _) in results)
    print(f"{count['right']} right, {count['refused']} refused, {count['wrong']} wrong of {len(cases)}")
    if page:
        before, rest = page.read_text().split(BEGIN)
        page.write_text(before + BEGIN + "\n" + table(results) + END + rest.split(END)[1])
    checks.finish()


if __name__ == "__main__":
    main()
