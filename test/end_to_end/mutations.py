"""Changes a golden case's config.json one key at a time: the answer follows, or moec refuses the key by its name.

    mutations.py CASE...

What follows is compared with the plain float64 computation beside the golden data, under the same change. With
MOEC_TEST_ALL=1 every change of mutation_tables.py, else those that are not marked `more`. What is tested is how a configuration is
read: programs are of plain loops, which are soon compiled.
"""

import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

from comparison import TOLERANCE, compare_outputs
from mutation_tables import MUTATIONS, changed
from programs import ALL, GOLDEN, MOEC, Checks, compile_model, evaluate, run, work_folder

sys.path.append(str(GOLDEN))
import check_reference  # noqa: E402

MODEL, UNSUPPORTED = 3, 4
SEQUENCE = "seq1"


def write_model(directory, config, tensors):
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, directory / "model.safetensors")
    return directory


def reference(directory, ids):
    model = check_reference.Model(directory)
    with np.errstate(over="ignore"):
        want = {f"{SEQUENCE}.logits": model.logits(ids)}
    for layer, (experts, weights) in model.routing.items():
        want |= {f"{SEQUENCE}.router.{layer}.experts": experts, f"{SEQUENCE}.router.{layer}.weights": weights}
    return want


def distance(one, other):
    """Of logits, relative to the largest."""
    one, other = (answer[f"{SEQUENCE}.logits"] for answer in (one, other))
    return np.abs(one.astype(np.float64) - other).max() / np.abs(other).max()


class Case:
    """A golden case as it is, and what it answers."""

    def __init__(self, name, folder):
        self.folder = folder
        self.config = json.loads((GOLDEN / name / "config.json").read_text())
        self.tensors = {}
        for path in sorted((GOLDEN / name).glob("model*.safetensors")):
            self.tensors |= load_file(path)
        self.ids = load_file(GOLDEN / name / "golden.safetensors")[f"{SEQUENCE}.input_ids"]
        save_file({f"{SEQUENCE}.input_ids": self.ids}, folder / "in.safetensors")
        self.answer = self.ask(self.write("plain", {}))

    def write(self, name, change, edit=None):
        tensors = dict(self.tensors)
        if edit:
            edit(tensors)
        return write_model(self.folder / name, changed(self.config, change), tensors)

    def ask(self, directory):
        program = compile_model(directory, self.folder / "program", "--activations=f32", "--reference")
        return load_file(evaluate(program, self.folder / "in.safetensors", self.folder / "out.safetensors", "--routing"))


def check_refusal(checks, what, case, mutation):
    done = run(MOEC, "compile", case.write("model", mutation.change, mutation.edit), "-o", case.folder / "program")
    words = done.stderr.decode(errors="replace")
    checks.that(done.returncode in (MODEL, UNSUPPORTED) and mutation.names in words,
                f"{what}: status {done.returncode}, wanted {MODEL} or {UNSUPPORTED} and {mutation.names}: {words[-500:]}")


def check_mutation(checks, what, case, mutation):
    if mutation.names:
        check_refusal(checks, what, case, mutation)
        return
    got = case.ask(case.write("model", mutation.change, mutation.edit))
    if mutation.is_same:
        checks.that(set(got) == set(case.answer) and all(np.array_equal(got[name], case.answer[name]) for name in got),
                    f"{what}: the answer changed by {distance(got, case.answer):.2e}, wanted none")
        return
    compare_outputs(checks, what, got, reference(case.write("reference", mutation.means, mutation.edit_reference), case.ids), "f32")
    checks.that(distance(got, case.answer) > TOLERANCE["f32"]["logits"], f"{what}: the answer stayed as it was")


if __name__ == "__main__":
    checks = Checks()
    for name in sys.argv[1:] or MUTATIONS:
        with work_folder() as folder, checks.about(name):
            case = Case(name, folder)
            for mutation in MUTATIONS[name]:
                if ALL or not mutation.more:
                    with checks.about(f"{name} {mutation}"):
                        check_mutation(checks, f"{name} {mutation}", case, mutation)
    checks.finish()
