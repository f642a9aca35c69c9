"""The dictionary model: its golden numbers, and the answer the example prints."""

import json
import re

import numpy as np
from safetensors.numpy import load_file

from comparison import compare_logits, compare_routing
from programs import TEST, Checks, compile_model, evaluate, succeed, work_folder

MODEL = TEST.parent / "examples/dictionary/model"
# A lead of router logits below which rounding may choose another expert.
CLEAR_GAP = {"f32": 1e-5, "bf16": 2e-2}


def check_numbers(checks, program, folder, activations):
    golden = load_file(MODEL / "golden.safetensors")
    prompts = json.loads((MODEL / "golden.json").read_text())["prompts"]
    length = max(len(ids) for name, ids in golden.items() if name.endswith("greedy_ids"))
    got = load_file(evaluate(program, MODEL / "golden.safetensors", folder / "out.safetensors", "--routing", "--greedy",
                             str(length)))
    for number, prompt in enumerate(prompts):
        what = f"{activations}: prompt {number}"
        clear = prompt["smallest_router_gap"] > CLEAR_GAP[activations]
        if clear or activations == "f32":
            compare_logits(checks, what, got[f"p{number}.logits"], golden[f"p{number}.logits"], activations)
        if clear:
            for layer in range(6):
                name = f"p{number}.router.{layer}"
                compare_routing(checks, f"{what}: layer {layer}", got[name + ".experts"], got[name + ".weights"],
                                golden[name + ".experts"], None, activations)
        # Generation through the cache; the golden ids end with the end-of-text token, eval's go on.
        want = golden[f"p{number}.greedy_ids"]
        checks.that(np.array_equal(got[f"p{number}.greedy_ids"][:len(want)], want), f"{what}: greedy ids differ")


def check_text(checks, program):
    want = "a fissure in the earth's crust (or in the surface of some other planet) through which molten lava and gases erupt"
    greedy = ["--temperature", "0"]
    for words in ([*greedy, "volcano"], ["generate", *greedy, "volcano"], [*greedy, "--", "volcano"],
                  ["generate", "--raw", *greedy, "define volcano"]):
        said = succeed(program, *words).decode()
        checks.that(want in re.sub(r"\s+", " ", said), f"{' '.join(words)}: answered {said!r}")
        checks.that("<|" not in said, f"{' '.join(words)}: a control token reached the output: {said!r}")


if __name__ == "__main__":
    checks = Checks()
    for activations in ("f32", "bf16"):
        with work_folder() as folder, checks.about(activations):
            program = compile_model(MODEL, folder / "dictionary", f"--activations={activations}")
            check_numbers(checks, program, folder, activations)
            if activations == "bf16":
                check_text(checks, program)
    checks.finish()
