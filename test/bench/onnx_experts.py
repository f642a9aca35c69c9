#!/usr/bin/env python3
"""Layers of experts as ONNX has them, beside ONNX Runtime on the same file in the same run: time until they can run, and run time.

    build/python/bin/python3 test/bench/onnx_experts.py [--forms fused,dense,loop] [--experts 32,64,128] [--picked 2,8]
        [--tokens 1,8,64,512] [--threads 1] [--rounds 5]

Forms: `fused` is com.microsoft's MoE, `dense` multiplies all experts and weighs most of them by 0, `loop` gathers each expert's
tokens. Weights are random, of 512 x 256 and back. Needs `pip install -r test/bench/requirements.txt`. Both get so many threads.
Files and libraries stay in build/bench.
"""

import argparse
import ctypes
import itertools
import statistics
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from measure import FOLDER, MOEC, machine, spread, timed

HIDDEN, WIDTH = 512, 256
LEAST_SECONDS = 0.05  # of a measurement


class Graph:
    """Nodes, and constants that they read."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, [self.value(each) for each in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def value(self, given):
        if isinstance(given, str):
            return given
        self.constants.append(numpy_helper.from_array(np.asarray(given), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def model(self, result, experts):
        self.nodes[-1].output[0] = "y"
        real = TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info("x", real, ["t", HIDDEN]), helper.make_tensor_value_info("logits", real, ["t", experts])]
        graph = helper.make_graph(self.nodes, "experts", inputs, [helper.make_tensor_value_info("y", real, ["t", HIDDEN])], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)


def route(graph, picked):
    scores = graph.node("Softmax", "logits", axis=-1)
    weights, ids = graph.node("TopK", scores, np.array([picked]), outputs=2)
    return graph.node("Div", weights, graph.node("ReduceSum", weights, np.array([1]))), ids


def silu(graph, x):
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def fused(experts, picked, up, down):
    graph = Graph()
    result = graph.node("MoE", "x", "logits", up.transpose(0, 2, 1).copy(), "", down.transpose(0, 2, 1).copy(), domain="com.microsoft", k=picked,
                        activation_type="silu", normalize_routing_weights=1)
    return graph.model(result, experts)


def dense(experts, picked, up, down):
    graph = Graph()
    weights, ids = route(graph, picked)
    zeros = graph.node("ConstantOfShape", graph.node("Shape", "logits"))
    shares = graph.node("ScatterElements", zeros, ids, weights, axis=1)
    made = graph.node("MatMul", silu(graph, graph.node("MatMul", "x", up)), down)
    shares = graph.node("Unsqueeze", graph.node("Transpose", shares, perm=[1, 0]), np.array([2]))
    return graph.model(graph.node("ReduceSum", graph.node("Mul", made, shares), np.array([0]), keepdims=0), experts)


def loop(experts, picked, up, down):
    graph = Graph()
    weights, ids = route(graph, picked)
    hot = graph.node("Transpose", graph.node("OneHot", ids, np.array(experts), np.array([0, 1])), perm=[2, 1, 0])
    result = graph.node("ConstantOfShape", graph.node("Shape", "x"))
    for e in range(experts):
        places = graph.node("NonZero", graph.node("Gather", hot, np.array(e), axis=0))
        slot, token = (graph.node("Gather", places, np.array(i), axis=0) for i in (0, 1))
        made = graph.node("MatMul", silu(graph, graph.node("MatMul", graph.node("Gather", "x", token, axis=0), up[e])), down[e])
        column = graph.node("Unsqueeze", token, np.array([1]))
        share = graph.node("GatherND", weights, graph.node("Concat", column, graph.node("Unsqueeze", slot, np.array([1])), axis=1))
        made = graph.node("Mul", made, graph.node("Unsqueeze", share, np.array([1])))
        result = graph.node("ScatterND", result, column, made, reduction="add")
    return graph.model(result, experts)


FORMS = {"fused": fused, "dense": dense, "loop": loop}


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("shape", ctypes.POINTER(ctypes.c_int64)), ("rank", ctypes.c_uint32)]


class Options(ctypes.Structure):
    _fields_ = [("weights_file", ctypes.c_char_p), ("model_directory", ctypes.c_char_p), ("threads", ctypes.c_uint32),
                ("context", ctypes.c_uint32), ("numa", ctypes.c_uint32)]


class Ours:
    """The library that moec makes of a file."""

    def __init__(self, path, threads):
        library = path.with_suffix(".so")
        start = time.monotonic()
        timed(MOEC, "compile", path, "-q", "--emit=shared", "-o", library)
        self.graph = ctypes.c_void_p()
        self.calls = ctypes.CDLL(library)
        if self.calls.moec_graph_open(ctypes.byref(Options(threads=threads)), ctypes.byref(self.graph)):
            raise RuntimeError(ctypes.string_at(ctypes.cast(self.calls.moec_error_message, ctypes.CFUNCTYPE(ctypes.c_char_p))()))
        self.seconds = time.monotonic() - start

    def run(self, inputs):
        shapes = [(ctypes.c_int64 * value.ndim)(*value.shape) for value in inputs.values()]
        given = (Tensor * len(inputs))(*(Tensor(value.ctypes.data, shape, value.ndim) for value, shape in zip(inputs.values(), shapes)))
        made = Tensor()
        if self.calls.moec_graph_run(self.graph, given, ctypes.byref(made)):
            raise RuntimeError("the graph does not run")
        return np.ctypeslib.as_array(ctypes.cast(made.data, ctypes.POINTER(ctypes.c_float)), tuple(made.shape[:made.rank]))


class Theirs:
    """A session of ONNX Runtime, as it is by default."""

    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        start = time.monotonic()
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.seconds = time.monotonic() - start

    def run(self, inputs):
        return self.session.run(None, inputs)[0]


def seconds_of(one, inputs):
    """Of a run, by as many as take long enough."""
    count = 1
    while True:
        start = time.monotonic()
        for _ in range(count):
            one.run(inputs)
        taken = time.monotonic() - start
        if taken >= LEAST_SECONDS:
            return taken / count
        count = max(count + 1, round(count * 1.2 * LEAST_SECONDS / max(taken, 1e-4)))


def measure(form, experts, picked, arguments, random):
    up, down = (random.standard_normal(shape, dtype=np.float32) / 16 for shape in ((experts, HIDDEN, WIDTH), (experts, WIDTH, HIDDEN)))
    path = FOLDER / f"{form}-{experts}-{picked}.onnx"
    onnx.save(FORMS[form](experts, picked, up, down), path)
    ours, theirs = Ours(path, arguments.threads), Theirs(path, arguments.threads)
    for tokens in arguments.tokens:
        inputs = {"x": random.standard_normal((tokens, HIDDEN), dtype=np.float32), "logits": random.standard_normal((tokens, experts), dtype=np.float32)}
        wanted, got = theirs.run(inputs), ours.run(inputs)
        error = np.abs(got - wanted).max() / np.abs(wanted).max()
        pairs = [(seconds_of(ours, inputs), seconds_of(theirs, inputs)) for _ in range(arguments.rounds)]
        own, other = zip(*pairs)
        print(f"| {form} | {experts} | {picked} | {tokens} | {ours.seconds:.2f} | {theirs.seconds:.2f} | {spread([1e6 * each for each in own], 0)} "
              f"| {spread([1e6 * each for each in other], 0)} | {statistics.median(b / a for a, b in pairs):.2f} | {error:.0e} |", flush=True)


def main():
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", type=lambda text: text.split(","), default=list(FORMS))
    parser.add_argument("--experts", type=numbers, default=[32, 64, 128])
    parser.add_argument("--picked", type=numbers, default=[2, 8])
    parser.add_argument("--tokens", type=numbers, default=[1, 8, 64, 512])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {arguments.threads} threads, ONNX Runtime {onnxruntime.__version__}; seconds until ready, microseconds of a run\n")
    print("| form | experts | picked | tokens | ready | theirs | run | theirs | times faster | error |\n|---|---|---|---|---|---|---|---|---|---|")
    for form, experts, picked in itertools.product(arguments.forms, arguments.experts, arguments.picked):
        measure(form, experts, picked, arguments, np.random.default_rng(experts * 100 + picked))


if __name__ == "__main__":
    main()
