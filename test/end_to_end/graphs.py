"""Graphs of tensors, given as modules: compiled to programs, run, and compared with numpy."""

import json
import math
import struct

import numpy as np

from programs import MOEC, TEST, Checks, run, succeed

GRAPHS = TEST / "end_to_end/graphs"


# As safetensors spells types; bf16, which numpy has not, is the bits of one.
CODES = {"F8_E4M3": np.dtype(np.uint8), "F8_E5M2": np.dtype(np.uint8)}  # likewise
NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "int32": "I32", "int64": "I64", "bool": "BOOL", "uint16": "BF16"}


def save(values, path, codes={}):
    """`codes` names the types of what numpy has as bytes."""
    header, data = {}, b""
    for name, value in values.items():
        begin = len(data)
        data += value.tobytes()
        header[name] = {"dtype": codes.get(name) or NAMES[value.dtype.name], "shape": value.shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def load(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    types = CODES | {name: np.dtype(kind) for kind, name in NAMES.items()}
    values = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values[name] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return values


def to_bf16(values):
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def compile_graph(name, program, *options):
    succeed(MOEC, "compile", GRAPHS / f"{name}.mlir", "-o", program, *options)
    return program


def compute(program, inputs, folder, *options, codes={}):
    """The outputs of a program for these inputs."""
    save(inputs, folder / "in.safetensors", codes)
    succeed(program, "graph", "--input", folder / "in.safetensors", "--output", folder / "out.safetensors", *options)
    return load(folder / "out.safetensors")


def near(got, wanted, tolerance):
    got, wanted = np.asarray(got), np.asarray(wanted)
    return got.shape == wanted.shape and np.allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=tolerance, atol=tolerance)


def check_choices(checks, folder):
    random = np.random.default_rng(1)
    weights = {"w": random.standard_normal((40, 24), dtype=np.float32), "b": random.standard_normal(24, dtype=np.float32)}
    save(weights, folder / "weights.safetensors")
    program = compile_graph("choices", folder / "program", f"--tensors={folder}/weights.safetensors")
    for rows in [1, 7, 200, 0]:
        x = random.standard_normal((rows, 40), dtype=np.float32)
        sums = x.astype(np.float64) @ weights["w"] + weights["b"]
        wanted = sums / (1 + np.exp(-sums))
        one, more = (compute(program, {"x": x}, folder, f"--threads={threads}") for threads in (1, 3))
        for name, value in one.items():
            checks.that(value.tobytes() == more[name].tobytes(), f"{rows} rows: {name} depends on the threads")
        got = one["y"]
        checks.that(near(got, wanted, 1e-5), f"{rows} rows: y is wrong")
        checks.that(np.array_equal(one["top"], np.argsort(-got, axis=1, kind="stable")[:, :3]), f"{rows} rows: top is wrong")
        checks.that(np.array_equal(one["where"], np.array(np.nonzero(got > 1))), f"{rows} rows: where is wrong")
        checks.that(near(one["total"], got[got > 1].sum(dtype=np.float64), 1e-5), f"{rows} rows: total is wrong")


def check_fixed(checks, folder):
    program = compile_graph("fixed", folder / "program")
    random = np.random.default_rng(2)
    for share in (0, 0.3, 1):
        x = random.random((70, 90)) < share
        got = compute(program, {"x": x}, folder)["where"]
        checks.that(np.array_equal(got, np.array(np.nonzero(x))), f"{share} of all: where is of shape {got.shape}, or wrong")


def check_remainders(checks, folder):
    program = compile_graph("remainders", folder / "program")
    x, b = np.arange(8, dtype=np.float32).reshape(2, 4, 1), np.array([[10], [20], [30], [40]], np.float32)
    y = compute(program, {"x": x, "b": b}, folder)["y"]
    checks.that(np.array_equal(y, x + b), f"y is {y.ravel()}, wanted {(x + b).ravel()}")


def check_control(checks, folder):
    program = compile_graph("control", folder / "program")
    checks.that(not (folder / "program.weights").exists(), "a graph without tensors has a file of weights")
    x = np.array([[3, 2, 0.5], [1, -1, 2], [0, 0.25, 7], [9, 8, 7]], np.float32)
    for steps in [0, 1, 4]:
        got = compute(program, {"x": x, "steps": np.array(steps, np.int64)}, folder)
        power = x ** (steps + 1)
        halved, count = (power if steps else x), 0
        while halved[0, 0] > 1:
            halved, count = halved / 2, count + 1
        checks.that(np.array_equal(got["power"], power), f"{steps} steps: power is wrong")
        checks.that(np.array_equal(got["halved"], halved), f"{steps} steps: halved is wrong")
        checks.that(got["count"] == count, f"{steps} steps: {got['count']} halvings, wanted {count}")


def check_types(checks, folder):
    program = compile_graph("types", folder / "program")
    random = np.random.default_rng(2)
    n, m = 50, 30
    at = random.integers(-n - 3, n + 3, (m, 1))  # some of them outside
    inputs = {"data": random.integers(-9, 9, (n, 2), np.int32), "at": at, "updates": random.integers(-9, 9, (m, 2), np.int32),
              "d": np.round(random.standard_normal(n), 1), "h": random.uniform(0.8, 1.2, n).astype(np.float16),
              "b": to_bf16(random.standard_normal(n)), "flags": random.random(n) < 0.5}
    inputs["d"][[3, 8]] = np.nan, np.inf
    got = compute(program, inputs, folder)
    added, largest = inputs["data"].copy(), inputs["data"].copy()
    for place, update in zip(at[:, 0], inputs["updates"]):
        if -n <= place < n:
            added[place] += update
            largest[place] = np.maximum(largest[place], update)
    checks.that(np.array_equal(got["added"], added), "added is wrong")
    checks.that(np.array_equal(got["largest"], largest), "largest is wrong")
    sums = np.concatenate([[0], np.cumsum(inputs["d"])[:-1]])
    checks.that(np.allclose(got["sums"], sums, equal_nan=True), "sums is wrong")
    checks.that(near(got["products"], np.cumprod(inputs["h"][::-1].astype(np.float64))[::-1], 2e-3), "products is wrong")
    checks.that(np.allclose(got["tanh"], np.tanh(inputs["d"]), equal_nan=True), "tanh is wrong")
    checks.that(near(got["erf"], [math.erf(x) for x in inputs["h"]], 1e-3), "erf is wrong")
    checks.that(near(from_bf16(got["exp"]), np.exp(from_bf16(inputs["b"])), 4e-3), "exp is wrong")
    checks.that(np.array_equal(got["not"], ~inputs["flags"]), "not is wrong")
    checks.that(np.array_equal(got["order"], np.argsort(inputs["d"], kind="stable")), "order is wrong")


def check_attention(checks, folder):
    program = compile_graph("attention", folder / "program")
    random = np.random.default_rng(3)
    for n in [1, 17, 300]:
        inputs = {name: random.standard_normal((8, n, 64), dtype=np.float32) for name in "qkv"}
        scores = np.einsum("htk,hsk->hts", *(inputs[name].astype(np.float64) for name in "qk"))
        shares = np.exp(scores - scores.max(2, keepdims=True))
        wanted = shares / shares.sum(2, keepdims=True) @ inputs["v"]
        one, more = (compute(program, inputs, folder, f"--threads={threads}")["y"] for threads in (1, 3))
        checks.that(near(one, wanted, 1e-4), f"attention to {n} is off by {abs(one - wanted).max()}")
        checks.that(one.tobytes() == more.tobytes(), f"attention to {n} depends on the threads")


def small_floats(mantissa, bias, numbers):
    """What the codes 0 to 127 of a float of 8 bits stand for, of which so many are numbers."""
    codes = np.arange(128)
    exponent, fraction = codes >> mantissa, (codes & ((1 << mantissa) - 1)) / (1 << mantissa)
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    values[numbers:] = np.nan
    return values


def check_small_floats(checks, folder):
    program = compile_graph("small_floats", folder / "program")
    four, five = small_floats(3, 7, 127), small_floats(2, 15, 124)
    five[124] = np.inf
    codes = np.arange(256, dtype=np.uint8)
    # Every number, what is half way to the next, and what lies next to that.
    numbers = np.concatenate([four[:127], five[:124], (four[:126] + four[1:127]) / 2, (five[:123] + five[1:124]) / 2]).astype(np.float32)
    x = np.concatenate([numbers, np.nextafter(numbers, np.float32(1e30)), np.nextafter(numbers, np.float32(0)), [1e-30, 449, 464, 465, 61440, 61441, 1e30, np.inf, np.nan]])
    x = np.concatenate([x, -x]).astype(np.float32)
    base, power = np.tile([-3, -1, 0, 1, 2, 5, 7, -2], 32), np.arange(256) % 20
    got = compute(program, {"x": x, "four": codes, "five": codes, "base": base, "power": power}, folder, codes={"four": "F8_E4M3", "five": "F8_E5M2"})
    both = lambda values: np.concatenate([values, -values])
    checks.that(np.array_equal(got["from_four"], both(four).astype(np.float32), equal_nan=True), "from_four is wrong")
    checks.that(np.array_equal(got["from_five"], both(five).astype(np.float16), equal_nan=True), "from_five is wrong")
    checks.that(np.array_equal(got["powers"], base ** power), "powers is wrong")
    for name, values, count, beyond in [("to_four", four, 127, 0x7F), ("to_five", five, 124, 0x7C)]:
        # The nearest of the numbers and the one that would come next; of two, that of an even code.
        ladder = np.append(values[:count], 2 * values[count - 1] - values[count - 2])
        for value, code in zip(x.astype(np.float64), got[name]):
            distances = np.abs(ladder - min(abs(value), ladder[-1]))
            nearest = np.flatnonzero(distances == distances.min()) if np.isfinite(value) else [count]
            wanted = nearest[0] if len(nearest) == 1 or nearest[0] % 2 == 0 else nearest[1]
            wanted = beyond if wanted == count else wanted
            good = np.isnan(values[code & 127]) if np.isnan(value) else code == wanted + 128 * (np.signbit(value))
            if not checks.that(good, f"{name}: {value} is {code}, wanted {wanted}"):
                break


def check_checks(checks, folder):
    random = np.random.default_rng(4)
    weights = {"w": random.standard_normal((3, 5), dtype=np.float32)}
    save(weights, folder / "weights.safetensors")
    program = compile_graph("checks", folder / "program", f"--tensors={folder}/weights.safetensors")
    for rows in [1, 9, 700]:
        a, b = random.standard_normal((2, rows, 3), dtype=np.float32)
        got = compute(program, {"a": a, "b": b}, folder, "--threads=3")
        checks.that(np.array_equal(got["sum"], a + b), f"{rows} rows: sum is wrong")
        checks.that(near(got["rows"], (a + b)[(a + b)[:, 0] > 0] @ weights["w"], 1e-5), f"{rows} rows: rows is wrong")
    save({"a": a, "b": b[:5]}, folder / "in.safetensors")
    done = run(program, "graph", "--input", folder / "in.safetensors", "--output", folder / "none.safetensors")
    checks.that(done.returncode == 2 and "a and b differ in their rows" in done.stderr.decode(), f"rows differ: {done.returncode}, {done.stderr.decode()}")
    checks.that(not (folder / "none.safetensors").exists(), "rows differ: there is an output")


def check_libraries(checks, folder):
    """Shared and static, from C."""
    main, include = GRAPHS / "main.c", TEST.parent / "runtime/include"
    link = {"shared": ("control.so", [f"-Wl,-rpath,{folder}"]), "static": ("control.a", ["-lstdc++", "-lm", "-pthread"])}
    for emit, (name, options) in link.items():
        compile_graph("control", folder / name, f"--emit={emit}")
        program = folder / emit
        succeed("cc", "-std=c11", "-Wall", "-Werror", f"-I{include}", f"-I{folder}", main, folder / name, "-o", program, *options)
        # 5^3 is halved 7 times.
        checks.that(succeed(program) == b"7 0.976562 2\n", f"{emit}: {succeed(program)}")
        done = run(program, "2")
        checks.that(done.returncode == 1 and b"input 'x' has shape [2, 2], wanted 3 in dimension 1" in done.stderr, f"{emit}: {done.stderr}")


def check_refusals(checks, folder):
    """What does not fit a graph is named."""
    program = compile_graph("control", folder / "program")
    x, steps = np.zeros((4, 3), np.float32), np.array(1, np.int64)
    cases = [
        ({"x": x}, "has no tensor 'steps', which the graph takes: x, steps"),
        ({"x": x, "steps": steps, "y": x}, "tensor 'y' is none of the graph's inputs: x, steps"),
        ({"x": x, "steps": steps.astype(np.int32)}, "tensor 'steps' is I32, wanted I64"),
        ({"x": x[:, :2].copy(), "steps": steps}, "input 'x' has shape [4, 2], wanted 3 in dimension 1"),
        ({"x": x[0].copy(), "steps": steps}, "input 'x' has shape [3], wanted 2 dimensions"),
    ]
    for inputs, words in cases:
        save(inputs, folder / "in.safetensors")
        done = run(program, "graph", "--input", folder / "in.safetensors", "--output", folder / "out.safetensors")
        checks.that(done.returncode == 2 and words in done.stderr.decode(), f"wanted '{words}', got status {done.returncode}: {done.stderr.decode()}")
    done = run(program, "graph", "--output", folder / "out.safetensors")
    checks.that(done.returncode == 2 and "no --input, and the graph takes 'x'" in done.stderr.decode(), f"without input: {done.stderr.decode()}")
    done = run(program, "hello")
    checks.that(done.returncode == 2 and "is a graph of tensors" in done.stderr.decode(), f"asked to answer: {done.stderr.decode()}")
    done = run(MOEC, "compile", GRAPHS / "choices.mlir", "-o", folder / "other")
    checks.that(done.returncode == 3 and "tensor `w` is missing" in done.stderr.decode(), f"without tensors: {done.stderr.decode()}")


def main():
    checks = Checks()
    checks.run_parts(check_choices, check_fixed, check_remainders, check_control, check_types, check_attention, check_small_floats, check_checks,
                     check_libraries, check_refusals)
    checks.finish()


if __name__ == "__main__":
    main()
