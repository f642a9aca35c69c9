"""Compiles what run.sh runs: golden cases with their numbers, and a model whose speed is measured.

    make_programs.py FOLDER [--only CASE]... [--gpu LIST] [--layers N]
"""

import argparse
import json
import pathlib
import shutil
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
import checkpoints  # noqa: E402
from golden import NEAR  # noqa: E402
from programs import GOLDEN, MOEC, Failed, compile_model, evaluate, succeed, work_folder  # noqa: E402

CASES = ["mixtral", "mixtral_bf16", "mixtral_sharded", "qwen3_moe", "qwen3_moe_bf16", "qwen2_moe", "olmoe", "deepseek_v2", "deepseek_v3",
         "deepseek_v3_fp8", "deepseek_v32", "kimi_k2", "llama4", "gpt_oss", "gpt_oss_mxfp4"]
GPUS = "sm_80,sm_90a,sm_100a,sm_120a"
HOUR = 3600

# Qwen3-30B-A3B, and as much of its vocabulary as is the share of the layers, so that the head has its part of a step.
HIDDEN, LAYERS, EXPERTS, PICKED, WIDE, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY = 2048, 48, 128, 8, 768, 32, 4, 128, 151936
NARROW = 64  # width of the experts of a model that is the same otherwise
TABLE = 1 << 20  # random numbers that all weights are windows of, so few that what is carried can be compressed a hundredfold


def make_case(folder, case, gpus):
    source = GOLDEN / case / "golden.safetensors"
    for activations in ("f32", "bf16"):
        place = folder / "cases" / f"{case}-{activations}"
        place.mkdir(parents=True)
        compile_model(GOLDEN / case, place / "program", "--target=cuda", f"--gpu={gpus}", "--emulate", f"--activations={activations}")
        shutil.copy(source, place / "input.safetensors")
        wanted = place / "wanted.safetensors"
        if activations == "f32" or case not in NEAR:
            shutil.copy(source, wanted)
            continue
        # It chooses among experts too near to each other for the numbers of f32: there, those of plain loops on a CPU.
        length = checkpoint_header(source)["seq0.greedy_ids"]["shape"][0]
        with work_folder() as scratch:
            plain = compile_model(GOLDEN / case, scratch / "plain", "--activations=bf16", "--reference")
            evaluate(plain, source, wanted, "--routing", "--greedy", length)


def checkpoint_header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


def make_model(folder, gpus, layers):
    """Two programs, with seeded random weights packed beside them."""
    for name, width in (("narrow", NARROW), ("wide", WIDE)):
        place, checkpoint = folder / "speed" / name, folder / "checkpoint"
        place.mkdir(parents=True)
        config = checkpoints.qwen3_moe(HIDDEN, layers, EXPERTS, PICKED, width, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY * layers // LAYERS)
        tensors = checkpoints.stored_tensors(config, checkpoints.Draw("BF16", entries=TABLE))
        try:
            checkpoints.write_mixed(checkpoint, config, checkpoints.split(tensors, 1 << 30))
            succeed(MOEC, "compile", checkpoint, "-o", place / "program", "--target=cuda", f"--gpu={gpus}", "--activations=bf16",
                    timeout=HOUR)
        finally:
            shutil.rmtree(checkpoint)
    told = json.loads(succeed(place / "program", "inspect", "--json"))
    (folder / "speed/shape.json").write_text(json.dumps({
        "layers": layers, "hidden": HIDDEN, "experts": EXPERTS, "picked": PICKED, "wide": WIDE, "narrow": NARROW,
        "step_tokens": told["step_tokens"]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", action="append", choices=CASES)
    parser.add_argument("--gpu", default=GPUS)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    try:
        for case in options.only or CASES:
            print(f"prepare: {case}", flush=True)
            make_case(options.folder, case, options.gpu)
        if not options.only:
            print("prepare: the model whose speed is measured", flush=True)
            make_model(options.folder, options.gpu, options.layers)
    except Failed as failure:
        sys.exit(f"prepare: error: {failure}")


if __name__ == "__main__":
    main()
