"""What ptxas makes of the kernels for GPUs of published models: registers, spills, stack, shared memory, and what the main loops
of products by tensor cores consist of, against a table of what they are meant to have.

    kernel_quality.py [MODEL...]

Headers are enough. It is skipped where ptxas is not there, or nvdisasm (of the tests' Python).
"""

import importlib.metadata
import re
import sys
import time
from typing import NamedTuple

import checkpoints
import published
from kernels import GPUS, PTXAS, SPILT
from programs import MOEC, Checks, run, succeed, work_folder

SKIPPED = 77
MODELS = ["qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3", "llama-4-maverick", "gpt-oss-120b"]
REGISTERS = 255  # what an instruction can name
STACK = 8  # bytes, of products by tensor cores
SLOW = ["LD", "LDL", "STL"]  # LD reads wherever a pointer may point, the others are of what has been spilt


class Intent(NamedTuple):
    """Of a kernel that multiplies by tensor cores."""

    shared: int  # bytes
    blocks: dict  # by architecture: at work on a multiprocessor, as many as its shared memory holds with 1 KiB more for each, but at most 3
    stage: dict  # instructions of a thread or warp for a stage, which is 64 elements of K, so 4 steps of 16; by opcode and modifiers


FEW, MANY = 8, 64  # rows of a tile
# Tiles as in compiler/analysis/WarpTiles.h: each has 128 columns, of 4 warps with 2 tiles of 16 each. Three stages are in shared memory,
# in 128 bytes for each column and row; the sums that come after them take less.
few = Intent(
    shared=3 * 128 * (128 + 8),
    blocks={"sm_80": 3, "sm_90a": 3},  # of 164 and 228 KiB
    stage={
        "HMMA": 4 * 2,  # of 16 columns and 8 rows
        "LDSM.16.M88.4": 4 * 2,  # a tile of columns
        "LDSM.16.M88.2": 4,  # the rows
        "LDGSTS": 9,  # of 16 bytes: 8 for each column and row make 8.5 for each of 128 threads
    })
many = Intent(
    shared=3 * 128 * (128 + 64),
    blocks={"sm_80": 2, "sm_90a": 3},
    stage={
        "HMMA": 4 * 2 * 64 // 8,
        "LDSM.16.M88.4": 4 * (2 + 64 // 16),  # a tile of columns, or 16 rows
        "LDSM.16.M88.2": 0,
        "LDGSTS": 12,  # 8 x (128 + 64) / 128
    })
INTENDED = {
    # One matrix, which all columns are of.
    ("linear", FEW): few,
    ("linear", MANY): many,
    ("head_linear", FEW): few,
    ("head_linear", MANY): many,
    ("grouped_matmul", FEW): few,
    ("grouped_matmul", MANY): many,
    # Two, each with a column tile of a warp, so that rows are loaded once for both.
    ("grouped_glu", FEW): few,
    ("grouped_glu", MANY): many,
}
# What a model has to have, without a byte spilt; it is noticed where one of these is no longer made by tensor cores. Others may have
# something spilt outside their main loops.
WANTED = {"qwen3-30b-a3b": {(kind, rows) for kind in ("linear", "grouped_glu", "grouped_matmul") for rows in (FEW, MANY)}}


def nvdisasm():
    """The disassembler of the tests' Python, or None."""
    try:
        found = importlib.metadata.distribution("nvidia-cuda-nvdisasm").locate_file("nvidia/cu13/bin/nvdisasm")
    except importlib.metadata.PackageNotFoundError:
        return None
    return found if found.exists() else None


class Code(NamedTuple):
    """A kernel's instructions, each an opcode with its modifiers, and the branches among them: (where from, where to)."""

    opcodes: list
    branches: list


def disassemble(program, cubin):
    """Code by kernel."""
    kernels = {}
    for section in re.split(r"\.section\s+\.text\.", succeed(program, "-c", cubin).decode())[1:]:
        labels, opcodes, jumps = {}, [], []
        for line in section.splitlines():
            if label := re.match(r"(\.L_\w+):", line):
                labels[label[1]] = len(opcodes)
            # What never runs (@!PT) fills places where hardware needs some instruction.
            elif (found := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w\s+)?([A-Z][\w.]*)(.*);", line)) and "@!PT" not in line:
                if found[1].split(".")[0] == "BRA" and (target := re.search(r"`\((\.L_\w+)\)", found[2])):
                    jumps.append((len(opcodes), target[1]))
                opcodes.append(found[1])
        kernels[section.split(",")[0]] = Code(opcodes, [(source, labels[target]) for source, target in jumps])
    return kernels


def kinds_of(module):
    """By kernel what it computes, and the rows of its tile: each 8 are multiplied in 4 steps of K with 2 tiles of columns. 0 without
    tensor cores. `module` is what LLVM gets, with one stage at a time."""
    kernels = re.split(r"llvm\.func @(phase_\d+_(\w+))", module)[1:]
    return {name: (kind, text.count(" nvvm.mma.sync ") // (4 * 2) * 8) for name, kind, text in zip(kernels[::3], kernels[1::3], kernels[2::3])}


def main_loop(code):
    """The opcodes of the smallest loop that multiplies, or of the whole kernel if none does."""
    bodies = [code.opcodes[target:source + 1] for source, target in code.branches if target <= source]
    return min((body for body in bodies if count(body, "HMMA")), key=len, default=code.opcodes)


def count(opcodes, start):
    """How many have these parts in front: LD is not LDG."""
    return sum(f"{opcode}.".startswith(f"{start}.") for opcode in opcodes)


def check_loop(checks, where, stage, code):
    """What the main loop has, in words. ptxas may unroll short loops over K wholly; then it is that over blocks of rows or tiles
    (Qwen3's grouped_matmul, of 12 stages; Mixtral's has the same code with a loop)."""
    loop = main_loop(code)
    found = {opcode: count(loop, opcode) for opcode in stage}
    stages = max(1, found["HMMA"] // stage["HMMA"])
    wanted = {opcode: stages * number for opcode, number in stage.items()}
    checks.that(found == wanted, f"{where}: the main loop has {found}; wanted {wanted} for {stages} stages")
    if stages > 1:  # there is more in it than the products
        places = [place for place, opcode in enumerate(loop) if count([opcode], "HMMA")]
        loop = loop[places[0]:places[-1] + 1]
    slow = {opcode: number for opcode in SLOW if (number := count(loop, opcode))}
    checks.that(not slow, f"{where}: the main loop has {slow}; wanted neither generic loads nor spills")
    listed = ", ".join(f"{number} {opcode}" for opcode, number in found.items())
    return f"stages in the main loop: {stages}, instructions: {len(loop)}, among them {listed}"


def check_kernel(checks, where, intent, most_spilt, numbers, gpu, code):
    """`numbers` is what ptxas tells; `intent` is None for a kernel that does not multiply by tensor cores."""
    registers, stack, spilt, shared = numbers
    says = f"{registers} registers, {stack} bytes of stack, {spilt} spilt, {shared} shared"
    checks.that(registers <= REGISTERS and spilt <= most_spilt, f"{where}: {says}; wanted {REGISTERS} registers, {most_spilt} bytes spilt")
    if intent:
        # A multiprocessor has 65536, which threads get 8 at a time.
        most = min(REGISTERS, 65536 // 128 // intent.blocks[gpu] // 8 * 8)
        checks.that(registers <= most and stack <= STACK and shared == intent.shared,
                    f"{where}: {says}; wanted {most} registers, {STACK} bytes of stack, {intent.shared} bytes shared")
        says += f"; {check_loop(checks, where, intent.stage, code)}"
    print(f"{where}: {says}; generic loads in all: {count(code.opcodes, 'LD')}", flush=True)


def check_model(checks, name, program):
    with work_folder() as folder, checks.about(name):
        checkpoints.write_headers(folder / "model", published.MODELS[name][0])
        start = time.monotonic()
        done = run(MOEC, "compile", folder / "model", "--headers-only", "--target=cuda", f"--gpu={','.join(GPUS)}", "--emit=cubin", "--report",
                   f"--dump-stages={folder / 'stages'}", "-o", folder / "kernels")
        said = done.stderr.decode()
        if not checks.that(done.returncode == 0, f"{name}: status {done.returncode}: {said[-800:]}"):
            return
        print(f"{name}: compiled in {time.monotonic() - start:.1f} s", flush=True)
        for gpu in GPUS:
            codes = disassemble(program, folder / f"kernels.{gpu}.cubin")
            kinds = kinds_of(next((folder / "stages").glob(f"*-llvm-{gpu}.mlir")).read_text())
            told = {kernel: [int(number) for number in numbers] for kernel, *numbers in re.findall(
                rf"^kernel (\w+) on {gpu}: (\d+) registers, (\d+) bytes of stack, (\d+) bytes spilt, (\d+) bytes of shared", said, re.MULTILINE)}
            if not checks.that(kinds.keys() == told.keys() == codes.keys(), f"{name}: {gpu} has {[*told]} and {[*codes]}, wanted {[*kinds]}"):
                continue
            multiply = {kind for kind in kinds.values() if kind[1]}
            unknown = multiply - INTENDED.keys()
            checks.that(not unknown, f"{name}: {gpu} has tensor cores at work for {unknown}, of which the table has no row")
            wanted = WANTED.get(name, set())
            missing = wanted - multiply
            checks.that(not missing, f"{name}: {gpu} has no tensor cores at work for {missing}")
            for kernel, kind in kinds.items():
                most_spilt = 0 if kind in wanted else SPILT
                check_kernel(checks, f"{name}: {kernel} on {gpu}", INTENDED.get(kind), most_spilt, told[kernel], gpu, codes[kernel])


if __name__ == "__main__":
    disassembler = nvdisasm()
    if not PTXAS or not disassembler:
        print("skipped: " + ("there is no nvdisasm in the tests' Python" if PTXAS else "there is no ptxas"))
        sys.exit(SKIPPED)
    checks = Checks()
    for name in sys.argv[1:] or MODELS:
        check_model(checks, name, disassembler)
    checks.finish()
