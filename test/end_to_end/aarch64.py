"""AArch64 programs, made here and run by qemu-aarch64, against the golden numbers of every family.

They are linked from the runtime that `test/build.sh aarch64` makes; without it, or without the emulator, this is skipped.
With MOEC_TEST_ALL=1, every golden case.
"""

import shutil
import sys

from safetensors.numpy import load_file

from comparison import check_form, compare_outputs
from programs import ALL, GOLDEN, MOEC, Checks, compile_model, evaluate, run, succeed

LEVELS = ["neon", "neonbf16"]
# (case, activations, further options of compile)
FORMS = [("mixtral", "f32", []), ("mixtral_bf16", "bf16", []), ("qwen3_moe", "bf16", []),
         ("qwen2_moe", "f32", []), ("olmoe", "bf16", ["--weights=map"]), ("deepseek_v2", "f32", []), ("deepseek_v3", "f32", []),
         ("deepseek_v32", "f32", []), ("kimi_k2", "f32", []), ("llama4", "f32", []), ("gpt_oss", "f32", [])]
MORE_CASES = ["mixtral_sharded", "qwen3_moe_bf16"]
WAYS = [["--chunk", "1"], ["--chunk", "7", "--threads", "3"], ["--batch", "--threads", "2"]]
# Of these only a level and a way, for the kernels that the others do not have: latent attention, an indexer, chunks, sinks.
BRIEF = {"deepseek_v2": "neonbf16", "deepseek_v3": "neon", "deepseek_v32": "neon", "kimi_k2": "neonbf16", "llama4": "neon", "gpt_oss": "neon"}


def forms():
    if not ALL:
        return FORMS
    cases = [case for case, _, _ in FORMS] + MORE_CASES
    return [(case, activations, [f"--weights={weights}"]) for case in cases for activations in ("f32", "bf16")
            for weights in ("pack", "map") if (activations, weights) == ("f32", "pack") or case not in BRIEF]


def emulated(program, cpu="max", level=""):
    """A script that runs `program` on an emulated `cpu`, with the code of `level`."""
    script = program.with_name(f"{program.name}-on-{cpu}-{level}")
    script.write_text(f'#!/bin/sh\nMOEC_CPU={level} exec qemu-aarch64 -cpu {cpu} {program} "$@"\n')
    script.chmod(0o755)
    return script


def check_golden(checks, folder):
    for case, activations, options in forms():
        what = " ".join([case, activations, *options])
        source = GOLDEN / case / "golden.safetensors"
        golden = load_file(source)
        ask = ["--routing", "--greedy", str(len(golden["seq0.greedy_ids"]))]
        is_brief = case in BRIEF and not ALL
        levels = [BRIEF[case]] if is_brief else LEVELS
        with checks.about(what):
            program = compile_model(GOLDEN / case, folder / "program", f"--cpu={','.join(levels)}",
                                    f"--activations={activations}", *options)
            outputs = {}
            for level in levels:
                first = evaluate(emulated(program, level=level), source, folder / f"{level}.safetensors", *ask)
                check_form(checks, f"{what} {level}", first)
                compare_outputs(checks, f"{what} {level}", load_file(first), golden, activations, ties=True)
                outputs[level] = first.read_bytes()
                for way in WAYS[1:2] if is_brief else WAYS:
                    other = evaluate(emulated(program, level=level), source, folder / "other.safetensors", *ask, *way)
                    checks.that(other.read_bytes() == outputs[level], f"{what} {level}: {' '.join(way)} gives other bytes")


def check_commands(checks, folder):
    """What a program can do beside numbers."""
    program = compile_model(GOLDEN / "qwen3_moe", folder / "program", "--cpu=neon", "--activations=f32")
    said = succeed(emulated(program), "generate", "--temperature", "0", "--max-tokens", "12", "hello")
    checks.that(said.strip(), "generate says nothing")
    told = succeed(emulated(program), "inspect", "--verify")
    checks.that(b"neon (asimd); this CPU has it, and it runs" in told, f"inspect: {told.decode()}")
    library = compile_model(GOLDEN / "qwen3_moe", folder / "libmodel.so", "--cpu=neon", "--emit=shared")
    checks.that("AArch64" in succeed("readelf", "-hW", library).decode(), "--emit=shared: no library for AArch64")
    done = run(MOEC, "compile", GOLDEN / "qwen3_moe", "-o", folder / "embedded", "--cpu=neon", "--weights=embed")
    checks.that(done.returncode == 4 and b"--weights=pack" in done.stderr, f"--weights=embed: status {done.returncode}: {done.stderr.decode()}")


def check_missing_runtime(checks, folder):
    """A moec whose AArch64 runtime was not built says how to get it, and still makes objects."""
    (folder / "bin").mkdir()
    shutil.copy(MOEC, folder / "bin/moec")
    command = [folder / "bin/moec", "compile", GOLDEN / "mixtral", "--cpu=neon"]
    done = run(*command, "-o", folder / "program")
    checks.that(done.returncode == 2 and b"test/build.sh aarch64" in done.stderr,
                f"no runtime: status {done.returncode}: {done.stderr.decode()}")
    checks.that(not (folder / "program").exists() and not (folder / "program.weights").exists(), "no runtime: files are left")
    succeed(*command, "--emit=obj", "-o", folder / "code.o")


if __name__ == "__main__":
    if not shutil.which("qemu-aarch64") or not (MOEC.parent.parent / "lib/moec/aarch64/libMoecCore.a").exists():
        print("skipped: no qemu-aarch64, or no runtime for AArch64 beside moec")
        sys.exit(77)
    checks = Checks()
    checks.run_parts(check_golden, check_commands, check_missing_runtime)
    checks.finish()
