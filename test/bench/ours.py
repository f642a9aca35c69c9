"""Our own part of speed.py: a checkpoint becomes a program for each format, and the program measures itself."""

import json
import subprocess

from measure import FOLDER, MOEC, output_of, seconds_until, timed
from work import Refused, Sample


def newest_part():
    """When the compiler, or a library that programs are linked with, was made."""
    libraries = MOEC.parent.parent / "lib/moec"
    return max(path.stat().st_mtime for path in [MOEC, *libraries.rglob("*.a"), *libraries.rglob("*.o")])


class Moec:
    """Programs of this compiler."""
    name = "moec"
    formats = {"bf16": ["bf16"], "8bit": ["int8"], "4bit": ["int4"]}
    options = {"bf16": [], "int8": ["--quantize=all:int8"], "int4": ["--quantize=all:int4"]}  # of `moec compile`

    def program(self, model, kind):
        return FOLDER / f"{model}-{kind}.program"

    def prepare(self, model, kind):
        """Compiles the program where it is missing or older than the compiler and what it links. Refused, where moec does not know the format."""
        program = self.program(model, kind)
        told = program.with_suffix(".json")
        if program.exists() and told.exists() and told.stat().st_mtime > newest_part():
            return json.loads(told.read_text())
        command = [MOEC, "compile", "--quiet", *self.options[kind], FOLDER / model]
        # Headers alone tell whether the options are known.
        tried = subprocess.run([*command, "--headers-only", "--emit=optimized", "-o", "/dev/null"], capture_output=True, text=True)
        if tried.returncode in (2, 4):
            raise Refused(tried.stderr.strip().splitlines()[0])
        seconds, work, peak = timed(*command, "-o", program)
        size = sum(path.stat().st_size for path in (program, FOLDER / f"{program.name}.weights") if path.exists())
        made = {"seconds": seconds, "cpu_seconds": work, "peak": peak, "bytes": size}
        told.write_text(json.dumps(made))
        return made

    def run(self, model, kind, work, threads):
        command = [self.program(model, kind), "bench", "--json", "--threads", threads, "-r", work.repetitions()]
        if work.kind == "prefill":
            command += ["-p", work.tokens, "-n", 0]
        else:
            command += ["-p", 0, "-n", work.tokens, "-d", work.depth, "-b", work.batch]
        return parse_bench(output_of(*command))

    def start(self, model, kind, threads):
        """Seconds from the start of the process to its first token."""
        return seconds_until("{", self.program(model, kind), "generate", "--json", "--raw", "--temperature", 0, "--max-tokens", 1,
                             "--threads", threads, "a")


def parse_bench(text):
    """The only test of what `PROGRAM bench --json` prints."""
    told = json.loads(text)
    [test] = told["tests"]
    return Sample(test["samples"], told["peak_bytes"], test["bytes_per_token"])
