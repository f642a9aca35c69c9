"""Programs for several CPU levels: one pack for all, the choice at start, and machines that have none of them.

Levels that this machine lacks are compiled and not run.
"""

import json
import os
import platform

from programs import GOLDEN, MOEC, Checks, compile_model, evaluate, run, succeed

MODEL = GOLDEN / "qwen3_moe_bf16"
SOURCE = MODEL / "golden.safetensors"
X86 = ["avx2", "avx512", "avx512bf16", "amx"]


def levels_of(program):
    return json.loads(succeed(program, "inspect", "--json"))["cpu"]


def with_cpu(level):
    return {"env": os.environ | {"MOEC_CPU": level}}


def refused(checks, what, status, words, *command, **options):
    done = run(*command, **options)
    said = done.stderr.decode()
    checks.that(done.returncode == status and all(word in said for word in words),
                f"{what}: status {done.returncode}, wanted {status} and {words}: {said[-500:]}")


def check_choice(checks, folder):
    """All x86 levels read the same packed bytes, and give the same results alone and beside others; the best runs, or what MOEC_CPU names."""
    compile_for = lambda name, levels: compile_model(MODEL, folder / name, "--activations=bf16", f"--cpu={','.join(levels)}")
    program = compile_for("program", reversed(X86))
    alone = {level: compile_for(level, [level]) for level in X86}
    pack = (folder / "program.weights").read_bytes()
    for level in X86:
        checks.that((folder / f"{level}.weights").read_bytes() == pack, f"{level} packs its weights in another way")
    told = levels_of(program)
    names = [level["name"] for level in told["levels"]]
    here = [level["name"] for level in told["levels"] if level["supported"]]
    checks.that(names == X86, f"the least demanding first: {names}")
    checks.that(told["runs"] == (here[-1] if here else None), f"of {here} runs {told['runs']}")
    output = folder / "out.safetensors"
    command = [program, "eval", "--input", SOURCE, "--output", output]
    for level in X86:
        if level not in here:
            refused(checks, f"MOEC_CPU={level}", 5, [level, "lacks"], *command, **with_cpu(level))
            continue
        wanted = evaluate(alone[level], SOURCE, folder / "alone.safetensors").read_bytes()
        succeed(*command, **with_cpu(level))
        checks.that(output.read_bytes() == wanted, f"{level}: other bytes beside other levels")
    if here:
        checks.that(evaluate(program, SOURCE, output).read_bytes() == wanted, f"{here[-1]} is not what runs")
    refused(checks, "MOEC_CPU=pentium", 2, ["pentium", "avx2, avx512, avx512bf16, amx"], *command, **with_cpu("pentium"))


def check_stages(checks, folder):
    """Shared stages are there once, lowered ones for each level; objects hold all of them."""
    command = [MOEC, "compile", MODEL, "--headers-only", "--cpu=avx2,avx512bf16"]
    scheduled = succeed(*command, "--emit=scheduled", "--activations=f32")
    one = succeed(MOEC, "compile", MODEL, "--headers-only", "--cpu=avx2", "--emit=scheduled", "--activations=f32")
    checks.that(scheduled == one, "--emit=scheduled depends on the levels")
    refused(checks, "--emit=lowered", 2, ["one CPU level", "avx2,avx512bf16"], *command, "--emit=lowered")
    for wrong in ("avx2,neon", "avx2,", "avx2,pentium"):
        refused(checks, f"--cpu={wrong}", 2, [], MOEC, "compile", MODEL, f"--cpu={wrong}", "-o", folder / "none")
    code = succeed(*command, "--emit=llvm", f"--dump-stages={folder / 'stages'}").decode()
    for word in ("@moec_program_step.avx2(", "@moec_program_step.avx512bf16(", '"target-cpu"="x86-64-v3"', "avx512bf16.dpbf16ps"):
        checks.that(word in code, f"--emit=llvm: no {word}")
    names = sorted(path.name for path in (folder / "stages").iterdir())
    wanted = ["1-import.mlir", "2-optimized.mlir", "3-scheduled.mlir", "4-lowered-avx2.mlir", "5-lowered-avx512bf16.mlir",
              "6-llvm-avx2.mlir", "7-llvm-avx512bf16.mlir", "8-llvm.ll", "9-optimized.ll"]
    checks.that(names == wanted, f"--dump-stages wrote {names}")
    (folder / "lowered.mlir").write_bytes(succeed(MOEC, "compile", MODEL, "--headers-only", "--cpu=avx2", "--emit=lowered"))
    refused(checks, "a lowered module", 2, ["level avx2", "--cpu=avx2"], MOEC, "compile", folder / "lowered.mlir",
            "--cpu=avx2,avx512", "--emit=obj", "-o", folder / "none.o")


def check_old_cpu(checks, folder):
    """CPUs older than every level, emulated: a program says what they lack, before any instruction that they lack."""
    program = compile_model(MODEL, folder / "program", "--cpu=avx2")
    for cpu, missing in (("Nehalem", "avx, avx2, "), ("SandyBridge", "avx2, ")):
        old = ["qemu-x86_64", "-cpu", cpu, program]
        for command in (["hello"], ["bench"], ["eval", "--input", SOURCE, "--output", folder / "out.safetensors"]):
            refused(checks, f"{cpu}: {command[0]}", 5, ["this CPU lacks what the program was compiled for", missing], *old, *command)
        told = json.loads(succeed(*old, "inspect", "--json"))["cpu"]
        checks.that(told["runs"] is None and not any(level["supported"] for level in told["levels"]), f"{cpu}: inspect tells {told}")
        checks.that(b"lacks it" in succeed(*old, "inspect", "--verify"), f"{cpu}: inspect does not say that it lacks the levels")
        succeed(*old, "--help")


def check_inspect(checks, folder):
    told = json.loads(succeed(MOEC, "inspect", MODEL, "--json", "--cpu=znver4,haswell"))
    found = told["cpu"], told["activations"]
    checks.that(found == (["avx2", "avx512bf16"], "bf16"), f"moec inspect: {found}")


if __name__ == "__main__":
    checks = Checks()
    parts = [check_choice, check_stages, check_inspect]
    if platform.machine() == "x86_64":
        parts.append(check_old_cpu)
    checks.run_parts(*parts)
    checks.finish()
