"""What a compiled program promises beside its numbers: it stands alone, is small, and the same input gives the same bytes."""

import contextlib
import json
import os
import re
import shutil
import sys
import time

from programs import GOLDEN, MOEC, TEST, Checks, compile_model, copy_program, evaluate, run, succeed

MODEL = GOLDEN / "qwen3_moe"
SOURCE = MODEL / "golden.safetensors"
PLAIN = "--activations=f32"  # how the program is compiled that most parts have a copy of
BYTES = 4 << 20  # stripped, without weights and tokenizer
NEWEST_GLIBC = (2, 34)
LIBRARIES = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# What LLVM may call for a loop that copies or fills, and what every linked object may name.
COPIES = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}


def in_chroot(folder, program, *arguments):
    """Runs `program`, a file of `folder`, with that folder as the whole file system."""
    if os.geteuid() == 0:
        return succeed(f"/{program}", *arguments, preexec_fn=lambda: (os.chroot(folder), os.chdir("/")))
    return succeed("unshare", "-r", "--root", folder, f"/{program}", *arguments)


def check_alone(checks, folder):
    """A program in an otherwise empty file system, and its size."""
    root = folder / "root"
    root.mkdir()
    program = copy_program(MODEL, root, PLAIN)
    headers = succeed("readelf", "-lW", program).decode()
    checks.that("INTERP" not in headers and "DYNAMIC" not in headers, "the program is not static")
    wanted = evaluate(program, SOURCE, folder / "out.safetensors").read_bytes()
    shutil.copy(SOURCE, root / "in.safetensors")
    in_chroot(root, "program", "eval", "--input", "/in.safetensors", "--output", "/out.safetensors")
    checks.that((root / "out.safetensors").read_bytes() == wanted, "in a chroot: other bytes")
    stripped = folder / "stripped"
    succeed("strip", "-o", stripped, program)
    size = stripped.stat().st_size
    checks.that(size <= BYTES, f"{size} bytes stripped, at most {BYTES}")
    print(f"stripped: {size} bytes")


def check_embedded(checks, folder):
    """Embedded weights survive strip, and a damaged byte of them is found."""
    program = compile_model(MODEL, folder / "embedded", "--reference", "--weights=embed")
    checks.that(not (folder / "embedded.weights").exists(), "embed: a weights file beside the program")
    before = evaluate(program, SOURCE, folder / "before.safetensors").read_bytes()
    succeed("strip", program)
    after = evaluate(program, SOURCE, folder / "after.safetensors").read_bytes()
    checks.that(before == after, "embed: other bytes after strip")
    weights = json.loads(succeed(program, "inspect", "--json", "--verify"))["weights"]
    data = bytearray(program.read_bytes())
    data[len(data) - weights["bytes"] // 2] ^= 1
    program.write_bytes(data)
    done = run(program, "inspect", "--verify")
    checks.that(done.returncode == 5 and b"not those that were packed" in done.stderr,
                f"embed: a damaged byte gives status {done.returncode}: {done.stderr.decode()}")


def check_dynamic(checks, folder):
    program = compile_model(MODEL, folder / "dynamic", "--activations=f32", "--link=dynamic")
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", succeed("readelf", "-dW", program).decode()))
    checks.that("libc.so.6" in needed and needed <= LIBRARIES, f"dynamic: needs {sorted(needed)}")
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", succeed("readelf", "-VW", program).decode())
    newest = max((int(major), int(minor)) for major, minor in versions)
    checks.that(newest <= NEWEST_GLIBC, f"dynamic: needs GLIBC_{newest[0]}.{newest[1]}")
    evaluate(program, SOURCE, folder / "out.safetensors")
    checks.that("GLIBC_" in succeed(program, "inspect").decode(), "dynamic: inspect does not print the newest GLIBC symbol")


def check_same_bytes(checks, folder):
    """The same input and options give the same bytes, wherever and whenever."""
    (folder / "two/deep").mkdir(parents=True)
    compile_model(MODEL, folder / "two/deep/program", PLAIN)
    copy_program(MODEL, folder / "one", PLAIN)
    for name in ("program", "program.weights"):
        checks.that((folder / "one" / name).read_bytes() == (folder / "two/deep" / name).read_bytes(),
                    f"{name} has other bytes at another place")


def check_calls(checks, folder):
    """All arithmetic of a step is in the compiled code: it calls what abi.def lists, and copies."""
    listed = set(re.findall(r"\b(moec_\w+)\b", (TEST.parent / "runtime/include/moec/abi.def").read_text()))
    for activations in ("f32", "bf16"):
        code = folder / f"{activations}.o"
        succeed(MOEC, "compile", MODEL, "--emit=obj", "--headers-only", f"--activations={activations}", "-o", code)
        called = set(re.findall(r"\bU (\w+)", succeed("nm", "-u", code).decode()))
        checks.that(called <= listed | COPIES, f"{activations}: compiled code calls {sorted(called - listed - COPIES)}")


def check_moved(checks, folder):
    """A pack is found beside the program, as PROGRAM.weights, by --weights-file and by MOEC_WEIGHTS."""
    program = copy_program(MODEL, folder, PLAIN)
    wanted = evaluate(program, SOURCE, folder / "out.safetensors").read_bytes()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    weights = elsewhere / "weights"
    (folder / "program.weights").rename(weights)
    renamed = elsewhere / "renamed"
    shutil.copy(program, renamed)
    shutil.copy(weights, elsewhere / "renamed.weights")
    # Each run into a file of its own: an old one must not pass for a new one.
    for name, command, environment in (("--weights-file", [program, "--weights-file", weights], {}),
                                       ("MOEC_WEIGHTS", [program], {"MOEC_WEIGHTS": str(weights)}),
                                       ("renamed", [renamed], {})):
        output = folder / f"{name}.safetensors"
        succeed(command[0], "eval", "--input", SOURCE, "--output", output, *command[1:], env=os.environ | environment)
        checks.that(output.read_bytes() == wanted, f"{name}: other bytes")


def check_library(checks, folder):
    """A shared library finds the pack beside it, whoever loads it."""
    library = compile_model(MODEL, folder / "libmodel.so", "--emit=shared", "--activations=f32")
    opened = ("import ctypes, sys; moec = ctypes.CDLL(sys.argv[1]); moec.moec_error_message.restype = ctypes.c_char_p; "
              "status = moec.moec_model_open(None, ctypes.byref(ctypes.c_void_p())); "
              "sys.exit(status and moec.moec_error_message().decode())")
    succeed(sys.executable, "-c", opened, library)


# golden case -> what moec inspect says of it
SHOWN = {
    "gpt_oss_mxfp4": ["attention 1 of 2 layers see the latest 8 tokens, 1 all", " of bf16, 97.9 kB of mxfp4"],
    "llama4": ["attention 3 of 4 layers see their chunk of 8 tokens, 1 all", " of f32"],
    "deepseek_v32": ["attention to latent vectors, absorbed; 2 layers see all and read the 8 that an indexer chooses"],
    "deepseek_v3_fp8": [" of fp8 by blocks of 128 x 128, ", " of bf16"],
}


def check_inspect(checks, folder):
    program = copy_program(MODEL, folder, PLAIN)
    told = json.loads(succeed(program, "inspect", "--json"))
    before = json.loads(succeed(MOEC, "inspect", MODEL, "--json"))
    checks.that(told["parameters"] == before["parameters"],
                f"inspect: {told['parameters']} of the program, {before['parameters']} of the directory")
    for case, facts in SHOWN.items():
        words = " ".join(succeed(MOEC, "inspect", GOLDEN / case).decode().split())
        for fact in facts:
            checks.that(fact in words, f"moec inspect of {case} does not say `{fact}`: {words[:1500]}")
    json.loads(succeed(MOEC, "inspect", GOLDEN / "deepseek_v32", "--json"))
    words = succeed(program, "inspect").decode()
    for word in ("Qwen3Moe", "22.1", "f32"):
        checks.that(word in words, f"inspect does not say {word}")
    licences = succeed(program, "inspect", "--licenses").decode()
    for word in ("Apache", "PCRE2", "utf8proc", "fmt"):
        checks.that(word in licences, f"inspect --licenses does not name {word}")
    succeed(program, "inspect", "--verify")


def check_profile(checks, folder):
    """With --profile the results stay as they are, and bench tells the time of each phase."""
    plain = copy_program(MODEL, folder / "plain", PLAIN)
    program = compile_model(MODEL, folder / "program", "--activations=f32", "--profile")
    wanted = evaluate(plain, SOURCE, folder / "plain.safetensors").read_bytes()
    checks.that(evaluate(program, SOURCE, folder / "out.safetensors").read_bytes() == wanted, "--profile: other bytes")
    for test in json.loads(succeed(program, "bench", "--json", "--threads", "2", "-p", "16", "-n", "4", "-r", "1"))["tests"]:
        phases = {phase["name"]: phase for phase in test["phases"]}
        tokens = int(test["test"][2:])
        steps = 1 if test["test"].startswith("pp") else tokens
        head = phases.get("linear (lm_head)", {})
        checks.that(head.get("runs") == steps and head.get("seconds", 0) > 0, f"{test['test']}: lm_head {head}, {steps} steps")
        # 327 rows, of which panels make a multiple of 16.
        checks.that(head.get("bytes") == 336 * 36 * 4, f"{test['test']}: lm_head reads {head.get('bytes')} bytes")
        told, taken = sum(phase["seconds"] + phase["seconds_waiting"] for phase in phases.values()), tokens / test["tokens_per_second"]
        checks.that(0 < told < taken, f"{test['test']}: phases of {told} s in {taken} s")
    checks.that("% waiting" in succeed(program, "bench", "-p", "0", "-n", "2", "-r", "1").decode(), "bench prints no table of phases")


def check_text(checks, folder):
    """Prompts from everywhere; text on stdout and nothing else."""
    program = copy_program(MODEL, folder, PLAIN)
    greedy = ["--temperature", "0", "--max-tokens", "12"]
    said = succeed(program, "generate", *greedy, "hello")
    checks.that(b"<|" not in said, f"a control token on stdout: {said!r}")
    (folder / "prompt").write_text("hello")
    checks.that(succeed(program, "generate", *greedy, "--file", folder / "prompt") == said, "--file: another answer")
    checks.that(succeed(program, *greedy, "hello") == said, "without a command: another answer")
    with open(folder / "prompt", "rb") as file:
        checks.that(succeed(program, "generate", *greedy, "-", stdin=file) == said, "-: another answer")
    one = succeed(program, "generate", "--max-tokens", "12", "--seed", "7", "--temperature", "1.5", "hello")
    two = succeed(program, "generate", "--max-tokens", "12", "--seed", "7", "--temperature", "1.5", "--threads", "1", "hello")
    checks.that(one == two, "the same seed gave two texts")
    with contextlib.suppress(ValueError):
        told = json.loads(succeed(program, "generate", *greedy, "--json", "hello"))
        checks.that(isinstance(told, dict), "--json is no object")
        return
    checks.that(False, "--json is no JSON")


def check_run(checks, folder):
    """`moec run` compiles into its cache once, and again when the model changed."""
    model, cache = folder / "model", folder / "cache"
    shutil.copytree(MODEL, model)
    command = [MOEC, "run", model, "--temperature", "0", "--max-tokens", "8", "hello"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    first = succeed(*command, env=environment)
    entries = sorted(cache.rglob("*"))
    checks.that(len(entries) > 0, "run: nothing in the cache")
    checks.that(succeed(*command, env=environment) == first, "run: another answer from the cache")
    checks.that(sorted(cache.rglob("*")) == entries, "run: the second run changed the cache")
    # From here on with plain loops, which compile in a third of the time.
    flagged = [MOEC, "run", "--reference", "--without-pass=moe-fuse-gate,lm-fuse-qkv", model, *command[3:]]
    checks.that(succeed(*flagged, env=environment) == first, "run: another answer with flags before the directory")
    (program,) = {path.parent for path in cache.rglob("program")} - {path.parent for path in entries}
    for damage in (lambda: (program / "program").write_bytes(b""), lambda: (program / "program").unlink()):
        damage()
        checks.that(succeed(*flagged, env=environment) == first, "run: a damaged program was not made anew")
    data = bytearray((model / "model.safetensors").read_bytes())
    for at in range(len(data) // 2 + 3, len(data), 4):
        data[at] ^= 0x80
    (model / "model.safetensors").write_bytes(data)
    done = run(*flagged, env=environment)
    checks.that(done.returncode == 0 and done.stdout != first, "run: a changed model was served from the cache")


def check_run_forgets(checks, folder):
    """When `moec run` makes a program, those that were not run for a month are removed from its cache, and nothing else."""
    cache = folder / "cache" / "moec"
    stale, recent, other = cache / ("0" * 32), cache / ("1" * 32), cache / "other"
    month = time.time() - 31 * 24 * 3600
    for entry in (stale, recent, other):
        entry.mkdir(parents=True)
        for name in ("program", "program.weights", "lock"):
            (entry / name).write_bytes(b"x" * 1000)
            os.utime(entry / name, (month, month))
        os.utime(entry, (month, month))
    os.utime(recent / "program")
    command = [MOEC, "run", "--activations=f32", MODEL, "--max-tokens", "1", "hello"]
    done = run(*command, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")})
    checks.that(done.returncode == 0 and b"not run for 30 days" in done.stderr, f"run: {done.stderr.decode()[-500:]}")
    checks.that(not stale.exists() and recent.exists() and other.exists(), f"run: the cache holds {sorted(cache.iterdir())}")
    # A use counts as one.
    (made,) = set(cache.iterdir()) - {recent, other}
    for path in (*made.iterdir(), made):
        os.utime(path, (month, month))
    run(*command, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")})
    checks.that((made / "program").stat().st_mtime > month + 3600, "run: a use is not noted")


def check_run_packs(checks, folder):
    """`moec run` packs what cannot be mapped, and says so once; other models it maps."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    model = GOLDEN / "deepseek_v3"

    def answer(name, *options):
        output = folder / f"{name}.safetensors"
        done = run(MOEC, "run", "--activations=f32", "--cpu=avx2", *options, model, "eval", "--input", model / "golden.safetensors",
                   "--output", output, env=environment)
        checks.that(done.returncode == 0, f"run {name}: status {done.returncode}: {done.stderr.decode()[-500:]}")
        return done.stderr.decode(), output.read_bytes() if output.exists() else b""

    told, first = answer("first")
    checks.that(told.count("packs the weights into the cache") == 1 and "kv_b_proj.weight` is stored transposed" in told, f"run first: {told[-500:]}")
    again, second = answer("again")
    checks.that(not again and second == first, f"run again: {again[-500:]}")
    notes = [path.read_text() for path in (folder / "cache").rglob("unmappable")]
    checks.that(len(notes) == 1 and notes[0] in told, f"run first: noted {notes}")
    packed, third = answer("packed", "--weights=pack")
    checks.that(not packed and third == first, f"run --weights=pack: it is not the same program: {packed[-500:]}")
    checks.that(len(list((folder / "cache").rglob("*.weights"))) == 1, "run: weights were packed twice")
    told, _ = answer("quantized", "--quantize=attention:int8")
    checks.that("self_attn.kv_b_proj.keys, self_attn.kv_b_proj.values; --mla=expanded" in told, f"run --quantize=attention:int8: {told[-500:]}")
    done = run(MOEC, "compile", model, "--emit=optimized", "--quantize=attention:int8", "--mla=expanded")
    checks.that(done.returncode == 0 and b"head by head" not in done.stderr, f"--mla=expanded: {done.stderr.decode()[-500:]}")


def check_stages(checks, folder):
    """Every stage can be stopped at, and gone on from; a dump holds them all."""
    level = "--cpu=avx2"  # its code is made in half the time of larger ones
    code = succeed(MOEC, "compile", MODEL, "--headers-only", level, "--emit=llvm")
    checks.that(b"define" in code, "--emit=llvm: no function")
    for stage in ("import", "optimized", "scheduled", "lowered"):
        text = succeed(MOEC, "compile", MODEL, "--headers-only", level, f"--emit={stage}")
        checks.that(b"func" in text, f"--emit={stage}: no function in it")
        path = folder / f"{stage}.mlir"
        path.write_bytes(text)
        checks.that(succeed(MOEC, "compile", path, level, "--emit=llvm") == code, f"--emit={stage}: going on from its text gives other code")
    for source, *options in ((MODEL, "--headers-only"), (folder / "lowered.mlir",)):
        succeed(MOEC, "compile", source, level, "--emit=obj", "-o", folder / f"{source.stem}.o", *options)
    checks.that((folder / "lowered.o").read_bytes() == (folder / f"{MODEL.stem}.o").read_bytes(), "--emit=obj: going on from text gives another object")
    dump = folder / "stages"
    report = run(MOEC, "compile", MODEL, "-o", folder / "program", f"--dump-stages={dump}", "--report", "--strict")
    checks.that(len(list(dump.glob("*.mlir"))) >= 4, f"--dump-stages: {sorted(path.name for path in dump.glob('*'))}")
    words = (report.stdout + report.stderr).decode()
    checks.that(report.returncode == 0 and "moe.expert_ffn" in words, f"--report --strict: {words[:500]}")
    for model in ("mixtral", "qwen2_moe"):
        report = run(MOEC, "compile", GOLDEN / model, "-o", folder / "mapped", "--weights=map", "--report", "--strict")
        words = (report.stdout + report.stderr).decode()
        checks.that(report.returncode == 4 and "lie apart" in words, f"{model} --weights=map --strict: {words[:500]}")


if __name__ == "__main__":
    checks = Checks()
    checks.run_parts(check_alone, check_embedded, check_dynamic, check_same_bytes, check_calls, check_moved, check_library, check_inspect,
                     check_profile, check_text, check_run, check_run_forgets, check_run_packs, check_stages)
    checks.finish()
