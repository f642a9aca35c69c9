"""Runs the CUDA target's kernels of golden cases on the emulated GPU, and compares what `eval` gives with their numbers.

    devices.py CASE|shapes|codes|pieces|choices...

The case `shapes` has models larger than the golden ones: with more experts than a warp has lanes and rows than a tile has. The case `codes`
has one whose weights are codes, of every format that a program can hold, all of which tensor cores multiply. The case `pieces` has sequences
that attention reads in several pieces, the case `choices` such that keys are chosen in several runs.

What kernels do that they must not - races, accesses out of bounds, memory read before it is written - makes `eval` fail. With
MOEC_TEST_ALL=1 more forms, more architectures and all the tokens that follow.
"""

import itertools
import os
import re
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
import deepseek
import stored
from comparison import check_form, compare_outputs
from families import LATENT
from golden import NEAR, TURNED, UNFUSED
from programs import ALL, GOLDEN, Checks, compile_model, evaluate, work_folder

# How eval may cut and share the work; its output must be the same to the byte.
WAYS = [["--batch", "--chunk", "3"]] + ([["--chunk", "1"]] if ALL else [])

BOTH = {"mixtral", "deepseek_v2", "deepseek_v32", "gpt_oss"}  # in both precisions; the others' kernels in f32 are of the same kinds
MORE_FORMS = {"deepseek_v3": [("f32", ["--mla=expanded"])]}


def forms(case):
    more = [(activations, UNFUSED) for activations in ("f32", "bf16")] if ALL else []
    if ALL and case not in TURNED:
        more.append(("bf16", ["--weights=map"]))
    few = [(activations, []) for activations in ("f32", "bf16") if ALL or activations == "bf16" or case in BOTH]
    return few + MORE_FORMS.get(case, []) + more


def wanted_of(case, activations, options, ask, folder):
    """In bf16 some choose among experts too near to each other for f32's numbers: there, those of plain loops on a CPU."""
    source = GOLDEN / case / "golden.safetensors"
    if activations == "f32" or case not in NEAR:
        return load_file(source)
    plain = compile_model(GOLDEN / case, folder / "plain", "--activations=bf16", "--reference", *options)
    return load_file(evaluate(plain, source, folder / "plain.safetensors", *ask))


def check_case(checks, case):
    source = GOLDEN / case / "golden.safetensors"
    length = len(load_file(source)["seq0.greedy_ids"]) if ALL else 3  # each takes a step of its own
    ask = ["--routing", "--greedy", str(length)]
    gpus = ["sm_80", "sm_90a"] if ALL else ["sm_80"]
    for activations, options in forms(case):
        what = " ".join([case, activations, *options])
        with work_folder() as folder, checks.about(what):
            program = compile_model(GOLDEN / case, folder / "program", "--target=cuda", f"--gpu={','.join(gpus)}", "--emulate",
                                    f"--activations={activations}", *options)
            wanted = wanted_of(case, activations, options, ask, folder)
            wanted |= {name: ids[:length] for name, ids in wanted.items() if name.endswith(".greedy_ids")}
            for gpu in gpus:
                os.environ["MOEC_GPU"] = gpu
                first = evaluate(program, source, folder / "first.safetensors", "--device=emulated", *ask)
                check_form(checks, f"{what} {gpu}", first)
                compare_outputs(checks, f"{what} {gpu}", load_file(first), wanted, activations, ties=activations == "bf16")
                for way in WAYS:
                    other = evaluate(program, source, folder / "other.safetensors", "--device=emulated", *ask, *way)
                    checks.that(other.read_bytes() == first.read_bytes(), f"{what} {gpu}: {' '.join(way)} gives other bytes")
            del os.environ["MOEC_GPU"]


# Widths of whole copies of 8 elements, but of no whole tile of columns and no whole stage of K.
SHAPES = {"many experts": checkpoints.qwen3_moe(136, 1, 70, 6, 88, 4, 2, 32, 200),
          "many rows": checkpoints.mixtral(72, 1, 3, 2, 136, 4, 2, 140, head_dim=24)}


# Of sequences of at most 8192 tokens, pieces are 128 positions.
PIECES = {"all positions": checkpoints.qwen3_moe(64, 1, 4, 2, 32, 8, 2, 24, 140, max_position_embeddings=8192),
          "a window": checkpoints.mixtral(64, 1, 3, 2, 64, 4, 2, 140, max_position_embeddings=1024, sliding_window=150)}


# Keys are chosen in runs of 256 positions.
CHOICES = deepseek.v32(**LATENT | dict(num_hidden_layers=1, first_k_dense_replace=0, vocab_size=140, max_position_embeddings=2048),
                       q_lora_rank=32, index_topk=20, index_n_heads=8, index_head_dim=20)
CHOICES = {"runs of keys": {key: value for key, value in CHOICES.items() if key != "quantization_config"}}


def check_models(checks, models, forms, lengths, way):
    """Against plain loops on a CPU; cut and shared in another way, the same to the byte."""
    for (name, config), activations in itertools.product(models.items(), forms):
        what = f"{name}, {activations}"
        with work_folder() as folder, checks.about(what):
            checkpoints.write_random(folder / "model", config, "BF16", 3, router=2.0)
            source, random = folder / "in.safetensors", np.random.default_rng(5)
            save_file({f"s{i}.input_ids": random.integers(0, 140, length) for i, length in enumerate(lengths)}, source)
            form, ask = f"--activations={activations}", ["--routing", "--greedy", "2"]
            plain = compile_model(folder / "model", folder / "plain", form, "--reference")
            wanted = load_file(evaluate(plain, source, folder / "plain.safetensors", *ask))
            program = compile_model(folder / "model", folder / "program", "--target=cuda", "--gpu=sm_80", "--emulate", form)
            first = evaluate(program, source, folder / "first.safetensors", "--device=emulated", *ask)
            compare_outputs(checks, what, load_file(first), wanted, activations, ties=True)
            other = evaluate(program, source, folder / "other.safetensors", "--device=emulated", *ask, *way)
            checks.that(other.read_bytes() == first.read_bytes(), f"{what}: {' '.join(way)} gives other bytes")


# What weights are: as a checkpoint stores them, or made codes of when packed. With bf16 activations tensor cores multiply floats that are
# codes as bf16; those of integers become integers themselves, whatever they are of.
CODES = {
    "fp8 in blocks": ("bf16", stored.BLOCKS, None, {"bf16"}),
    "stored mxfp4": ("bf16", stored.MXFP4, None, {"bf16"}),
    "fp8, int4, int8": ("bf16", None, "experts:fp8,attention:int4,head:int8,embedding:int8", {"bf16", "s8"}),
    "mxfp4, int8_channel, int6": ("f32", None, "experts:mxfp4,attention:int8_channel,head:int6", {"s8"}),
    "int4_asymmetric, int5": ("f32", None, "experts:int4_asymmetric,attention:int5,head:int4_asymmetric", {"s8"}),
    "int8_channel, int6, int5": ("bf16", None, "experts:int8_channel,attention:int6,head:int5", {"s8"}),
}
PRODUCTS = {"linear", "head_linear", "grouped_matmul", "grouped_glu"}


def check_codes(checks):
    """Against plain loops on a CPU, of the same codes."""
    # Widths of no whole tile, band of codes, stage or group; of whole groups of 32 where a checkpoint has such.
    config, whole = (checkpoints.mixtral(hidden, 1, 5, 2, inter, 4, 2, 140, head_dim=24) for hidden, inter in ((136, 296), (160, 352)))
    for name, (activations, method, formats, kinds) in CODES.items():
        with work_folder() as folder, checks.about(name):
            if method:
                model, _ = stored.write_twins(folder, whole if method is stored.MXFP4 else config, method)
            else:
                model = folder / "model"
                checkpoints.write_random(model, config, "BF16", 3, router=2.0)
            source, random = folder / "in.safetensors", np.random.default_rng(5)
            save_file({f"s{i}.input_ids": random.integers(0, 140, length) for i, length in enumerate((1, 9, 90))}, source)
            form, ask = [f"--activations={activations}", *([f"--quantize={formats}"] if formats else [])], ["--routing", "--greedy", "2"]
            plain = compile_model(model, folder / "plain", "--reference", *form)
            wanted = load_file(evaluate(plain, source, folder / "plain.safetensors", *ask))
            program = compile_model(model, folder / "program", "--target=cuda", "--gpu=sm_80", "--emulate", f"--dump-stages={folder / 'stages'}", *form)
            check_multiplied(checks, name, folder / "stages", kinds)
            first = evaluate(program, source, folder / "first.safetensors", "--device=emulated", *ask)
            # The last bit of an activation may decide its integer.
            compare_outputs(checks, name, load_file(first), wanted, "bf16", ties=True)
            other = evaluate(program, source, folder / "other.safetensors", "--device=emulated", *ask, "--chunk", "40", "--batch")
            checks.that(other.read_bytes() == first.read_bytes(), f"{name}: chunks in a batch give other bytes")


def check_multiplied(checks, name, stages, kinds):
    """Tensor cores make all products but routers', of elements of these types."""
    text = next(stages.glob("*-lowered.mlir")).read_text()
    kernels = re.split(r"llvm\.func @phase_\d+_(\w+)", text)[1:]
    products = [(kind, body) for kind, body in zip(kernels[::2], kernels[1::2]) if kind in PRODUCTS]
    without = [kind for kind, body in products if " nvvm.mma.sync " not in body]
    checks.that(not without, f"{name}: no tensor cores in {without}")
    found = {element for _, body in products for element in re.findall(r"multiplicandAPtxType = #nvvm\.mma_type<(\w+)>", body)}
    checks.that(found == kinds, f"{name}: tensor cores multiply {found}, wanted {kinds}")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:]:
        if case == "shapes":
            check_models(checks, SHAPES, ("f32", "bf16") if ALL else ("bf16",), (1, 9, 100), ["--chunk", "40", "--batch"])
        elif case == "codes":
            check_codes(checks)
        elif case == "pieces":
            # Of few rows in a step each piece is a block's.
            check_models(checks, PIECES, ("bf16",), (5, 300), ["--chunk", "8", "--batch"])
        elif case == "choices":
            check_models(checks, CHOICES, ("f32",), (5, 290), ["--chunk", "150", "--batch"])
        else:
            check_case(checks, case)
    checks.finish()
