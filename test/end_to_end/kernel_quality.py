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
from programs import ALL, MOEC, Checks, run, succeed, work_folder

SKIPPED = 77
MODELS = ["qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3", "llama-4-maverick", "gpt-oss-120b"]
QUANTIZED = "qwen3-30b-a3b of int4 and int8"
if ALL:
    MODELS += ["deepseek-v3.2", QUANTIZED]
REGISTERS = 255  # what an instruction can name
STACK = 8  # bytes, of products by tensor cores
GENERIC = ["LD", "ST"]  # these find out where a pointer points; no kernel has one
SPILLS = ["LDL", "STL"]
MULTIPLY = ["HMMA", "IMMA"]  # of floats, of integers


class Intent(NamedTuple):
    """Of a kernel that multiplies by tensor cores."""

    warps: int
    shared: dict  # bytes, by architecture
    blocks: dict  # by architecture: at work on a multiprocessor, as many as its shared memory holds with 1 KiB more for each, but at most
    # 3, or 2 where codes are multiplied with many rows, and of attend_tiles
    stage: dict  # instructions of a thread or warp for a stage, by opcode and modifiers
    spilt: int = 0  # bytes at most, outside the main loop


FEW, MANY = 8, 64  # rows of a tile
# Tiles as in compiler/analysis/WarpTiles.h: each has 128 columns, of 4 warps with 2 tiles of 16 each. A stage is 64 elements of K, in
# 128 bytes for each column and row, and three are in shared memory; the sums that come after them take less.
few = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 3 * 128 * (128 + 8)),
    blocks={"sm_80": 3, "sm_90a": 3},  # of 164 and 228 KiB
    stage={
        "HMMA": 4 * 2,  # of 16 columns, 8 rows and 16 elements of K
        "LDSM.16.M88.4": 4 * 2,  # a tile of columns
        "LDSM.16.M88.2": 4,  # the rows
        "LDGSTS": 9,  # of 16 bytes: 8 for each column and row make 8.5 for each of 128 threads
    })
many = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 3 * 128 * (128 + 64)),
    blocks={"sm_80": 2, "sm_90a": 3},
    stage={
        "HMMA": 4 * 2 * 64 // 8,
        "LDSM.16.M88.4": 4 * (2 + 64 // 16),  # a tile of columns, or 16 rows
        "LDSM.16.M88.2": 0,
        "LDGSTS": 12,  # 8 x (128 + 64) / 128
    })
# Of codes a stage is 128 elements of K, of 128 bytes a column and 256 a row; for many rows two are in shared memory. Scales come with it:
# of fp8 in blocks one for 16 columns.
few_fp8 = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 3 * (128 * 128 + 128 + 8 * 256)),
    blocks={"sm_80": 2, "sm_90a": 3},
    stage={
        "HMMA": 8 * 2,
        "LDSM.16.M88.4": 4 * 2,  # a tile of columns, of 32 elements
        "LDSM.16.M88.2": 8,
        "LDGSTS": 8 + 2 + 1,  # codes, rows, scales
    })
many_fp8 = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 2 * (128 * 128 + 128 + 64 * 256)),
    blocks={"sm_80": 2, "sm_90a": 2},
    stage={
        "HMMA": 8 * 2 * 64 // 8,
        "LDSM.16.M88.4": 4 * 2 + 8 * 64 // 16,
        "LDSM.16.M88.2": 0,
        "LDGSTS": 8 + 8 + 1,
    })
# Of mxfp4 64 bytes a column, and four bytes of scales.
few_mxfp4 = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 3 * (128 * 64 + 128 * 4 + 8 * 256)),
    blocks={"sm_80": 3, "sm_90a": 3},
    stage={
        "HMMA": 8 * 2,
        "LDSM.16.M88.4": 2 * 2,
        "LDSM.16.M88.2": 8,
        "LDGSTS": 4 + 2 + 1,
    })
many_mxfp4 = Intent(
    warps=4,
    shared=dict.fromkeys(GPUS, 2 * (128 * 64 + 128 * 4 + 64 * 256)),
    blocks={"sm_80": 2, "sm_90a": 2},
    stage={
        "HMMA": 8 * 2 * 64 // 8,
        "LDSM.16.M88.4": 2 * 2 + 8 * 64 // 16,
        "LDSM.16.M88.2": 0,
        "LDGSTS": 4 + 8 + 1,
    })


def integers(rows, code_bytes):
    """Of integers: as of fp8, but that scales are of 32 elements, in 8 bytes a column, and so are rows, in 40 bytes each with 16 behind them,
    which are loaded without LDSM."""
    stages = 3 if rows == FEW else 2
    codes = 128 * code_bytes // 16 // 128
    return Intent(
        warps=4,
        shared=dict.fromkeys(GPUS, stages * (128 * (code_bytes + 8) + rows * (4 * 40 + 16))),
        blocks={"sm_80": 2 if code_bytes == 128 or rows == MANY else 3, "sm_90a": 3 if rows == FEW else 2},
        stage={
            "IMMA": 4 * 2 * rows // 8,  # of 16 columns, 8 rows and 32 elements of K
            "LDSM.16.M88.4": codes,
            "LDSM.16.M88.2": 0,
            "LDGSTS": codes + 1 + -(-rows * 10 // 128),
        },
        spilt=0 if rows == FEW else 80)  # sums are twice in registers, of a group and of all


# By what they compute, their weights and the rows of their tile. Linear, head_linear and grouped_matmul have one matrix, which all columns
# are of. Grouped_glu has two, each with a column tile of a warp, so that rows are loaded once for both.
PRODUCTS = ["linear", "head_linear", "grouped_matmul", "grouped_glu"]
INTENDED = {(product, weights, rows): intent
            for product in PRODUCTS
            for weights, rows, intent in [("bf16", FEW, few), ("bf16", MANY, many), ("fp8", FEW, few_fp8), ("fp8", MANY, many_fp8),
                                          ("mxfp4", FEW, few_mxfp4), ("mxfp4", MANY, many_mxfp4),
                                          *((f"int{bits}", rows, integers(rows, 16 * bits)) for bits in (4, 8) for rows in (FEW, MANY))]}


class Attention(NamedTuple):
    """Of a model, as its cache holds them."""

    size: int  # elements of a key
    values: int
    latent: bool  # values are the first elements of keys
    heads: int  # query heads that share a key


# Of deepseek-v3.2, whose rows choose their keys, attention is not by tensor cores.
ATTENTION = {
    "qwen3-30b-a3b": Attention(128, 128, False, 8),
    "mixtral-8x7b": Attention(128, 128, False, 4),
    "deepseek-v3": Attention(576, 512, True, 64),  # half of 128, for which there are no registers
    "llama-4-maverick": Attention(128, 128, False, 5),
    "gpt-oss-120b": Attention(64, 64, False, 8),
}
ATTENDING = ["attend_pieces", "attend_tiles"]
KEYS = 32  # of a stage
MULTIPROCESSOR = {"sm_80": 164 << 10, "sm_90a": 228 << 10}  # bytes of shared memory


def attention_intent(shape, kind):
    """Tiles as in compiler/targets/cuda/AttentionSteps.cpp: two groups of warps have 16 keys each, and have the rows by turns; then all warps
    have columns of values. Rows of shared memory are an odd number of times 16 bytes."""
    warps = 8 if shape.values > 256 else 4
    row_tiles = 4 if kind == "attend_tiles" or shape.heads > 32 else 2 if shape.heads > 16 else 1
    own_tiles = row_tiles // min(warps // 2, row_tiles)  # of which a warp makes scores
    columns = -(-shape.values // 16 // warps)
    steps = KEYS // 16

    def stride(elements):
        return (elements // 8 | 1) * 16

    stage = KEYS * (stride(shape.size) + (0 if shape.latent else stride(shape.values)))
    rest = 16 * row_tiles * (stride(shape.size) + stride(KEYS) + steps * 4)
    stages, blocks = {}, {}
    for gpu, most in MULTIPROCESSOR.items():
        half = [number for number in (2, 3, 4) if rest + number * stage <= most // 2 - 1024]
        stages[gpu] = half[-1] if half else max(number for number in (1, 2, 3, 4) if rest + number * stage <= most - 1024)
        blocks[gpu] = min(2 if kind == "attend_tiles" else 3, most // (rest + stages[gpu] * stage + 1024))
    copies = KEYS * (shape.size + (0 if shape.latent else shape.values)) // 8 / (32 * warps)
    return Intent(
        warps=warps,
        shared={gpu: rest + number * stage for gpu, number in stages.items()},
        blocks=blocks,
        stage={
            "HMMA": 2 * own_tiles * shape.size // 16 + 2 * row_tiles * columns * steps,
            "LDSM.16.M88.4": (1 + own_tiles) * shape.size // 16 + row_tiles * steps,  # keys and queries, then probabilities
            "LDSM.16.MT88.4": columns * steps,  # values
            "LDGSTS": -int(-copies // 1),
        })


# What a model has to have, without a byte spilt; it is noticed where one of these is no longer made by tensor cores. Others may have
# something spilt outside their main loops.
WANTED = {name: {(product, weights, rows) for product, weights in products for rows in (FEW, MANY)} for name, products in {
    "qwen3-30b-a3b": [("linear", "bf16"), ("grouped_glu", "bf16"), ("grouped_matmul", "bf16")],
    "deepseek-v3": [("linear", "fp8"), ("grouped_glu", "fp8"), ("grouped_matmul", "fp8")],
    "gpt-oss-120b": [("linear", "bf16"), ("grouped_glu", "mxfp4"), ("grouped_matmul", "mxfp4")],
    QUANTIZED: [("linear", "int8"), ("grouped_glu", "int4"), ("grouped_matmul", "int4")],
}.items()}


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
    """By kernel what it computes, of which weights and of how many rows its tile is; None and 0 without tensor cores, and of attention, which
    has "cache". `module` is what LLVM gets, with one stage at a time: of products each 8 rows are multiplied in steps of 16 elements of K with 2 tiles of columns, whose four registers
    are made by so many products where they are of codes."""
    kernels = re.split(r"llvm\.func @(phase_\d+_(\w+))", module)[1:]
    kinds = {}
    for name, product, text in zip(kernels[::3], kernels[1::3], kernels[2::3]):
        steps = text.count(" nvvm.mma.sync ") // 2
        if steps and product in ATTENDING:
            kinds[name] = product, "cache", 0
            continue
        if "#nvvm.mma_type<s8>" in text:
            kinds[name] = product, "int4" if f"constant({0xf0f0f0f0 - 2**32} :" in text else "int8", steps // 4 * 8
            continue
        made = len(re.findall(r"llvm\.fmul .* vector<2xbf16>", text))
        weights, depth = {0: ("bf16", 4), 8 * 2 * 4: ("fp8", 8), 8 * 2 * 4 * 2: ("mxfp4", 8)}[made]
        kinds[name] = product, weights if steps else None, steps // depth * 8
    return kinds


def main_loop(code):
    """The opcodes of the smallest loop that multiplies, or of the whole kernel if none does."""
    bodies = [code.opcodes[target:source + 1] for source, target in code.branches if target <= source]
    return min((body for body in bodies if any(count(body, opcode) for opcode in MULTIPLY)), key=len, default=code.opcodes)


def count(opcodes, start):
    """How many have these parts in front: LD is not LDG."""
    return sum(f"{opcode}.".startswith(f"{start}.") for opcode in opcodes)


def check_loop(checks, where, stage, code):
    """What the main loop has, in words. ptxas may unroll short loops over K wholly; then it is that over blocks of rows or tiles
    (Qwen3's grouped_matmul, of 12 stages; Mixtral's has the same code with a loop)."""
    loop = main_loop(code)
    found = {opcode: count(loop, opcode) for opcode in stage}
    multiply = next(opcode for opcode in MULTIPLY if opcode in stage)
    stages = max(1, found[multiply] // stage[multiply])
    wanted = {opcode: stages * number for opcode, number in stage.items()}
    checks.that(found == wanted, f"{where}: the main loop has {found}; wanted {wanted} for {stages} stages")
    if stages > 1:  # there is more in it than the products
        places = [place for place, opcode in enumerate(loop) if count([opcode], multiply)]
        loop = loop[places[0]:places[-1] + 1]
    slow = {opcode: number for opcode in SPILLS if (number := count(loop, opcode))}
    checks.that(not slow, f"{where}: the main loop has {slow}; wanted no spills")
    listed = ", ".join(f"{number} {opcode}" for opcode, number in found.items())
    return f"stages in the main loop: {stages}, instructions: {len(loop)}, among them {listed}"


def check_kernel(checks, where, intent, most_spilt, numbers, gpu, code):
    """`numbers` is what ptxas tells; `intent` is None for a kernel that does not multiply by tensor cores."""
    registers, stack, spilt, shared = numbers
    says = f"{registers} registers, {stack} bytes of stack, {spilt} spilt, {shared} shared"
    checks.that(registers <= REGISTERS and spilt <= most_spilt, f"{where}: {says}; wanted {REGISTERS} registers, {most_spilt} bytes spilt")
    if intent:
        # A multiprocessor has 65536, which threads get 8 at a time.
        most = min(REGISTERS, 65536 // (32 * intent.warps) // intent.blocks[gpu] // 8 * 8)
        checks.that(registers <= most and stack <= STACK + most_spilt and shared == intent.shared[gpu],
                    f"{where}: {says}; wanted {most} registers, {STACK + most_spilt} bytes of stack, {intent.shared[gpu]} bytes shared")
        says += f"; {check_loop(checks, where, intent.stage, code)}"
    generic = sum(count(code.opcodes, opcode) for opcode in GENERIC)
    checks.that(not generic, f"{where}: {generic} of its instructions are generic; wanted all to name global or shared memory")
    print(f"{where}: {says}; generic loads and stores: {generic}", flush=True)


def check_model(checks, name, program):
    with work_folder() as folder, checks.about(name):
        model, *quantized = name.split(" of ")
        options = ["--quantize=experts:int4,attention:int8"] if quantized else []
        checkpoints.write_headers(folder / "model", published.MODELS[model][0])
        start = time.monotonic()
        done = run(MOEC, "compile", folder / "model", "--headers-only", "--target=cuda", f"--gpu={','.join(GPUS)}", "--emit=cubin", "--report", *options,
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
            attending = {(kind, "cache", 0): attention_intent(ATTENTION[model], kind) for kind in ATTENDING if model in ATTENTION}
            intended = INTENDED | attending
            unknown = multiply - intended.keys()
            checks.that(not unknown, f"{name}: {gpu} has tensor cores at work for {unknown}, of which the table has no row")
            wanted = WANTED.get(name, set()) | attending.keys()
            missing = wanted - multiply
            checks.that(not missing, f"{name}: {gpu} has no tensor cores at work for {missing}")
            for kernel, kind in kinds.items():
                most_spilt = intended[kind].spilt if kind in wanted else SPILT
                check_kernel(checks, f"{name}: {kernel} on {gpu}", intended.get(kind), most_spilt, told[kernel], gpu, codes[kernel])


if __name__ == "__main__":
    disassembler = nvdisasm()
    if not PTXAS or not disassembler:
        print("skipped: " + ("there is no nvdisasm in the tests' Python" if PTXAS else "there is no ptxas"))
        sys.exit(SKIPPED)
    checks = Checks()
    for name in sys.argv[1:] or MODELS:
        check_model(checks, name, disassembler)
    checks.finish()
