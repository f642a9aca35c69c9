"""Runs moec and the programs it makes, and collects what is wrong with them."""

import contextlib
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TEST = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TEST / "golden"
MOEC = pathlib.Path(os.environ.get("MOEC", TEST.parent / "build/release/bin/moec"))
ALL = bool(os.environ.get("MOEC_TEST_ALL"))  # test/run.sh --all
OPTIONAL_PASSES = ["moe-fuse-gate", "moe-fuse-experts", "moe-fold-shared-experts", "lm-fuse-qkv", "lm-fuse-residual"]
HERE = pathlib.Path.cwd()  # the test's folder; some tests change to others
os.environ["XDG_CACHE_HOME"] = str(HERE / "cache")  # not the user's own
SECONDS = 900  # after which a command counts as hanging


class Failed(Exception):
    """A command that had to succeed did not."""


class Checks:
    """Counts checks and prints those that fail; `finish` ends the process."""

    def __init__(self):
        self.passed = self.failed = 0

    def that(self, good, words):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL  {words}", flush=True)
        return good

    @contextlib.contextmanager
    def about(self, words):
        """What fails inside as a whole is one failed check."""
        try:
            yield
        except Failed as failure:
            self.that(False, f"{words}: {failure}")

    def run_parts(self, *parts):
        """Runs part(checks, folder) for each, in a folder of its own."""
        for part in parts:
            with work_folder() as folder, self.about(part.__name__):
                try:
                    part(self, folder)
                except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                    raise Failed(f"{type(error).__name__}: {error}") from error

    def finish(self):
        print(f"{self.passed} checks right, {self.failed} wrong")
        sys.exit(1 if self.failed or not self.passed else 0)


def run(*command, timeout=SECONDS, **options):
    """The finished process, its output as bytes."""
    command = [str(part) for part in command]
    try:
        return subprocess.run(command, stdin=options.pop("stdin", subprocess.DEVNULL), capture_output=True,
                              timeout=timeout, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(command)}` still ran after {timeout} s") from None


def succeed(*command, **options):
    """Runs a command that has to end with status 0, and returns its standard output."""
    done = run(*command, **options)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()[-2000:]
        raise Failed(f"`{' '.join(map(str, command))}` ended with status {done.returncode}: {words}")
    return done.stdout


def compile_model(directory, program, *options):
    succeed(MOEC, "compile", directory, "-o", program, *options)
    return program


@functools.cache
def _compiled_once(directory, *options):
    """A folder with the files of one compile, which goes away with the process."""
    folder = tempfile.TemporaryDirectory(prefix="once-", dir=HERE)
    compile_model(directory, pathlib.Path(folder.name) / "program", *options)
    return folder


def copy_program(directory, folder, *options):
    """`folder`/program, with what lies beside it: a copy of what the first call with a directory and options compiled."""
    shutil.copytree(_compiled_once(directory, *options).name, folder, dirs_exist_ok=True)
    return folder / "program"


def evaluate(program, source, output, *options):
    """The path of what `program eval` wrote."""
    succeed(program, "eval", "--input", source, "--output", output, *options)
    return output


@contextlib.contextmanager
def work_folder():
    """A folder for one test's files below the current one, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="work-", dir=".") as name:
        yield pathlib.Path(name).resolve()
