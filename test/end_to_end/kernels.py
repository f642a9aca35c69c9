"""Kernels for GPUs, without one: of every golden family PTX is made, which ptxas takes where it is there; programs, and what is refused.

    kernels.py [CASE...]
"""

import json
import os
import re
import shutil
import sys

import checkpoints
from programs import ALL, GOLDEN, MOEC, Checks, compile_model, run, succeed, work_folder

USAGE, MISMATCH = 2, 5
CASES = ["mixtral_bf16", "qwen2_moe", "qwen3_moe_bf16", "olmoe", "deepseek_v2", "deepseek_v3_fp8", "deepseek_v32", "llama4", "gpt_oss_mxfp4"]
MORE_CASES = ["mixtral", "deepseek_v3", "kimi_k2", "gpt_oss"]  # with MOEC_TEST_ALL=1
GPUS = ["sm_80", "sm_90a"]
SPILT = 16  # bytes: ptxas spills a word or two where that lets twice the warps be at work
PTXAS = shutil.which("ptxas") or shutil.which("ptxas", path="/usr/local/cuda/bin")


def kernels_of(ptx):
    return re.findall(r"^\.visible \.entry (\w+)\(", ptx, re.MULTILINE)


def check_case(checks, case):
    """PTX for each architecture, with a kernel per phase; where it can be assembled, next to nothing is spilt."""
    with work_folder() as folder, checks.about(case):
        form = "cubin" if PTXAS else "ptx"
        done = run(MOEC, "compile", GOLDEN / case, "--target=cuda", f"--gpu={','.join(GPUS)}", f"--emit={form}", "--report",
                   f"--dump-stages={folder / 'stages'}", "-o", folder / "kernels")
        said = done.stderr.decode()
        if not checks.that(done.returncode == 0, f"{case}: status {done.returncode}: {said[-800:]}"):
            return
        for gpu in GPUS:
            made = (folder / f"kernels.{gpu}.{form}").read_bytes()
            text = next((folder / "stages").glob(f"*-llvm-{gpu}.mlir")).read_text()
            wanted = re.findall(r"llvm\.func @(phase_\w+)\(", text)
            if not PTXAS:
                checks.that(kernels_of(made.decode()) == wanted, f"{case}: {gpu} has {kernels_of(made.decode())}, wanted {wanted}")
                continue
            checks.that(made[:4] == b"\x7fELF", f"{case}: no cubin for {gpu}")
            told = dict(re.findall(rf"^kernel (\w+) on {gpu}: .* (\d+) bytes spilt", said, re.MULTILINE))
            checks.that(sorted(told) == sorted(wanted), f"{case}: {gpu} has {sorted(told)}, wanted {sorted(wanted)}")
            spilt = {name: count for name, count in told.items() if int(count) > SPILT}
            checks.that(not spilt, f"{case}: {gpu} spills bytes in {spilt}")


def check_lengths(checks, folder):
    """Kernels are as many, and their text as long, however many layers and experts there are."""
    lengths = []
    for layers, experts in ((3, 8), (6, 32)):
        directory = folder / f"model{layers}"
        checkpoints.write_headers(directory, checkpoints.qwen3_moe(64, layers, experts, 2, 96, 4, 2, 32, 130))
        ptx = succeed(MOEC, "compile", directory, "-q", "--headers-only", "--target=cuda", "--gpu=sm_80", "--emit=ptx").decode()
        lengths.append((len(kernels_of(ptx)), ptx.count("\n")))
    few, many = lengths
    checks.that(few[0] == many[0] and abs(many[1] - few[1]) < few[1] / 50, f"kernels and lines grow from {few} to {many}")


def check_same(checks, folder):
    """The same input gives the same bytes, whatever else is made beside."""
    command = [MOEC, "compile", GOLDEN / "mixtral_bf16", "-q", "--target=cuda", "--emit=ptx"]
    succeed(*command, "--gpu=sm_90a,sm_80", "-o", folder / "both")
    alone = succeed(*command, "--gpu=sm_80")
    checks.that((folder / "both.sm_80.ptx").read_bytes() == alone, "another architecture beside it changes sm_80's PTX")


def check_refusals(checks, folder):
    def refused(status, words, *options, **more):
        done = run(MOEC, "compile", GOLDEN / "mixtral", *options, **more)
        said = done.stderr.decode()
        checks.that(done.returncode == status and words in said, f"{options}: status {done.returncode}, wanted {status} and {words!r}: {said[-400:]}")

    cuda, output = "--target=cuda", ["-o", folder / "out"]
    refused(USAGE, "unknown GPU architecture 'sm_75'; wanted one of sm_80,", cuda, "--gpu=sm_80,sm_75", "--emit=ptx", *output)
    refused(USAGE, "--gpu is for --target=cuda", "--gpu=sm_80", "--emit=scheduled")
    refused(USAGE, "--target=cuda: no --gpu", cuda, "--emit=scheduled")
    refused(USAGE, "--emit=ptx is for --target=cuda", "--emit=ptx", *output)
    refused(USAGE, "--cpu: all is computed by the GPU", cuda, "--gpu=sm_80", "--cpu=avx2", "--emit=ptx")
    refused(USAGE, "there is a text for each of sm_80,sm_90a", cuda, "--gpu=sm_80,sm_90a", "--emit=ptx")
    refused(USAGE, "is for one GPU architecture", cuda, "--gpu=sm_80,sm_90a", "--emit=lowered")
    refused(USAGE, "--emulate is for --target=cuda", "--emulate", *output)
    refused(USAGE, "--emulate is for programs", cuda, "--gpu=sm_80", "--emulate", "--emit=cubin", *output)
    refused(USAGE, "--link=static: a program for GPUs", cuda, "--gpu=sm_80", "--link=static", *output)
    nowhere = os.environ | {"PATH": str(folder), "CUDA_HOME": str(folder)}
    refused(USAGE, "--emit=cubin: there is no ptxas", cuda, "--gpu=sm_80", "--emit=cubin", *output, env=nowhere)
    # A ptxas that fails, and one that knows no such architecture.
    for words, status, wanted in (("ptxas fatal : something", 1, "does not assemble the kernels for sm_80: ptxas fatal : something"),
                                  ("ptxas fatal : Value 'sm_80' is not defined for option 'gpu-name'", USAGE, "does not know sm_80")):
        (folder / "ptxas").write_text(f'#!/bin/sh\n[ $1 != --version ] || {{ echo "release 13.0,"; exit 0; }}\necho "{words}" >&2\nexit 255\n')
        (folder / "ptxas").chmod(0o755)
        broken = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
        refused(status, wanted, cuda, "--gpu=sm_80", "--emit=cubin", *output, env=broken)
    (folder / "ptxas").write_text('#!/bin/sh\n[ $1 != --version ] || echo "release 13.0,"\n')
    refused(1, "has written no cubin for sm_80", cuda, "--gpu=sm_80", "--emit=cubin", *output, env=broken)
    (folder / "ptxas").write_text("#!/bin/sh\nexit 255\n")
    refused(USAGE, "does not say which CUDA release it is of", cuda, "--gpu=sm_80", *output, env=broken)
    # One output that cannot be written leaves none.
    (folder / "out.sm_90a.ptx").mkdir()
    refused(USAGE, "out.sm_90a.ptx", cuda, "--gpu=sm_80,sm_90a", "--emit=ptx", *output)
    (folder / "out.sm_90a.ptx").rmdir()
    checks.that(not list(folder.glob("out*")), f"a refusal leaves {list(folder.glob('out*'))}")
    # A module that was scheduled for one target goes on for that one.
    succeed(MOEC, "compile", GOLDEN / "mixtral", "-q", cuda, "--gpu=sm_80", "--emit=scheduled", "-o", folder / "gpu.mlir")
    done = run(MOEC, "compile", folder / "gpu.mlir", "--emit=lowered")
    checks.that(done.returncode == USAGE and "--target=cuda" in done.stderr.decode(), f"goes on for CPUs: {done.stderr.decode()[-300:]}")
    succeed(MOEC, "compile", folder / "gpu.mlir", "-q", cuda, "--gpu=sm_90a", "--emit=lowered", "-o", folder / "lowered.mlir")
    done = run(MOEC, "compile", folder / "lowered.mlir", cuda, "--gpu=sm_80", "--emit=ptx")
    checks.that(done.returncode == USAGE and "say --gpu=sm_90a" in done.stderr.decode(), f"lowered for another: {done.stderr.decode()[-300:]}")


def check_program(checks, folder):
    """A program for GPUs starts where there is none, says what is missing, and needs the system's libc and libm alone."""
    program = compile_model(GOLDEN / "mixtral", folder / "program", "-q", "--target=cuda", "--gpu=sm_90a,sm_80")
    needed = {line.split()[0] for line in succeed("ldd", program).decode().splitlines()}
    checks.that(needed <= {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "/lib64/ld-linux-x86-64.so.2"}, f"the program needs {needed}")

    def says(status, words, *command):
        done = run(program, *command)
        said = (done.stdout + done.stderr).decode()
        checks.that(done.returncode == status and words in said, f"{command}: status {done.returncode}, wanted {status} and {words!r}: {said[-400:]}")

    if not shutil.which("nvidia-smi"):
        says(MISMATCH, "computes on an NVIDIA GPU, and there is no driver", "bench", "-p", "4")
    says(USAGE, "compile it with --emulate", "bench", "--device=emulated")
    says(USAGE, "--device=cpu: this program was compiled with --target=cuda", "bench", "--device=cpu")
    says(USAGE, "'gpu' is not cpu, cuda or emulated", "bench", "--device=gpu")
    says(USAGE, "--threads: it is for programs that compute on CPUs", "bench", "--threads=2")
    os.environ["MOEC_GPU"] = "sm_86"
    says(USAGE, "MOEC_GPU asks for 'sm_86', and this program was compiled for: sm_80, sm_90a", "bench")
    del os.environ["MOEC_GPU"]
    says(0, "gpu kernels      sm_80: ", "inspect")
    told = json.loads(succeed(program, "inspect", "--json"))
    codes = told["gpu"]
    checks.that((told["step_tokens"], told["architectures"]) == (16384, ["sm_80", "sm_90a"]), f"inspect --json tells {told}")
    form = "cubin" if PTXAS else "ptx"
    # Of the newest architecture whose code later GPUs run, there is a text for these.
    wanted = [("sm_80", form, False), *([("sm_80", "ptx", False)] if PTXAS else []), ("sm_90a", form, False)]
    checks.that([(code["architecture"], code["form"], code["emulated"]) for code in codes] == wanted, f"inspect --json tells {codes}")
    # Without ptxas the program has the text that a driver assembles.
    nowhere = os.environ | {"PATH": str(folder), "CUDA_HOME": str(folder)}
    done = run(MOEC, "compile", GOLDEN / "mixtral", "-o", folder / "text", "--target=cuda", "--gpu=sm_80", "--emulate", env=nowhere)
    checks.that(done.returncode == 0 and "there is no ptxas here" in done.stderr.decode(), f"without ptxas: {done.stderr.decode()[-400:]}")
    code, = json.loads(succeed(folder / "text", "inspect", "--json"))["gpu"]
    checks.that((code["form"], code["driver"], code["emulated"]) == ("ptx", "11.0", True), f"inspect --json tells {code}")
    checks.that(b".entry phase_" in (folder / "text").read_bytes(), "the program has no PTX")
    # So it has for an architecture that ptxas is too old for.
    (folder / "ptxas").write_text('#!/bin/sh\ncase "$*" in *version*) echo "release 11.0," ;; *) echo "ptxas fatal : Unsupported .version 8.0" >&2; exit 255 ;; esac\n')
    (folder / "ptxas").chmod(0o755)
    old = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = run(MOEC, "compile", GOLDEN / "mixtral", "-o", folder / "text", "--target=cuda", "--gpu=sm_90a", env=old)
    checks.that(done.returncode == 0 and "kernels for sm_90a as PTX" in done.stderr.decode(), f"an old ptxas: {done.stderr.decode()[-400:]}")
    code, = json.loads(succeed(folder / "text", "inspect", "--json"))["gpu"]
    checks.that((code["form"], code["driver"]) == ("ptx", "12.0"), f"inspect --json tells {code}")


def check_cache(checks, folder):
    """Cubins are kept: ptxas runs once for the same text, architecture and version of it."""
    calls, cache = folder / "calls", folder / "cache"
    cache.mkdir()

    def compile_cubin(version):
        (folder / "ptxas").write_text(f"""#!/bin/sh
[ $1 != --version ] || {{ echo "release {version},"; exit 0; }}
echo >> {calls}
while [ $1 != -o ]; do shift; done
printf '\\177ELF{version}' > $2
""")
        (folder / "ptxas").chmod(0o755)
        env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(cache)}
        succeed(MOEC, "compile", GOLDEN / "mixtral", "-q", "--target=cuda", "--gpu=sm_80,sm_90a", "--emit=cubin", "-o", folder / "kept", env=env)
        made = (folder / "kept.sm_80.cubin").read_text()
        checks.that(made == f"\x7fELF{version}", f"the cubin is {made!r}")
        return len(calls.read_text())

    checks.that(compile_cubin("13.0") == 2, "ptxas does not run once for each architecture")
    checks.that(compile_cubin("13.0") == 2, "ptxas runs for what is kept")
    checks.that(compile_cubin("13.1") == 4, "another ptxas's cubins are taken for its own")
    entry = next((cache / "moec" / "cubins").iterdir())
    entry.write_bytes(entry.read_bytes()[:-1])
    checks.that(sorted((compile_cubin("13.0"), compile_cubin("13.1")))[-1] == 5, "a cut entry is not made anew, or others are")
    # Nothing is kept where nothing can be written.
    shutil.rmtree(cache / "moec")
    (cache / "moec").write_text("in the way")
    checks.that(compile_cubin("13.0") == 7 and compile_cubin("13.0") == 9, "ptxas did not run without a cache")


def check_library(checks, folder):
    """A library for GPUs is made as one for CPUs is."""
    succeed(MOEC, "compile", GOLDEN / "mixtral", "-o", folder / "libmixtral.so", "-q", "--target=cuda", "--gpu=sm_80", "--emit=shared")
    exported = succeed("nm", "-D", "--defined-only", folder / "libmixtral.so").decode()
    checks.that("moec_model_open" in exported and "moec_open_cuda" not in exported, f"the library exports {exported}")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:] or (CASES + MORE_CASES if ALL else CASES):
        check_case(checks, case)
    if not sys.argv[1:]:
        checks.run_parts(check_lengths, check_same, check_refusals, check_program, check_cache, check_library)
    checks.finish()
