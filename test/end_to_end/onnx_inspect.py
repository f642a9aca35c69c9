"""`moec inspect` of ONNX files: golden graphs as text and JSON, and bad files with their exit statuses.

Models of its own are written byte by byte: a field is a tag and a number, or a tag, a length and bytes.
"""

import json
import os

from programs import GOLDEN, MOEC, Checks, run, succeed

MODEL, UNSUPPORTED = 3, 4
FLOAT, EXTERNAL, INT = 1, 1, 2
# The facts that a case.json has as well.
CASES = ["moe_swiglu_gpt_oss", "qmoe_int4_zero_points", "decoder_mixtral_grouped", "loop_dynamo"]


# ---------------------------------------------------------------- models, byte by byte

def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """A number, text, bytes, or several of them."""
    if isinstance(value, list):
        return b"".join(field(number, each) for each in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(**fields):
    """The keys are `_NUMBER`."""
    return b"".join(field(int(key[1:]), value) for key, value in fields.items())


def value_info(name, *dims):
    shape = message(_1=[message(_1=dim) if isinstance(dim, int) else message(_2=dim) for dim in dims])
    return message(_1=name, _2=message(_1=message(_1=FLOAT, _2=shape)))


def node(op, inputs, outputs, *attributes, domain="", name=""):
    return message(_1=inputs, _2=outputs, _3=name, _4=op, _7=domain, _5=list(attributes))


def external(name, count, **entries):
    return message(_1=count, _2=FLOAT, _8=name, _14=EXTERNAL,
                   _13=[message(_1=key, _2=str(value)) for key, value in entries.items()])


def graph(nodes, initializers=(), inputs=None, outputs=()):
    inputs = [value_info("x", "tokens", 4)] if inputs is None else inputs
    return message(_1=list(nodes), _2="main", _5=list(initializers), _11=inputs, _12=list(outputs))


def model(graph_, functions=(), opset=21, ir=10, **more):
    return message(_1=ir, _2="hand", _8=[message(_1="", _2=opset)], _7=graph_, _25=list(functions), **more)


RELU = node("Relu", ["x"], ["y"], name="act")
OUT = [value_info("y", "tokens", 4)]


# ---------------------------------------------------------------- good files

def golden_graphs(checks, _):
    for case in CASES:
        path = GOLDEN / "onnx" / case
        facts = json.loads((path / "case.json").read_text())
        found = json.loads(succeed(MOEC, "inspect", path / "model.onnx", "--json"))
        text = succeed(MOEC, "inspect", path / "model.onnx").decode()
        checks.that(found["ir_version"] == facts["ir_version"] and found["producer"] == facts["producer"], f"{case}: producer")
        checks.that(found["operators"] == facts["opset"], f"{case}: operators {found['operators']}")
        checks.that(found["initializers"] > 0 and sum(found["nodes"].values()) > 0, f"{case}: counts")
        checks.that(found["tensors"] and all(t["external_bytes"] == 0 for t in found["tensors"]), f"{case}: tensors")
        for op, count in found["nodes"].items():
            checks.that(f" {count} {op}\n" in text, f"{case}: text lacks {count} {op}")
        for each in found["inputs"] + found["outputs"]:
            shape = ", ".join("?" if size is None else str(size) for size in each["shape"])
            checks.that(f"{each['name']}: {each['type']} [{shape}]\n" in text, f"{case}: text lacks {each}")
    found = json.loads(succeed(MOEC, "inspect", GOLDEN / "onnx/moe_relu/model.onnx", "--json"))
    checks.that(found["nodes"] == {"com.microsoft::MoE": 1}, f"moe_relu: {found['nodes']}")
    checks.that([i["shape"] for i in found["inputs"]] == [["tokens", 20], ["tokens", 5]], f"moe_relu: {found['inputs']}")


def external_data(checks, folder):
    tensors = [external("w", 4, location="weights", offset=8, length=16), external("v", 2, location="weights")]
    (folder / "model.onnx").write_bytes(model(graph([RELU], tensors, outputs=OUT)))
    (folder / "weights").write_bytes(bytes(24))
    found = json.loads(succeed(MOEC, "inspect", folder / "model.onnx", "--json"))
    checks.that(found["tensors"] == [{"type": "FLOAT", "count": 2, "inline_bytes": 0, "external_bytes": 24}], f"{found['tensors']}")
    checks.that(found["files"][1] == {"path": "weights", "bytes": 24, "present": True}, f"{found['files']}")
    checks.that([t["name"] for t in found["largest"]] == ["w", "v"], f"{found['largest']}")
    (folder / "weights").unlink()
    found = json.loads(succeed(MOEC, "inspect", folder / "model.onnx", "--json"))
    checks.that(found["notices"] == ["weights is not there"], f"{found['notices']}")


def functions(checks, folder):
    body = message(_1="Twice", _4="a", _5="b", _10="own", _9=message(_1="", _2=21),
                   _7=[node("Relu", ["a"], ["m"]), node("Neg", ["m"], ["b"])])
    calls = [node("Twice", ["x"], ["m"], domain="own"), node("Twice", ["m"], ["y"], domain="own")]
    (folder / "model.onnx").write_bytes(model(graph(calls, outputs=OUT), [body]))
    found = json.loads(succeed(MOEC, "inspect", folder / "model.onnx", "--json"))
    checks.that(found["nodes"] == {"Neg": 2, "Relu": 2}, f"{found['nodes']}")
    checks.that(found["functions"] == [{"domain": "own", "name": "Twice", "overload": "", "nodes": 2, "calls": 2}],
                f"{found['functions']}")
    text = succeed(MOEC, "inspect", folder / "model.onnx").decode()
    checks.that("own::Twice, 2 nodes, called 2 times" in text, text)


# ---------------------------------------------------------------- bad files

def nested(levels):
    inner = graph([RELU], inputs=[])
    for _ in range(levels):
        inner = graph([node("If", ["x"], ["y"], message(_1="then_branch", _6=inner, _20=5))], inputs=[])
    return inner


def bad_files(checks, folder):
    good = model(graph([RELU], outputs=OUT))
    huge = message(_1=[1 << 40, 1 << 40], _2=FLOAT, _8="w")
    itself = message(_1="f", _4="a", _5="b", _10="own", _9=message(_1="", _2=21), _7=node("f", ["a"], ["b"], domain="own"))
    cycle = [node("Add", ["x", "b"], ["a"], name="first"), node("Neg", ["a"], ["b"])]
    cases = [
        ("empty", b"", MODEL, "not an ONNX model"),
        ("text", b"hello", MODEL, "not a valid onnx.ModelProto"),
        ("cut", good[:-3], MODEL, "not a valid onnx.ModelProto"),
        ("cyclic", model(graph(cycle)), MODEL, "node `first` (Add): reads `b`, which depends on what the node makes: the graph has a cycle"),
        ("order", model(graph([node("Neg", ["y"], ["z"]), RELU])), MODEL, "comes of node `act` (Relu) behind it"),
        ("twice", model(graph([RELU, RELU])), MODEL, "`y` is defined twice"),
        ("unknown value", model(graph([node("Neg", ["q"], ["y"])])), MODEL, "reads `q`, which nothing makes"),
        ("huge", model(graph([RELU], [huge])), MODEL, "tensor `w`: has the shape [1099511627776, 1099511627776]"),
        ("short", model(graph([RELU], [message(_1=2, _2=FLOAT, _8="w", _9=bytes(4))])), MODEL, "tensor `w`: has 4 bytes of data"),
        ("deep", model(nested(40)), UNSUPPORTED, "graphs are nested deeper"),
        ("old operators", model(graph([RELU]), opset=10), UNSUPPORTED, "imports version 10 of the operators of ai.onnx, wanted 11 to 28"),
        ("new operators", model(graph([RELU]), opset=29), UNSUPPORTED, "imports version 29"),
        ("new file", model(graph([RELU]), ir=15), UNSUPPORTED, "is of IR version 15"),
        ("new field", model(graph([RELU]), _90=1), UNSUPPORTED, "field 90 of onnx.ModelProto is unknown"),
        ("circle", model(graph([RELU]), [itself]), MODEL, "function own::f calls itself"),
        ("outside", model(graph([RELU], [external("w", 1, location="../secret")])), MODEL, "leaves the directory"),
        ("absolute", model(graph([RELU], [external("w", 1, location="/etc/passwd")])), MODEL, "is absolute"),
        ("link", model(graph([RELU], [external("w", 1, location="link")])), MODEL, "--follow-links permits that"),
        ("device", model(graph([RELU], [external("w", 1, location="fifo")])), MODEL, "is a FIFO"),
        ("length", model(graph([RELU], [external("w", 1, location="none", length=5)])), MODEL, "has 5 bytes, its type and shape want 4"),
        ("offset", model(graph([RELU], [external("w", 1, location="none", offset="-4")])), MODEL, "has the offset `-4`"),
    ]
    work = folder / "m"
    work.mkdir()
    (folder / "secret").write_bytes(bytes(64))
    os.symlink("../secret", work / "link")
    os.mkfifo(work / "fifo")
    path = work / "model.onnx"
    for name, data, status, words in cases:
        path.write_bytes(data)
        done = run(MOEC, "inspect", path, timeout=60)
        error = done.stderr.decode()
        checks.that(done.returncode == status and error.startswith(f"moec: error: {path}: ") and words in error and not done.stdout,
                    f"{name}: status {done.returncode}, wanted {status} and `{words}`: {error.strip()}")
    path.write_bytes(good)
    checks.that(run(MOEC, "inspect", path).returncode == 0, "the good file")
    path.write_bytes(model(graph([RELU], [external("w", 1, location="link")])))
    checks.that(run(MOEC, "inspect", path, "--follow-links").returncode == 0, "--follow-links")
    done = run(MOEC, "inspect", work / "none.onnx")
    checks.that(done.returncode == MODEL and b"No such file" in done.stderr, f"a file that is not there: {done.stderr}")


if __name__ == "__main__":
    checks = Checks()
    checks.run_parts(golden_graphs, external_data, functions, bad_files)
    checks.finish()
