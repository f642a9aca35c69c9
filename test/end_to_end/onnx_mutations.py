"""Layers of experts in ONNX with one thing changed: raised or not, a graph gives what its own ops give.

    onnx_mutations.py [CASE...]

An edge goes to another value, a number is another one, a weight takes another's place, or an operator another's. What is raised is compared with the same graph
compiled without moe-raise-experts. Some of what is changed is still a layer of experts.
"""

import random
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from programs import ALL, GOLDEN, MOEC, Checks, run, work_folder

TOLERANCE = 1e-4  # of the largest value
CASES = ["gathered_torchscript", "dense_torchscript", "batched_dynamo", "loop_dynamo", "mixtral_block"]
CHANGES = 40 if ALL else 8  # of each kind and case


def shapes_of(model):
    """Types and shapes of values, as far as ONNX infers them."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input]
    found = {v.name: (v.type.tensor_type.elem_type, tuple(d.dim_value or d.dim_param or "?" for d in v.type.tensor_type.shape.dim)) for v in values}
    found |= {i.name: (i.data_type, tuple(i.dims)) for i in model.graph.initializer}
    return found


def edges(model):
    """Inputs that may be other values of the same type and shape, made before."""
    shapes, seen = shapes_of(model), [v.name for v in [*model.graph.input, *model.graph.initializer]]
    for place, node in enumerate(model.graph.node):
        for slot, name in enumerate(node.input):
            for other in seen:
                if other != name and name in shapes and shapes.get(other) == shapes[name]:
                    yield "edge", lambda graph, place=place, slot=slot, other=other: graph.node[place].input.__setitem__(slot, other), f"{node.name}: input {slot} is {other}"
        seen += node.output


def altered(tensor, by):
    """Another number in place of the last one."""
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[-1] = not array.reshape(-1)[-1] if array.dtype == bool else array.reshape(-1)[-1] + by
    changed = numpy_helper.from_array(array, tensor.name)
    tensor.CopyFrom(changed)


def numbers(model):
    """Constants of few elements, and attributes that are whole numbers."""
    for place, node in enumerate(model.graph.node):
        for which, attribute in enumerate(node.attribute):
            where = f"{node.name}: {attribute.name}"
            if attribute.type == onnx.AttributeProto.TENSOR and 0 < np.prod(attribute.t.dims) <= 8:
                for by in (1, -1):
                    yield "number", lambda graph, place=place, which=which, by=by: altered(graph.node[place].attribute[which].t, by), f"{where} {by:+}"
            if attribute.type == onnx.AttributeProto.INT and attribute.name != "to":
                yield "number", lambda graph, place=place, which=which: setattr(graph.node[place].attribute[which], "i", 1 - graph.node[place].attribute[which].i), where
    for place, tensor in enumerate(model.graph.initializer):
        if 0 < np.prod(tensor.dims) <= 8:
            for by in (1, -1):
                yield "number", lambda graph, place=place, by=by: altered(graph.initializer[place], by), f"{tensor.name} {by:+}"


def weights(model):
    """Weights in place of others of the same shape, and with their dimensions exchanged where those are equal."""
    tensors = [t for t in model.graph.initializer if len(t.dims) > 1]
    for one in tensors:
        for other in tensors:
            if one.name != other.name and one.dims == other.dims:
                def change(graph, one=one.name, other=other.name):
                    for node in graph.node:
                        for slot, name in enumerate(node.input):
                            if name == one:
                                node.input[slot] = other
                yield "weight", change, f"{other.name} for {one.name}"


def operators(model):
    """An operator in place of another that takes as much."""
    for kinds in (("Add", "Sub", "Mul", "Div"), ("Sigmoid", "Tanh", "Relu"), ("ReduceSum", "ReduceMax", "ReduceMean"), ("Less", "Equal")):
        for place, node in enumerate(model.graph.node):
            for kind in kinds:
                if node.op_type in kinds and kind != node.op_type:
                    yield "operator", lambda graph, place=place, kind=kind: setattr(graph.node[place], "op_type", kind), f"{node.name}: {kind}"


def is_raised(model):
    """Whether there is a layer of experts; what is kept is compiled as it would be without the pass."""
    optimized = run(MOEC, "compile", model, "-q", "--emit=optimized")
    return b" moe." in optimized.stdout


def outcome(folder, *options):
    """How it ended, and what it gave."""
    built = run(MOEC, "compile", folder / "model.onnx", "-q", "-o", folder / "graph", *options)
    if built.returncode != 0:
        return built.returncode, {}
    done = run(folder / "graph", "graph", "--input", folder / "in.safetensors", "--output", folder / "out.safetensors")
    return done.returncode, load_file(folder / "out.safetensors") if done.returncode == 0 else {}


def agree(a, b):
    if a.shape != b.shape or not np.isfinite(b).all():
        return a.shape == b.shape  # what a mask multiplies by zero is not there when it is raised
    return np.abs(a - b).max(initial=0) <= TOLERANCE * max(np.abs(b).max(initial=0), 1e-30)


def check_case(checks, case):
    model = onnx.load(GOLDEN / "onnx" / case / "model.onnx")
    generator = random.Random(case)
    changes = []
    for kind in (edges, numbers, weights, operators):
        found = list(kind(model))
        changes += generator.sample(found, min(CHANGES, len(found)))
    raised = 0
    with work_folder() as folder:
        rows = np.random.default_rng(3).normal(0, 1, (7, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value or 20)).astype(np.float32)
        if model.graph.input[0].type.tensor_type.shape.dim[0].dim_value:
            rows = np.resize(rows, (model.graph.input[0].type.tensor_type.shape.dim[0].dim_value, rows.shape[1]))
        save_file({model.graph.input[0].name: rows}, folder / "in.safetensors")
        for _, change, words in changes:
            changed = onnx.ModelProto()
            changed.CopyFrom(model)
            change(changed.graph)
            (folder / "model.onnx").write_bytes(changed.SerializeToString())
            if not is_raised(folder / "model.onnx"):
                continue
            raised += 1
            status, plain = outcome(folder, "--without-pass=moe-raise-experts")
            got, made = outcome(folder)
            checks.that(got == status, f"{case}, {words}: status {got}, wanted {status}")
            for name in made.keys() & plain.keys():
                checks.that(agree(made[name], plain[name]), f"{case}, {words}: {name} is another one when it is raised")
    print(f"{case}: {len(changes)} changes, {raised} raised")
    checks.that(0 < raised < len(changes), f"{case}: {raised} of {len(changes)} raised")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:] or CASES:
        check_case(checks, case)
    checks.finish()
