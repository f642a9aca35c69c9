"""Bad input of every kind: the exit status of each, a message that names the place, and never a signal.

Each case damages a copy of a golden model, or runs a good program in a bad way.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
from safetensors.numpy import load_file, save_file

from programs import GOLDEN, MOEC, Checks, compile_model, copy_program, evaluate, run, succeed, work_folder

USAGE, MODEL, UNSUPPORTED, MISMATCH, RESOURCE = 2, 3, 4, 5, 6
EXPERT = "model.layers.1.block_sparse_moe.experts.3.w2.weight"
SECONDS = 600  # only what hangs takes that long
LOOPS = "--reference"  # compiles in a third of the time, for programs whose code is of no matter


# ---------------------------------------------------------------- damaging a model

def header_of(path):
    """(header, offset of the data) of a safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), start


def write_file(path, header, data):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def edit_header(change):
    """Damages model.safetensors: `change(header)` alters the entries, the data stays."""
    def damage(directory):
        path = directory / "model.safetensors"
        header, start = header_of(path)
        data = path.read_bytes()[start:]
        write_file(path, change(header) or header, data)
    return damage


def edit_json(name, **values):
    def damage(directory):
        path = directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return damage


def edit_config(**values):
    return edit_json("config.json", **values)


def edit_index(name):
    """The second shard's tensors are said to lie in `name`."""
    def damage(directory):
        path = directory / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        index["weight_map"] = {tensor: name if "00002" in shard else shard for tensor, shard in index["weight_map"].items()}
        path.write_text(json.dumps(index))
    return damage


def replace_shard(make):
    def damage(directory):
        path = directory / "model.safetensors"
        path.unlink()
        make(path)
    return damage


def cut(name, bytes_):
    """Keeps `bytes_` of a file, or all but so many if negative."""
    def damage(directory):
        path = directory / name
        os.truncate(path, bytes_ if bytes_ >= 0 else path.stat().st_size + bytes_)
    return damage


def write(name, content):
    def damage(directory):
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return damage


def long_header(directory):
    with open(directory / "model.safetensors", "wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{")
        file.truncate(8 + 100_000_001)


def overlap(header):
    names = sorted(set(header) - {"__metadata__"}, key=lambda name: header[name]["data_offsets"][0])
    first, second = header[names[0]]["data_offsets"], header[names[1]]["data_offsets"]
    second[0] -= 4
    second[1] -= 4
    assert first[1] > second[0]


def reshape_expert(header):
    header[EXPERT]["shape"].reverse()


def rename_expert(header):
    header[EXPERT.replace("w2", "w9")] = header.pop(EXPERT)


def extra_tensor(header):
    header[EXPERT.replace("w2", "w9")] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def drop_expert(header):
    """The expert at the end of the data would leave a hole elsewhere: its bytes get a name that is skipped."""
    entry = header.pop(EXPERT)
    header["model.layers.1.self_attn.rotary_emb.inv_freq"] = entry


def retype_expert(kind, bytes_):
    def change(header):
        entry = header[EXPERT]
        entry["dtype"] = kind
        entry["shape"] = [entry["shape"][0], entry["shape"][1] * 4 // bytes_]
    return change


def store_expert_as_f16(directory):
    tensors = load_file(directory / "model.safetensors")
    save_file(tensors | {EXPERT: tensors[EXPERT].astype(np.float16)}, directory / "model.safetensors")


def past_the_end(header):
    last = max(set(header) - {"__metadata__"}, key=lambda name: header[name]["data_offsets"][1])
    header[last]["shape"][0] += 1
    header[last]["data_offsets"][1] += 4 * int(np.prod(header[last]["shape"][1:]))


def negative_shape(header):
    header[EXPERT]["shape"][0] = -header[EXPERT]["shape"][0]


def huge_shape(header):
    header[EXPERT]["shape"] = [1 << 62, 1 << 62]


def wrong_span(header):
    header[EXPERT]["shape"][0] += 1


def duplicate_key(header):
    text = json.dumps(header)
    return text[:-1] + ", " + json.dumps(EXPERT) + ": " + json.dumps(header[EXPERT]) + "}"


def bad_template(source):
    return edit_json("tokenizer_config.json", chat_template=source)


DEEP = "[" * 100_000 + "]" * 100_000

# what -> (golden case, damage, exit status, what the message has to contain)
MODELS = {
    "shard cut short": ("mixtral", cut("model.safetensors", -1000), MODEL, ["model.safetensors"]),
    "shard cut in its header": ("mixtral", cut("model.safetensors", 100), MODEL, ["model.safetensors", "header"]),
    "shard of a few bytes": ("mixtral", cut("model.safetensors", 5), MODEL, ["model.safetensors"]),
    "empty shard": ("mixtral", cut("model.safetensors", 0), MODEL, ["model.safetensors"]),
    "no shard": ("mixtral", lambda d: (d / "model.safetensors").unlink(), MODEL, ["model.safetensors"]),
    "header over 100 MB": ("mixtral", long_header, MODEL, ["model.safetensors", "header"]),
    "header that is no object": ("mixtral", edit_header(lambda h: "[1, 2, 3]"), MODEL, ["model.safetensors"]),
    "header nested deeply": ("mixtral", edit_header(lambda h: '{"a": ' + DEEP + "}"), MODEL, ["model.safetensors"]),
    "overlapping spans": ("mixtral", edit_header(overlap), MODEL, ["model.safetensors"]),
    "span past the end": ("mixtral", edit_header(past_the_end), MODEL, ["model.safetensors"]),
    "span of another size": ("mixtral", edit_header(wrong_span), MODEL, ["model.safetensors", EXPERT]),
    "negative size in a shape": ("mixtral", edit_header(negative_shape), MODEL, ["model.safetensors", EXPERT]),
    "huge shape": ("mixtral", edit_header(huge_shape), MODEL, ["model.safetensors", EXPERT]),
    "a key twice": ("mixtral", edit_header(duplicate_key), MODEL, ["model.safetensors", EXPERT]),
    "one expert of another shape": ("mixtral", edit_header(reshape_expert), MODEL, ["model.safetensors", EXPERT, "28", "40"]),
    "one expert of another dtype": ("mixtral", edit_header(retype_expert("F16", 2)), MODEL, [EXPERT]),
    "one expert of an odd dtype": ("mixtral", edit_header(retype_expert("I64", 8)), MODEL, [EXPERT]),
    "one expert of an unknown dtype": ("mixtral", edit_header(retype_expert("Q3", 4)), MODEL,
                                       ["model.safetensors", EXPERT, "Q3"]),
    "one expert stored unlike the others": ("mixtral", store_expert_as_f16, UNSUPPORTED, [EXPERT, "F16", "F32", "stored alike"]),
    "one expert missing": ("mixtral", edit_header(drop_expert), MODEL, [EXPERT]),
    "one expert under another name": ("mixtral", edit_header(rename_expert), MODEL, [EXPERT]),
    "a tensor that nothing reads": ("mixtral", edit_header(extra_tensor), UNSUPPORTED, ["experts.3.w9"]),
    "index naming an absent file": ("mixtral_sharded", edit_index("model-00009.safetensors"), MODEL,
                                    ["model-00009.safetensors"]),
    "index leading outside": ("mixtral_sharded", edit_index("../model.safetensors"), MODEL, ["../model.safetensors"]),
    "index naming an absolute path": ("mixtral_sharded", edit_index("/etc/hostname"), MODEL, ["/etc/hostname"]),
    "index that is no JSON": ("mixtral_sharded", cut("model.safetensors.index.json", -20), MODEL,
                              ["model.safetensors.index.json"]),
    "symlink leading elsewhere": ("mixtral", replace_shard(lambda p: p.symlink_to(GOLDEN / "mixtral/model.safetensors")), MODEL,
                                  ["model.safetensors", "--follow-links"]),
    "symlink to nothing": ("mixtral", replace_shard(lambda p: p.symlink_to("absent")), MODEL, ["model.safetensors"]),
    "a FIFO": ("mixtral", replace_shard(os.mkfifo), MODEL, ["model.safetensors"]),
    "a directory": ("mixtral", replace_shard(os.mkdir), MODEL, ["model.safetensors"]),
    "config cut short": ("mixtral", cut("config.json", -10), MODEL, ["config.json"]),
    "empty config": ("mixtral", cut("config.json", 0), MODEL, ["config.json"]),
    "config nested deeply": ("mixtral", write("config.json", DEEP), MODEL, ["config.json"]),
    "config that is a list": ("mixtral", write("config.json", "[]"), MODEL, ["config.json"]),
    "config that is a FIFO": ("mixtral", lambda d: ((d / "config.json").unlink(), os.mkfifo(d / "config.json")), MODEL,
                              ["config.json"]),
    "no config": ("mixtral", lambda d: (d / "config.json").unlink(), MODEL, ["config.json"]),
    "unknown architecture": ("mixtral", edit_config(architectures=["LlamaForCausalLM"], model_type="llama"), UNSUPPORTED,
                             ["config.json", "LlamaForCausalLM"]),
    "unsupported rope type": ("mixtral", edit_config(rope_scaling={"rope_type": "spiral", "factor": 2.0}), UNSUPPORTED,
                              ["config.json", "rope", "spiral"]),
    "more picks than experts": ("mixtral", edit_config(num_experts_per_tok=9), MODEL,
                                ["config.json", "num_experts_per_tok", "9", "8"]),
    "no picks": ("mixtral", edit_config(num_experts_per_tok=0), MODEL, ["config.json", "num_experts_per_tok"]),
    "negative size": ("mixtral", edit_config(hidden_size=-40), MODEL, ["config.json", "hidden_size", "-40"]),
    "zero layers": ("mixtral", edit_config(num_hidden_layers=0), MODEL, ["config.json", "num_hidden_layers"]),
    "huge size": ("mixtral", edit_config(intermediate_size=1 << 60), MODEL, ["config.json", "intermediate_size"]),
    "a size beyond 64 bits": ("mixtral", edit_config(vocab_size=10 ** 30), MODEL, ["config.json", "vocab_size"]),
    "size of another type": ("mixtral", edit_config(hidden_size="40"), MODEL, ["config.json", "hidden_size"]),
    "a size unlike the tensors": ("mixtral", edit_config(intermediate_size=30), MODEL, ["block_sparse_moe", "30", "28"]),
    "heads that do not divide": ("mixtral", edit_config(num_key_value_heads=3), MODEL, ["config.json", "num_key_value_heads"]),
    "another activation": ("mixtral", edit_config(hidden_act="gelu_new"), UNSUPPORTED, ["config.json", "hidden_act", "gelu_new"]),
    "quantised weights": ("mixtral", edit_config(quantization_config={"quant_method": "gptq", "bits": 4}), UNSUPPORTED,
                          ["config.json", "quantization_config"]),
    "broken tokenizer": ("mixtral", cut("tokenizer.json", -30), MODEL, ["tokenizer.json"]),
    "unsupported tokenizer": ("mixtral", edit_json("tokenizer.json", model={"type": "Unigram", "vocab": []}),
                              UNSUPPORTED, ["tokenizer.json", "Unigram"]),
    "template with a syntax error": ("mixtral", bad_template("line one\n{% for m in %}x{% endfor %}"), MODEL,
                                     ["chat_template", "2"]),
    "template that never ends": ("mixtral", bad_template("{% if true %}\n\nx"), MODEL, ["chat_template"]),
}


def check_models(checks, folder):
    for what, (case, damage, status, words) in MODELS.items():
        directory = folder / "model"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(GOLDEN / case, directory)
        damage(directory)
        refused(checks, what, status, words, MOEC, "compile", directory, "-o", folder / "program")
        checks.that(not (folder / "program").exists(), f"{what}: left a program behind")


def refused(checks, what, status, words, *command, **options):
    """The command has to end with this status (or one of these) and a message with these words."""
    with checks.about(what):
        done = run(*command, timeout=SECONDS, **options)
        statuses = status if isinstance(status, tuple) else (status,)
        said = done.stderr.decode(errors="replace")
        checks.that(done.returncode in statuses,
                    f"{what}: status {done.returncode}, expected {' or '.join(map(str, statuses))}: {said.strip()[-500:]}")
        missing = [word for word in words if word not in said]
        checks.that(not missing, f"{what}: the message does not say {missing}: {said.strip()[-500:]}")
        checks.that(len(said) < 4000, f"{what}: a message of {len(said)} bytes")


# ---------------------------------------------------------------- outputs

def check_outputs(checks, folder):
    model = GOLDEN / "mixtral"
    refused(checks, "output in no directory", USAGE, ["absent"], MOEC, "compile", model, "-o", folder / "absent/program")
    blocked = folder / "file"
    blocked.write_text("")
    refused(checks, "output below a file", USAGE, ["file"], MOEC, "compile", model, "-o", blocked / "program")
    refused(checks, "output where nobody may write", USAGE, ["/proc/program"], MOEC, "compile", model, "-o", "/proc/program")
    refused(checks, "no model", MODEL, ["absent"], MOEC, "compile", folder / "absent", "-o", folder / "program")
    refused(checks, "unknown option", USAGE, ["--activations"], MOEC, "compile", model, "-o", folder / "program",
            "--activations=f7")
    refused(checks, "headers only, but a program", USAGE, ["--headers-only"], MOEC, "compile", model, "-o", folder / "program",
            "--headers-only")
    for option, *others in (("--strip", "--emit=obj"), ("--link=static", "--emit=shared"), ("--linker=lld", "--emit=llvm"),
                            ("--threads=2", "--emit=lowered"), ("--threads=2", "--weights=map"), ("--reference", "--emit=optimized"), ("--threads=0",),
                            ("--quantize=all:int4", "--emit=import"), ("--quantize=all:int4", "--weights=map"), ("--quantize=all:int3",),
                            ("--quantize=router:int4",), ("--mla=expanded",)):
        refused(checks, f"{option} {others}", USAGE, [option.split("=")[0]], MOEC, "compile", model, "-o", folder / "out", option, *others)
    module = folder / "module.mlir"
    module.write_bytes(succeed(MOEC, "compile", model, "--emit=scheduled"))
    mapped = folder / "mapped.mlir"
    mapped.write_bytes(succeed(MOEC, "compile", model, "--emit=scheduled", "--weights=map"))
    refused(checks, "--weights=pack of a mapped module", USAGE, ["--weights"], MOEC, "compile", mapped, "--emit=lowered", "--weights=pack")
    refused(checks, "moec run --threads", USAGE, ["--threads"], MOEC, "run", "--threads", "2", model, "hello")
    refused(checks, "moec run --quantize of mapped weights", USAGE, ["--quantize", "--weights=pack"], MOEC, "run", "--quantize=all:int4",
            "--weights=map", model, "hello")
    refused(checks, "moec run --weights=map of what cannot be mapped", UNSUPPORTED, ["`model.layers.{l}.self_attn.kv_b_proj.weight` is stored transposed", "--weights=pack"], MOEC, "run",
            "--weights=map", GOLDEN / "deepseek_v3", "hello", env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")})
    for option in ("--reference", "--weights=map", "--context=8", "--follow-links", "--headers-only", "--quantize=all:int4", "--mla=expanded"):
        refused(checks, f"{option} of a module", USAGE, [option.split("=")[0]], MOEC, "compile", module, "--emit=lowered", option)
    own = folder / "own"
    shutil.copytree(model, own)
    weights = (own / "model.safetensors").read_bytes()
    refused(checks, "output over the model", USAGE, ["own/model.safetensors"], MOEC, "compile", own, "--emit=import", "-o",
            own / "model.safetensors")
    checks.that((own / "model.safetensors").read_bytes() == weights, "a refused compile changed the model's own file")
    refused(checks, "unknown command", USAGE, ["'frob'", "compile, run, inspect"], MOEC, "frob")
    # A failed compile leaves the old file alone.
    old = folder / "old"
    old.write_text("old")
    broken = folder / "broken"
    shutil.copytree(model, broken)
    edit_header(drop_expert)(broken)
    refused(checks, "failed compile over an old file", MODEL, [EXPERT], MOEC, "compile", broken, "-o", old)
    checks.that(old.read_text() == "old", "a failed compile changed the old output")


def check_streams(checks, folder):
    """A standard stream that nobody reads, or that is closed, changes neither results nor statuses."""
    model = GOLDEN / "mixtral"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([MOEC, "inspect", folder / "absent"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=full)
        checks.that(done.returncode == MODEL, f"messages nobody reads: status {done.returncode}")
        done = subprocess.run([MOEC, "compile", model, LOOPS, "--report", "-o", folder / "program"], stdin=subprocess.DEVNULL, stderr=full)
        checks.that(done.returncode == 0, f"a report nobody reads: status {done.returncode}")
    module = folder / "module"
    done = subprocess.run([MOEC, "compile", model, "--emit=optimized", "--report", "-o", module], preexec_fn=lambda: os.close(2))
    checks.that(done.returncode == 0 and module.read_bytes().startswith(b"module"),
                f"a report without stderr: status {done.returncode}, {module.read_bytes()[:60]!r}")


def check_own_files(checks, folder):
    """Results replace neither the weights that a program reads nor the module that moec reads."""
    model = shutil.copytree(GOLDEN / "mixtral", folder / "model")
    mapped = compile_model(model, folder / "mapped", LOOPS, "--weights=map")
    packed = copy_program(GOLDEN / "mixtral", folder, "--activations=f32")
    elsewhere = folder / "elsewhere"
    shutil.copy(folder / "program.weights", elsewhere)
    link = folder / "link"
    link.symlink_to(model / "model.safetensors")
    for program, options, path in ((mapped, [], model / "model.safetensors"), (mapped, [], link), (packed, [], folder / "program.weights"),
                                   (packed, ["--weights-file", elsewhere], elsewhere)):
        before = path.read_bytes()
        refused(checks, f"eval over {path.name}", USAGE, ["--output", path.name], program, "eval", "--input",
                model / "golden.safetensors", "--output", path, *options)
        checks.that(path.read_bytes() == before, f"eval over {path.name}: it was changed")
    module = folder / "module.mlir"
    module.write_bytes(succeed(MOEC, "compile", model, "--emit=import"))
    before = module.read_bytes()
    refused(checks, "output over the module", USAGE, ["module.mlir"], MOEC, "compile", module, "--emit=obj", "-o", module)
    checks.that(module.read_bytes() == before, "output over the module: it was changed")


def check_signals(checks, folder):
    """A compile that a signal ends leaves no half-written file behind."""
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGSEGV, -signal.SIGSEGV)):
        # A sanitized compiler would take the last signal for a fault of its own.
        process = subprocess.Popen([MOEC, "compile", GOLDEN / "mixtral", "-o", folder / "program"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"})
        while process.poll() is None and not list(folder.glob(".program.*")):
            time.sleep(0.005)
        process.send_signal(number)
        found = process.wait(SECONDS)
        left = sorted(path.name for path in folder.iterdir())
        # What a pass may have brought about is told as its failure, with a reproducer.
        right = [(status, [])] + [(1, ["program.reproducer.mlir"])] * (number == signal.SIGSEGV)
        checks.that((found, left) in right, f"{number.name}: status {found}, left {left}, expected one of {right}")
        (folder / "program.reproducer.mlir").unlink(missing_ok=True)


def check_full_disk(checks, folder):
    """On small file systems, where user namespaces allow them: the program does not fit, or only its weights do not."""
    mount = folder / "small"
    mount.mkdir()

    def on_small(size, *command):
        script = f'mount -t tmpfs -o size={size} none "{mount}" || exit 77; exec "$@"'
        return ["unshare", "-rm", "sh", "-c", script, "sh", *command]

    if run(*on_small("64k", "true")).returncode != 0:
        print("skipped: a full disk, as this user may not mount a file system")
        return
    refused(checks, "no room for the help", RESOURCE, ["stdout"], "sh", "-c", f"{MOEC} --help > /dev/full")
    refused(checks, "no room for the program", RESOURCE, ["No space left"], *on_small("64k", MOEC, "compile", GOLDEN / "mixtral", LOOPS, "-o",
                                                                               mount / "program"))
    dictionary = GOLDEN.parent.parent / "examples/dictionary/model"
    refused(checks, "no room for the weights", RESOURCE, ["--weights=map"], *on_small("10m", MOEC, "compile", dictionary, LOOPS, "-o",
                                                                                       mount / "program"))


SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int fallocate(int file, int mode, off_t from, off_t bytes) { errno = EOPNOTSUPP; return -1; }
static int writes;
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
  const char *command = getenv("ON_WRITE");
  if (__sync_fetch_and_add(&writes, 1) == 0 && command && system(command)) return -1;
  if (writes > 1 && !command) { errno = ENOSPC; return -1; }
  return syscall(SYS_pwrite64, file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) { return pwrite(file, bytes, count, at); }
"""


def check_packing(checks, folder):
    """The disk fills, or the folder goes, while weights are packed: by a library between moec and the system."""
    (folder / "shim.c").write_text(SHIM)
    succeed("cc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c")
    environment = os.environ | {"LD_PRELOAD": str(folder / "shim.so")}
    out = folder / "out"
    for mode in ("pack", "embed"):
        out.mkdir()
        for name in ("program", "program.weights"):
            (out / name).write_text("old")
        command = [MOEC, "compile", GOLDEN / "mixtral", LOOPS, "-o", out / "program", f"--weights={mode}"]
        refused(checks, f"{mode}: the disk fills", RESOURCE, ["No space left"], *command, env=environment)
        left = {path.name: path.read_bytes() for path in out.iterdir()}
        checks.that(left == {"program": b"old", "program.weights": b"old"}, f"{mode}: the disk fills: left {sorted(left)}")
        refused(checks, f"{mode}: the folder goes", USAGE, ["cannot be written"], *command,
                env=environment | {"ON_WRITE": f"rm -r '{out}'"})
        checks.that(not out.exists(), f"{mode}: the folder goes: it is there")
    succeed("sh", "-c", 'ulimit -f 100; "$@"; test $? -eq 6', "sh", MOEC, "compile", GOLDEN / "mixtral", LOOPS, "-o", folder / "program")
    checks.that(not list(folder.glob("*program*")), f"a limit on file sizes: left {sorted(folder.glob('*program*'))}")


# ---------------------------------------------------------------- programs and their weights

def check_weights(checks, folder):
    model = folder / "model"
    shutil.copytree(GOLDEN / "mixtral", model)
    source = GOLDEN / "mixtral/golden.safetensors"
    program = copy_program(GOLDEN / "mixtral", folder, "--activations=f32")
    packed = folder / "program.weights"
    mapped = compile_model(model, folder / "mapped", LOOPS, "--weights=map")
    before = evaluate(program, source, folder / "before.safetensors").read_bytes()
    ask = ["eval", "--input", source, "--output", folder / "out.safetensors"]

    whole = packed.read_bytes()
    packed.write_bytes(whole[:-4096] if len(whole) > 8192 else whole[:-64])
    refused(checks, "packed file cut short", MISMATCH, ["program.weights"], program, *ask)
    packed.write_bytes(b"")
    refused(checks, "empty packed file", MISMATCH, ["program.weights"], program, *ask)
    packed.unlink()
    for option, wrong in (("--weights-file", mapped), ("--model-dir", program)):
        refused(checks, f"{option} where it is of no use", USAGE, [str(folder), "--weights="], wrong, *ask, option, folder)
    refused(checks, "no packed file", MISMATCH, ["program.weights", "--weights-file"], program, *ask)
    other = compile_model(GOLDEN / "mixtral_bf16", folder / "other", LOOPS)
    shutil.copy(folder / "other.weights", packed)
    refused(checks, "packed file of another program", MISMATCH, ["program.weights"], program, *ask)
    other.unlink()

    # Weights that change after the compile, the header staying as it was.
    path = model / "model.safetensors"
    data, (_, start) = bytearray(path.read_bytes()), header_of(path)
    for at in range(start + 3, len(data), 4):  # the sign of every number
        data[at] ^= 0x80
    path.write_bytes(data)
    refused(checks, "weights changed after the compile", MISMATCH, ["model.safetensors"], mapped, *ask)
    again = compile_model(model, folder / "program", "--activations=f32")
    after = evaluate(again, source, folder / "after.safetensors").read_bytes()
    checks.that(before != after, "changed weights: the old pack was served")
    path.unlink()
    refused(checks, "weights gone after the compile", MISMATCH, ["model.safetensors"], mapped, *ask)


def check_links(checks, folder):
    """A program whose weights are mapped follows links by the rule that it was compiled with, wherever the model is."""
    model, source = folder / "model", GOLDEN / "mixtral/golden.safetensors"
    shutil.copytree(GOLDEN / "mixtral", model)
    strict = compile_model(model, folder / "strict", LOOPS, "--weights=map")
    wanted = evaluate(strict, source, folder / "out.safetensors").read_bytes()
    (model / "model.safetensors").rename(folder / "elsewhere")
    (model / "model.safetensors").symlink_to(folder / "elsewhere")
    refused(checks, "a shard became a link", MISMATCH, ["model.safetensors", "--follow-links"], strict, "eval", "--input", source,
            "--output", folder / "out.safetensors")
    program = compile_model(model, folder / "program", LOOPS, "--weights=map", "--follow-links")
    checks.that(evaluate(program, source, folder / "out.safetensors").read_bytes() == wanted, "--follow-links: other bytes")
    model.rename(folder / "moved")
    evaluate(program, source, folder / "out.safetensors", "--model-dir", folder / "moved")


# ---------------------------------------------------------------- prompts and eval's input

def check_prompts(checks, folder):
    model = GOLDEN / "qwen3_moe"
    program = compile_model(model, folder / "program", LOOPS)
    copy = shutil.copytree(model, folder / "copy")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        before = (copy / name).read_bytes()
        refused(checks, f"output over {name}", USAGE, ["-o", name], MOEC, "compile", copy, "-o", copy / name)
        checks.that((copy / name).read_bytes() == before, f"output over {name}: it was changed")
    refused(checks, "empty prompt", USAGE, ["prompt"], program, "generate", "")
    refused(checks, "invalid UTF-8", USAGE, ["UTF-8"], program, "generate", b"abc\xff\xfe".decode(errors="surrogateescape"))
    refused(checks, "prompt longer than the context", USAGE, ["128"], program, "generate", "word " * 4000)
    refused(checks, "absent prompt file", USAGE, ["absent"], program, "generate", "--file", folder / "absent")
    (folder / "bad.jinja").write_text("one\ntwo {{ raise_exception('no such role') }}")
    refused(checks, "template that raises", USAGE, ["no such role"], program, "generate", "--chat-template",
            folder / "bad.jinja", "hello")
    (folder / "worse.jinja").write_text("one\n{% endfor %}")
    refused(checks, "template with an error", USAGE, ["worse.jinja", "2"], program, "generate", "--chat-template",
            folder / "worse.jinja", "hello")
    for option, value in (("--temperature", "hot"), ("--max-tokens", "-3"), ("--top-p", "7"), ("--threads", "0")):
        refused(checks, f"{option} {value}", USAGE, [option], program, "generate", option, value, "hello")
    refused(checks, "unknown option", USAGE, ["--frobnicate"], program, "generate", "--frobnicate", "hello")

    golden = load_file(model / "golden.safetensors")
    vocabulary = golden["seq0.logits"].shape[1]
    inputs = {"id out of range": np.array([1, vocabulary, 2]), "negative id": np.array([1, -1, 2]),
              "longer than the context": np.ones(129, np.int64), "no ids": np.zeros(0, np.int64),
              "ids of another type": np.ones(4, np.float32), "ids of another rank": np.ones((2, 4), np.int64)}
    for what, ids in inputs.items():
        save_file({"s.input_ids": ids}, folder / "in.safetensors")
        refused(checks, f"eval: {what}", USAGE, ["s.input_ids"], program, "eval", "--input", folder / "in.safetensors",
                "--output", folder / "out.safetensors")
    refused(checks, "eval: absent input", USAGE, ["absent"], program, "eval", "--input", folder / "absent", "--output",
            folder / "out.safetensors")
    (folder / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    refused(checks, "eval: malformed input", USAGE, ["cut.safetensors"], program, "eval", "--input", folder / "cut.safetensors",
            "--output", folder / "out.safetensors")
    refused(checks, "eval: output is the input", USAGE, ["--output", "cut.safetensors"], program, "eval", "--input",
            folder / "cut.safetensors", "--output", folder / "cut.safetensors")
    refused(checks, "eval: output is the weights", USAGE, ["--output", "program.weights"], program, "eval", "--input",
            model / "golden.safetensors", "--output", folder / "program.weights")
    refused(checks, "eval: unwritable output", USAGE, ["absent"], program, "eval", "--input", model / "golden.safetensors",
            "--output", folder / "absent/out.safetensors")
    save_file({"s.input_ids": np.ones(120, np.int64)}, folder / "in.safetensors")
    refused(checks, "eval: greedy tokens beyond the context", USAGE, ["s.input_ids", "128"], program, "eval", "--input",
            folder / "in.safetensors", "--output", folder / "out.safetensors", "--greedy", "20")
    broken = shutil.copytree(model, folder / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][3] = np.nan
    save_file(tensors, broken / "model.safetensors")
    refused(checks, "eval: logits that are no numbers", MODEL, ["the logits after token 0 of seq0 are not finite"],
            compile_model(broken, folder / "nan", "--activations=f32"), "eval", "--input", model / "golden.safetensors", "--output",
            folder / "nan.safetensors")
    checks.that((folder / "nan.safetensors").exists(), "eval: logits that are no numbers: they were not written")
    check_text_needs_tokenizer(checks, folder, model)
    check_closed_pipe(checks, program)


def check_text_needs_tokenizer(checks, folder, model):
    bare = folder / "bare"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    program = compile_model(bare, folder / "silent", LOOPS)
    refused(checks, "text without a tokenizer", MODEL, ["tokenizer"], program, "generate", "hello")


def check_closed_pipe(checks, program):
    """A reader that leaves early is no failure."""
    process = subprocess.Popen([program, "generate", "--raw", "--temperature", "0", "--max-tokens", "64", "hello"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    checks.that(process.wait(SECONDS) == 0, f"closed pipe: status {process.returncode}: {said[-300:]}")


# ---------------------------------------------------------------- the processor

def check_processor(checks, folder):
    """A program for a feature that no processor has: the name of one it needs is changed in its manifest."""
    program = copy_program(GOLDEN / "mixtral", folder, "--activations=f32")
    code = program.read_bytes()
    features = json.loads(succeed(program, "inspect", "--json"))["cpu"]["levels"][0]["features"]
    missing = features[-1][:-1] + "?"
    program.write_bytes(code.replace(json.dumps(features[-1]).encode(), json.dumps(missing).encode()))
    refused(checks, "a CPU that lacks a feature", MISMATCH, [missing], program, "eval", "--input",
            GOLDEN / "mixtral/golden.safetensors", "--output", folder / "out.safetensors")
    succeed(program, "inspect")


if __name__ == "__main__":
    checks = Checks()
    for part in (check_models, check_outputs, check_streams, check_own_files, check_signals, check_full_disk, check_packing, check_weights,
                 check_links, check_prompts, check_processor):
        with work_folder() as folder, checks.about(part.__name__), contextlib.chdir(folder):
            part(checks, folder)
    checks.finish()
