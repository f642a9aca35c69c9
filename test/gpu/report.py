"""What run.sh's checks share: a line for each, and running a program."""

import subprocess
import sys

SECONDS = 1800  # after which a command counts as hanging


class Check:
    """Collects what is wrong in one check; made for comparison.py, which asks a check `that` something is good."""

    def __init__(self):
        self.wrong = []

    def that(self, good, words):
        if not good:
            self.wrong.append(words)
        return good


class Report:
    """Prints `ok`, `FAIL` or `skip` and what it is about."""

    def __init__(self):
        self.failed = 0

    def line(self, mark, words):
        print(f"{mark:<4}  {words}", flush=True)

    def check(self, words, wrong):
        """`wrong`: what is, none if all is right."""
        if not wrong:
            self.line("ok", words)
            return
        self.failed += 1
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        self.line("FAIL", f"{words}: {'; '.join(wrong[:3])}{more}")

    def skip(self, words):
        self.line("skip", words)

    def finish(self):
        sys.exit(1 if self.failed else 0)


def run(*command, **options):
    """(standard output, what is wrong: nothing, or how the command ended)"""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, **options)
    except subprocess.TimeoutExpired:
        return b"", [f"`{' '.join(command)}` still ran after {SECONDS} s"]
    except OSError as error:
        return b"", [f"`{' '.join(command)}` does not start: {error}"]
    if done.returncode == 0:
        return done.stdout, []
    said = " | ".join((done.stdout[-800:] + done.stderr[-800:]).decode(errors="replace").split("\n")).strip(" |")
    return done.stdout, [f"`{' '.join(command)}` ended with status {done.returncode}: {said}"]
