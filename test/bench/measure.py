"""What the benchmarks share: where they work, how a command is timed, how the machine's limits are read, and how figures are written."""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TEST / "end_to_end"))

FOLDER = TEST.parent / "build/bench"  # checkpoints and programs, kept between runs
CPUS = len(os.sched_getaffinity(0))
MOEC = pathlib.Path(os.environ.get("MOEC", TEST.parent / "build/release/bin/moec"))


def timed(*command, **options):
    """(seconds, seconds of CPU time, peak bytes) of a command that has to succeed."""
    command = [str(part) for part in command]
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **{"stdout": subprocess.DEVNULL} | options)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"`{' '.join(command)}` ended with status {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def output_of(*command):
    return output_and_peak(*command)[0]


def output_and_peak(*command, **options):
    """(what it prints, peak bytes) of a command that has to succeed; what it says of a failure is printed."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            _, _, peak = timed(*command, stdout=output, **{"stderr": errors} | options)
        except SystemExit:
            errors.seek(0)
            print(errors.read()[-2000:], file=sys.stderr)
            raise
        output.seek(0)
        return output.read(), peak


def seconds_until(mark, *command):
    """How long after its start a command, which has to succeed, has printed `mark`."""
    command, text = [str(part) for part in command], b""
    start, taken = time.monotonic(), None
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while block := os.read(process.stdout.fileno(), 1 << 16):
            text += block
            if taken is None and mark.encode() in text:
                taken = time.monotonic() - start
    if process.returncode != 0 or taken is None:
        sys.exit(f"`{' '.join(command)}` ended with status {process.returncode}, {'without' if taken is None else 'after'} '{mark}'")
    return taken


def parse_limits(text, threads):
    """(bytes read per second, operations per second, of which kind) for a number of threads, of what machine_limits prints:
    medians, and of the ways of reading the fastest."""
    read, peaks = 0.0, {}
    for line in text.splitlines():
        found = re.match(rf"(.*?) +{threads} threads? +[\d.]+ / +([\d.]+) / ", line)
        if found and found[1].startswith("read"):
            read = max(read, float(found[2]) * 1e9)
        elif found:
            peaks[found[1].split()[0]] = float(found[2]) * 1e9
    kind = "bf16" if "bf16" in peaks else "f32"
    if not read or kind not in peaks:
        sys.exit(f"machine_limits says nothing of {threads} threads")
    return read, peaks[kind], kind


def limits(threads):
    """What `parse_limits` says of this minute; more threads than cores have the limits of all cores."""
    program = FOLDER / "machine_limits"
    source = TEST / "bench/machine_limits.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["g++", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    return parse_limits(output_of(program, 512, 3), min(threads, CPUS))


@contextlib.contextmanager
def neighbours(count):
    """Busy processes beside what is measured."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def spread(values, digits=1):
    """least / median / most"""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def machine():
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{cpu}, {CPUS} CPUs, load {os.getloadavg()[0]:.1f}"
