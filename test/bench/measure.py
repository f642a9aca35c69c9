"""What the benchmarks share: where they work, how a command is timed, and how figures are written."""

import os
import pathlib
import statistics
import subprocess
import sys
import time

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TEST / "end_to_end"))

FOLDER = TEST.parent / "build/bench"  # checkpoints and programs, kept between runs
MOEC = pathlib.Path(os.environ.get("MOEC", TEST.parent / "build/release/bin/moec"))


def timed(*command, **options):
    """(seconds, seconds of CPU time, peak bytes) of a command that has to succeed."""
    command = [str(part) for part in command]
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"`{' '.join(command)}` ended with status {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def output_of(*command):
    command = [str(part) for part in command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True).stdout


def spread(values, digits=1):
    """least / median / most"""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def machine():
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
