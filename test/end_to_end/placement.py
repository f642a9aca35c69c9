"""Models of which a GPU has a part and CPUs the routed experts of some layers, or of all: the GPU emulated, the CPUs this machine's.

    placement.py CASE|options...

With MOEC_TEST_ALL=1 with activations of f32 too, and cut and shared in more ways.
"""

import itertools
import json
import os
import sys

from safetensors.numpy import load_file

from comparison import check_form, compare_outputs
from devices import wanted_of
from programs import ALL, GOLDEN, MOEC, Checks, evaluate, run, succeed, work_folder

GPU = ["--target=cuda", "--gpu=sm_80", "--emulate"]
LENGTH = 3  # greedy tokens; each takes a step of its own
WAYS = [["--batch", "--chunk", "3", "--threads", "1"]] + ([["--chunk", "1", "--threads", "3"]] if ALL else [])
USAGE, UNSUPPORTED, MEMORY = 2, 4, 6


def make(directory, program, memory, *options):
    """The program for so many bytes of a GPU: its path, what it says of that, and what the compiler said."""
    done = run(MOEC, "compile", directory, "-o", program, *GPU, f"--device-memory={memory}", *options)
    assert done.returncode == 0, done.stderr.decode()
    return program, json.loads(succeed(program, "inspect", "--json"))["placement"], done.stderr.decode()


def needs(placement):
    return sum(placement["device"].values())


def placements(checks, case, folder, *options):
    """Programs with experts of no layer, one, and all on the CPUs, what they say of it, and their names."""
    moe_layers = None
    program, all_on_gpu, said = make(GOLDEN / case, folder / "none", "1G", *options)
    checks.that(all_on_gpu["host"] == {"layers": [], "weights": 0}, f"{case}: with room for all, {all_on_gpu['host']} is left")
    checks.that("nothing is left to the CPUs" in said, f"{case}: said {said!r}")
    moe_layers = [layer["layer"] for layer in json.loads(succeed(program, "inspect", "--json"))["moe_layers"]]
    yield "none", program, all_on_gpu

    total = needs(all_on_gpu)
    program, some, said = make(GOLDEN / case, folder / "some", total - 1, *options)
    # Of the smallest models what crosses takes more than a layer's experts: then another has to go as well.
    left = some["host"]["layers"]
    checks.that(0 < len(left) < len(moe_layers) and left == moe_layers[-len(left):], f"{case}: a byte short, {some['host']} is left")
    checks.that(needs(some) < total, f"{case}: {needs(some)} bytes of {total - 1}")
    checks.that(abs(some["device"]["weights"] + some["host"]["weights"] - all_on_gpu["device"]["weights"])
                < all_on_gpu["device"]["weights"] / 2, f"{case}: weights {some}")  # panels are wider than rows
    named = f"layer {left[0]}," if len(left) == 1 else f"layers {left[0]},"
    checks.that(f"the routed experts of {named}" in said, f"{case}: said {said!r}")
    yield "some", program, some

    layer = (all_on_gpu["device"]["weights"] - some["device"]["weights"]) // len(left)
    rest = total - len(moe_layers) * layer
    program, every, said = make(GOLDEN / case, folder / "every", rest + layer // 2, *options)
    checks.that(every["host"]["layers"] == moe_layers, f"{case}: {every['host']} is left")
    yield "every", program, every


def check_case(checks, case):
    source = GOLDEN / case / "golden.safetensors"
    ask = ["--routing", "--greedy", str(LENGTH), "--device=emulated"]
    for activations in ("f32", "bf16") if ALL else ("bf16",):
        with work_folder() as folder, checks.about(f"{case} {activations}"):
            wanted = wanted_of(case, activations, [], ask[:3], folder)
            wanted |= {name: ids[:LENGTH] for name, ids in wanted.items() if name.endswith(".greedy_ids")}
            for name, program, _ in placements(checks, case, folder, f"--activations={activations}"):
                if name == "none":
                    continue  # what devices.py looks at
                what = f"{case} {activations} {name}"
                first = evaluate(program, source, folder / "first.safetensors", *ask)
                check_form(checks, what, first)
                compare_outputs(checks, what, load_file(first), wanted, activations, ties=activations == "bf16")
                for way in WAYS:
                    other = evaluate(program, source, folder / "other.safetensors", *ask, *way)
                    checks.that(other.read_bytes() == first.read_bytes(), f"{what}: {' '.join(way)} gives other bytes")


def check_weights(checks, folder):
    """Wherever the weights live: packed and embedded give the same bits."""
    case = "mixtral_bf16"
    source = GOLDEN / case / "golden.safetensors"
    outputs = {}
    for mode in ("pack", "embed", "map"):
        place = folder / mode
        place.mkdir()
        _, (_, program, _) = itertools.islice(placements(checks, case, place, f"--weights={mode}"), 2)  # some layers'
        outputs[mode] = evaluate(program, source, place / "out.safetensors", "--device=emulated")
    checks.that(outputs["pack"].read_bytes() == outputs["embed"].read_bytes(), "embedded weights give other bytes")
    compare_outputs(checks, "mapped", load_file(outputs["map"]), load_file(outputs["pack"]), "bf16")


def check_levels(checks, folder):
    """Several CPU levels, and kernels for several architectures: each runs, and a level that there is not is refused."""
    case = "mixtral_bf16"
    source = GOLDEN / case / "golden.safetensors"
    wanted = load_file(source)
    wanted = {name: wanted[name] for name in wanted if name.endswith(".logits")}
    _, (_, program, _) = itertools.islice(
        placements(checks, case, folder, "--gpu=sm_80,sm_90a", "--cpu=avx2,avx512bf16,amx", "--activations=f32"), 2)  # some layers'
    facts = json.loads(succeed(program, "inspect", "--json"))
    checks.that([level["name"] for level in facts["cpu"]["levels"]] == ["avx2", "avx512bf16", "amx"], f"levels {facts['cpu']}")
    checks.that({code["architecture"] for code in facts["gpu"]} == {"sm_80", "sm_90a"}, f"kernels {facts['gpu']}")
    missing = [level["name"] for level in facts["cpu"]["levels"] if not level["supported"]]
    for gpu in ("sm_80", "sm_90a"):
        for level in facts["cpu"]["levels"]:
            environment = os.environ | {"MOEC_GPU": gpu, "MOEC_CPU": level["name"]}
            done = run(program, "eval", "--input", source, "--output", folder / "out.safetensors", "--device=emulated",
                       env=environment)
            if level["name"] in missing:
                checks.that(done.returncode == 5 and b"this CPU lacks" in done.stderr, f"{level['name']}: {done}")
                continue
            checks.that(done.returncode == 0, f"{gpu}, {level['name']}: {done.stderr.decode()}")
            compare_outputs(checks, f"{gpu}, {level['name']}", load_file(folder / "out.safetensors"), wanted, "f32")


def check_stages(checks, folder):
    """A module of any stage goes on to the same object."""
    case = GOLDEN / "mixtral_bf16"
    total = needs(make(case, folder / "program", "1G")[1])
    target = ["--target=cuda", "--gpu=sm_80", "--cpu=avx2", "-q"]
    objects = []
    for stage in (None, "scheduled", "lowered"):
        start = [case, f"--device-memory={total - 1}"]
        if stage:
            succeed(MOEC, "compile", *start, *target, f"--emit={stage}", "-o", folder / f"{stage}.mlir")
            start = [folder / f"{stage}.mlir"]
        succeed(MOEC, "compile", *start, *target, "--emit=obj", "-o", folder / "code.o")
        objects.append((folder / "code.o").read_bytes())
    checks.that(objects[0] == objects[1] == objects[2], "the object depends on where a module was left")
    done = run(MOEC, "compile", folder / "lowered.mlir", "--target=cuda", "--gpu=sm_80", "--cpu=avx512bf16", "--emit=obj", "-o", folder / "x.o")
    checks.that(done.returncode == USAGE and b"was made for the CPU level avx2" in done.stderr, f"another level: {done}")


def check_refusals(checks, folder):
    case = GOLDEN / "mixtral_bf16"

    def refused(status, words, *options):
        done = run(MOEC, "compile", case, "-o", folder / "out", *options)
        said = done.stderr.decode()
        checks.that(done.returncode == status and words in said, f"{' '.join(options)}: status {done.returncode}, said {said!r}")

    cuda = ["--target=cuda", "--gpu=sm_80"]
    refused(MEMORY, "--device-memory: of 1.0 kB, even with all routed experts left to the CPUs the GPU needs ", *cuda, "--device-memory=1k")
    refused(MEMORY, "--device-memory: of 1.5 kB, even", *cuda, "--device-memory=1.5kB")
    refused(USAGE, "--device-memory: 'lots' is no size from 1 byte to 2^50; wanted one such as 24G", *cuda, "--device-memory=lots")
    refused(USAGE, "--device-memory: '0x100' is no size", *cuda, "--device-memory=0x100")
    refused(USAGE, "--device-memory: ", *cuda, "--device-memory=24X")
    refused(USAGE, "--device-memory: ", *cuda, "--device-memory=0")
    refused(USAGE, "--device-memory: ", *cuda, "--device-memory=-1G")
    refused(USAGE, "--device-memory: ", *cuda, "--device-memory=20000000T")
    refused(USAGE, "--device-memory is for --target=cuda", "--device-memory=24G")
    refused(USAGE, "--device-memory is about the schedule stage", *cuda, "--device-memory=24G", "--emit=optimized")
    refused(USAGE, "--cpu: all is computed by the GPU", *cuda, "--cpu=avx2")
    refused(UNSUPPORTED, "they are not fused into moe.expert_ffn", *cuda, "--device-memory=300k", "--without-pass=moe-fuse-experts")
    program, _, _ = make(case, folder / "program", "1GiB")
    done = run(program, "eval", "--input", case / "golden.safetensors", "--output", folder / "x", "--device=emulated", "--threads", "2")
    checks.that(done.returncode == USAGE and b"all of it for the GPU" in done.stderr, f"threads of a program that has none: {done}")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:]:
        if case == "options":
            checks.run_parts(check_weights, check_levels, check_stages, check_refusals)
        else:
            check_case(checks, case)
    checks.finish()
