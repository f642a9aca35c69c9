"""Expert layers in graphs of tensors, in every way in which models hold their weights, compared with numpy.

    graph_experts.py [FORM...]
"""

import dataclasses
import math
import sys

import numpy as np

from graphs import compute, near, save
from programs import MOEC, Checks, succeed, work_folder

EXPERTS, PICKED, HIDDEN, WIDTH = 70, 3, 40, 24
TOLERANCE = 2e-5


@dataclasses.dataclass
class Form:
    """How a model holds its experts, and what follows their first products."""
    stacked: bool = True       # one tensor for all experts, or one for each
    transposed: bool = False
    joined: str = ""           # gate and up in one tensor: "halves" or "turns"
    gated: bool = True
    biases: bool = False
    activation: str = "silu"
    higher: bool = False       # of equal scores the higher expert
    element: str = "f32"
    found: bool = False        # the tokens are those that data names
    options: tuple = ()        # of the compiler
    tolerance: float = TOLERANCE


FORMS = {
    "stacked": Form(),
    "each": Form(stacked=False, biases=True),
    "each-transposed": Form(stacked=False, transposed=True),
    "halves": Form(joined="halves", biases=True, higher=True),
    "turns-transposed": Form(joined="turns", transposed=True, biases=True,
                             activation="silu limit 0.9 : f32 slope 1.702 : f32 shift 1.0 : f32"),
    "relu": Form(gated=False, biases=True, activation="relu"),
    "relu-squared": Form(gated=False, activation="relu_squared"),
    "gelu": Form(gated=False, transposed=True, activation="gelu"),
    "gelu-tanh": Form(activation="gelu_tanh", element="f16"),
    "identity": Form(gated=False, activation="identity", biases=True),
    "unfused": Form(joined="halves", biases=True, options=("--without-pass=moe-fuse-experts,moe-fuse-gate",)),
    "plain": Form(gated=False, biases=True, activation="silu", options=("--reference",)),
    "found": Form(biases=True, found=True),
    "found-ungated": Form(gated=False, activation="relu", found=True),
    "bf16": Form(biases=True, options=("--activations=bf16",), tolerance=2e-2),
    "int8": Form(options=("--quantize=experts:int8",), tolerance=4e-2),
}


def erf(x):
    return np.vectorize(math.erf)(x)


def activate(text, gate, up):
    kind, *words = text.replace(": f32", "").split()
    number = dict(zip(words[::2], map(float, words[1::2])))
    if "limit" in number:
        gate, up = np.minimum(gate, number["limit"]), np.clip(up, -number["limit"], number["limit"])
    functions = {
        "identity": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "relu_squared": lambda x: np.maximum(x, 0) ** 2,
        "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
        "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))) / 2,
        "silu": lambda x: x / (1 + np.exp(-number.get("slope", 1) * x)),
    }
    return functions[kind](gate) if up is None else functions[kind](gate) * (up + number.get("shift", 0))


def expected(form, weights, x, logits):
    x, logits = x.astype(np.float64), logits.astype(np.float64)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    order = np.argsort(-(scores[:, ::-1] if form.higher else scores), axis=1, kind="stable")[:, :PICKED]
    ids = EXPERTS - 1 - order if form.higher else order
    y = np.zeros((len(x), HIDDEN))
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    product = lambda name, e, row: w[name][e] @ row + (w[name + "_bias"][e] if form.biases else 0)
    for t, row in enumerate(x):
        shares = scores[t, ids[t]] / scores[t, ids[t]].sum()
        for e, share in zip(ids[t], shares):
            up = product("up", e, row)
            inner = activate(form.activation, product("gate", e, row), up) if form.gated else activate(form.activation, up, None)
            y[t] += share * product("down", e, inner)
    return y


def store(name, values, form, tensors):
    """Adds what each of the experts has, E x rows x columns, to the model."""
    if form.transposed and values.ndim == 3:
        values = values.transpose(0, 2, 1)
    kind = np.float16 if form.element == "f16" else np.float32
    if form.stacked:
        tensors[name] = np.ascontiguousarray(values, kind)
    else:
        tensors.update({f"{name}.{e}": np.ascontiguousarray(value, kind) for e, value in enumerate(values)})


def weight(symbol, source, rows, columns, form, first=0, step=1, stored=None):
    """The lm.weight of a part of what `source` holds, `stored` rows of each expert; no columns: a bias."""
    is_bias = columns == 0
    turned = form.transposed and not is_bias
    between = columns if turned else stored or rows
    part = f"rows = {rows}, first_row = {first}, row_step = {step}, rows_per_expert = {between}, transposed = {str(turned).lower()}, stored = {form.element}"
    pieces = [f'#lm.piece<pattern = "{source}", {part}>'] if form.stacked else [
        f'#lm.piece<pattern = "{source}.{e}", first_expert = {e}, experts = 1, {part}>' for e in range(EXPERTS)]
    vectors = " vectors" if is_bias else ""
    return f"  lm.weight @{symbol} : !lm.weight<{EXPERTS}x{rows}x{columns or 1}x{form.element}>{vectors} layers [] from [{', '.join(pieces)}]\n"


def make_model(form, random):
    """Weights as numpy has them, tensors as a model does, and the text of their symbols."""
    draw = lambda *shape: (random.standard_normal(shape) / 4).astype(np.float16).astype(np.float32)
    names = {"gate": (WIDTH, HIDDEN), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    if not form.gated:
        del names["gate"]
    weights = {name: draw(EXPERTS, *shape) for name, shape in names.items()}
    weights |= {f"{name}_bias": draw(EXPERTS, shape[0]) for name, shape in names.items() if form.biases}
    tensors, text = {}, ""
    for name in weights:
        base, rows, columns = name.removesuffix("_bias"), weights[name].shape[1], 0 if name.endswith("_bias") else weights[name].shape[2]
        if not form.joined or base == "down":
            store(name, weights[name], form, tensors)
            text += weight(name, name, rows, columns, form)
            continue
        first, step = {"halves": (0 if base == "gate" else rows, 1), "turns": (0 if base == "gate" else 1, 2)}[form.joined]
        both = name.replace(base, "both")
        text += weight(name, both, rows, columns, form, first, step, 2 * rows)
        if base == "gate":
            pair = [weights[name], weights[name.replace("gate", "up")]]
            joined = np.concatenate(pair, axis=1) if form.joined == "halves" else np.stack(pair, axis=2).reshape(EXPERTS, 2 * rows, *weights[name].shape[2:])
            store(both, joined, form, tensors)
    return weights, tensors, text


# Rows of the inputs where `m` is true.
FOUND = """    %flags = lm.graph_input %graph "m"(%all) : tensor<?xi1>
    %places_init = tensor.empty(%all) : tensor<1x?xi64>
    %count_init = tensor.empty() : tensor<i64>
    %places, %number = linalg_ext.nonzero ins(%flags : tensor<?xi1>) outs(%places_init, %count_init : tensor<1x?xi64>, tensor<i64>) -> tensor<1x?xi64>, tensor<i64>
    %count = tensor.extract %number[] : tensor<i64>
    %t = arith.index_cast %count : i64 to index
    %rows = tensor.extract_slice %places[0, 0] [1, %t] [1, 1] : tensor<1x?xi64> to tensor<?xi64>
"""


def found(name, columns):
    """Those rows of an input."""
    kind = f"tensor<?x{columns}xf32>"
    return f"""    %{name}_init = tensor.empty(%t) : {kind}
    %{name} = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}}
        ins(%rows : tensor<?xi64>) outs(%{name}_init : {kind}) {{
    ^bb0(%row: i64, %old: f32):
      %i = arith.index_cast %row : i64 to index
      %j = linalg.index 1 : index
      %v = tensor.extract %{name}_all[%i, %j] : {kind}
      linalg.yield %v : f32
    }} -> {kind}
"""


def module(form, symbols):
    """A graph of tokens and logits with one expert layer."""
    value = lambda name: f"!lm.weight<{EXPERTS}x{HIDDEN if name.startswith('down') else WIDTH}x{1 if name.endswith('_bias') else WIDTH if name == 'down' else HIDDEN}x{form.element}>"
    names = ["gate"] * form.gated + ["up", "down"]
    names += [f"{name}_bias" for name in names] * form.biases
    loads = "".join(f"    %{name} = lm.load_weight @{name} : {value(name)}\n" for name in names)
    inner = f"tensor<?x{WIDTH}xf32>"

    def product(result, name, rows, columns, gathers, activation=""):
        bias = f" bias(%{name}_bias : {value(name + '_bias')})" if form.biases else ""
        kind = f"tensor<?x{HIDDEN if name == 'down' else WIDTH}xf32>"
        return (f"    %{result}_init = tensor.empty(%picks) : {kind}\n"
                f"    %{result} = moe.grouped_matmul {activation}ins({rows}, %{name}, %plan#3 : tensor<?x{columns}xf32>, {value(name)}, tensor<?x3xi32>)"
                f"{' rows(%plan#0 : tensor<?xi32>)' if gathers else ''}{bias} outs(%{result}_init : {kind}) -> {kind}\n")

    if form.gated:
        first = product("g", "gate", "%x", HIDDEN, True) + product("u", "up", "%x", HIDDEN, True)
        first += f"    %a = moe.gated_activation {form.activation} ins(%g, %u : {inner}, {inner}) outs(%g_init : {inner}) -> {inner}\n"
    else:
        first = product("a", "up", "%x", HIDDEN, True, f"activation {form.activation} ")
    all = "all" if form.found else "t"
    tokens = FOUND + found("x", HIDDEN) + found("l", EXPERTS) if form.found else ""
    suffix = "_all" if form.found else ""
    row = f"memref<?x{HIDDEN}xf32>"
    given = row.replace(">", ", strided<[%d, 1]>>" % HIDDEN) if form.found else row
    part = f"    %part = memref.subview %out[0, 0] [%t, {HIDDEN}] [1, 1] : {row} to {given}\n    lm.set_output_size %graph \"y\" dimension 0 to %t\n" if form.found else ""
    return f"""module attributes {{moec.graph = {{dimensions = ["t"],
    inputs = [{'{name = "m", type = "BOOL", shape = ["t"]}, ' if form.found else ""}{{name = "x", type = "F32", shape = ["t", {HIDDEN} : i64]}}, {{name = "l", type = "F32", shape = ["t", {EXPERTS} : i64]}}],
    outputs = [{{name = "y", type = "F32", shape = [{'""' if form.found else '"t"'}, {HIDDEN} : i64]}}]}}}} {{
{symbols}  func.func @graph(%graph: !lm.batch) {{
    %{all} = lm.dimension %graph "t"
    %x{suffix} = lm.graph_input %graph "x"(%{all}) : tensor<?x{HIDDEN}xf32>
    %l{suffix} = lm.graph_input %graph "l"(%{all}) : tensor<?x{EXPERTS}xf32>
{tokens}{loads}    %s_init = tensor.empty(%t) : tensor<?x{EXPERTS}xf32>
    %s = moe.score softmax ins(%l : tensor<?x{EXPERTS}xf32>) outs(%s_init : tensor<?x{EXPERTS}xf32>) -> tensor<?x{EXPERTS}xf32>
    %e_init = tensor.empty(%t) : tensor<?x{PICKED}xi32>
    %w_init = tensor.empty(%t) : tensor<?x{PICKED}xf32>
    %e, %w = moe.route renormalize {"prefer_higher " if form.higher else ""}ins(%s : tensor<?x{EXPERTS}xf32>) outs(%e_init, %w_init : tensor<?x{PICKED}xi32>, tensor<?x{PICKED}xf32>)
        -> tensor<?x{PICKED}xi32>, tensor<?x{PICKED}xf32>
    %picked = arith.constant {PICKED} : index
    %most = arith.constant {EXPERTS + 1} : index
    %height = arith.constant 64 : index
    %picks = arith.muli %t, %picked : index
    %full = arith.divui %picks, %height : index
    %entries = arith.addi %full, %most : index
    %r_init = tensor.empty(%picks) : tensor<?xi32>
    %o_init = tensor.empty() : tensor<{EXPERTS + 1}xi32>
    %p_init = tensor.empty(%entries) : tensor<?x3xi32>
    %plan:4 = moe.dispatch tile_rows 64 ins(%e : tensor<?x{PICKED}xi32>)
        outs(%r_init, %r_init, %o_init, %p_init : tensor<?xi32>, tensor<?xi32>, tensor<{EXPERTS + 1}xi32>, tensor<?x3xi32>)
        -> tensor<?xi32>, tensor<?xi32>, tensor<{EXPERTS + 1}xi32>, tensor<?x3xi32>
{first}{product("d", "down", "%a", WIDTH, False)}    %y_init = tensor.empty(%t) : tensor<?x{HIDDEN}xf32>
    %y = moe.combine ins(%d, %plan#1, %w : tensor<?x{HIDDEN}xf32>, tensor<?xi32>, tensor<?x{PICKED}xf32>) outs(%y_init : tensor<?x{HIDDEN}xf32>) -> tensor<?x{HIDDEN}xf32>
    %out = lm.graph_output %graph "y"(%{all}) : {row}
{part}    bufferization.materialize_in_destination %y in restrict writable %{"part" if form.found else "out"} : (tensor<?x{HIDDEN}xf32>, {given}) -> ()
    return
  }}
}}
"""


def check_form(checks, name):
    form, random = FORMS[name], np.random.default_rng(7)
    with work_folder() as folder, checks.about(name):
        weights, tensors, symbols = make_model(form, random)
        save(tensors, folder / "model.safetensors")
        (folder / "layer.mlir").write_text(module(form, symbols))
        succeed(MOEC, "compile", folder / "layer.mlir", f"--tensors={folder}/model.safetensors", "-q", "-o", folder / "program", *form.options)
        for rows in [0, 1, 7, 130]:
            x = random.standard_normal((rows, HIDDEN)).astype(np.float32)
            logits = random.integers(-2, 3, (rows, EXPERTS)).astype(np.float32)  # many are equal
            inputs = {"x": x, "l": logits}
            if form.found:
                inputs["m"] = random.random(rows) < 0.6
                x, logits = x[inputs["m"]], logits[inputs["m"]]
            got = [compute(folder / "program", inputs, folder, f"--threads={threads}")["y"] for threads in (1, 3)]
            checks.that(got[0].tobytes() == got[1].tobytes(), f"{name}: {rows} rows depend on the threads")
            wanted = expected(form, weights, x, logits)
            scale = max(np.abs(wanted).max(initial=0), 1e-30)
            checks.that(near(got[0] / scale, wanted / scale, form.tolerance),
                        f"{name}: {rows} rows are off by {np.abs(got[0] - wanted).max(initial=0) / scale:.1e} of the largest")


if __name__ == "__main__":
    checks = Checks()
    for name in sys.argv[1:] or FORMS:
        check_form(checks, name)
    checks.finish()
