"""Compares eval's output with reference numbers: the one table of tolerances, and what is compared how."""

import json

import numpy as np

# Per type of activations. f32: largest error relative to the largest logit. bf16: divergence from the reference, in nats.
TOLERANCE = {"f32": {"logits": 1e-4, "weights": 1e-4}, "bf16": {"mean": 3e-4, "largest": 2e-3, "margin": 0.1}}

# bf16 keeps 8 bits: experts whose weights differ by less than this share of them may stand in for each other.
TIE = 0.03


def log_softmax(logits):
    logits = logits.astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def compare_logits(checks, what, got, want, activations):
    if not checks.that(got.shape == want.shape, f"{what}: shape {list(got.shape)}, expected {list(want.shape)}"):
        return
    if not checks.that(np.isfinite(got).all(), f"{what}: not all logits are finite"):
        return
    tolerance = TOLERANCE[activations]
    if activations == "f32":
        error = np.abs(got - want.astype(np.float64)).max() / np.abs(want).max()
        checks.that(error <= tolerance["logits"],
                    f"{what}: error {error:.2e} of the largest logit, allowed {tolerance['logits']:.0e}")
        return
    reference, ours = log_softmax(want), log_softmax(got)
    divergence = (np.exp(reference) * (reference - ours)).sum(-1)
    checks.that(divergence.mean() <= tolerance["mean"],
                f"{what}: mean divergence {divergence.mean():.2e}, allowed {tolerance['mean']:.0e}")
    checks.that(divergence.max() <= tolerance["largest"],
                f"{what}: divergence {divergence.max():.2e} at row {divergence.argmax()}, allowed {tolerance['largest']:.0e}")
    best = np.sort(want, -1)
    clear = best[:, -1] - best[:, -2] > tolerance["margin"]
    wrong = np.flatnonzero(clear & (got.argmax(-1) != want.argmax(-1)))
    checks.that(len(wrong) == 0, f"{what}: another best token in rows {wrong[:5].tolist()}")


def compare_routing(checks, what, experts, weights, want_experts, want_weights, activations):
    """f32: the same experts in the same order, and their weights. bf16: the same sets."""
    if not checks.that(experts.shape == want_experts.shape,
                       f"{what}: shape {list(experts.shape)}, expected {list(want_experts.shape)}"):
        return
    ordered = activations == "f32"
    same = experts == want_experts if ordered else np.sort(experts, -1) == np.sort(want_experts, -1)
    wrong = np.flatnonzero(~same.all(-1))
    if not checks.that(len(wrong) == 0, f"{what}: other experts in {len(wrong)} rows, first {wrong[:5].tolist()}"):
        return
    if ordered and want_weights is not None:
        error = np.abs(weights - want_weights.astype(np.float64)).max()
        checks.that(error <= TOLERANCE["f32"]["weights"], f"{what}: weights off by {error:.2e}")


def first_tie(got, want, sequence):
    """The first row of `sequence` where, in some layer, experts stand in for others that weigh as much; past the last row if none."""
    first = len(want[f"{sequence}.logits"])
    for name in want:
        if not (name.startswith(f"{sequence}.router.") and name.endswith(".experts")):
            continue
        weights = name.removesuffix("experts") + "weights"
        for row in range(min(first, len(got[name]), len(want[name]))):
            came, went = ([weight for expert, weight in zip(one[name][row], one[weights][row]) if expert not in other[name][row]]
                          for one, other in ((got, want), (want, got)))
            if came and np.allclose(sorted(came), sorted(went), rtol=TIE, atol=0):
                first = row
                break
    return first


def compare_outputs(checks, what, got, want, activations, ties=False):
    """Eval's output with --routing and --greedy against golden.safetensors or the output of another lowering.

    With `ties`, rows of a sequence are left out from the one on where bf16 activations took the other of two experts whose
    scores are too near to tell apart; most rows are to be compared all the same.
    """
    expected = {name for name in want if not name.endswith("input_ids")}
    checks.that(set(got) == expected, f"{what}: tensors {sorted(set(got) ^ expected)[:4]} on one side only")
    rows = {name.removesuffix(".logits"): len(want[name]) for name in expected if name.endswith(".logits")}
    compared = dict(rows)
    if ties and activations == "bf16" and set(got) == expected:
        compared = {sequence: first_tie(got, want, sequence) for sequence in rows}
        checks.that(2 * sum(compared.values()) >= sum(rows.values()), f"{what}: ties in rows {compared} of {rows}")
    for name in sorted(expected & set(got)):
        count = compared[name.split(".")[0]]
        if count == 0:
            continue
        if name.endswith(".logits"):
            compare_logits(checks, f"{what}: {name}", got[name][:count], want[name][:count], activations)
        elif name.endswith(".experts"):
            weights = name.removesuffix("experts") + "weights"
            compare_routing(checks, f"{what}: {name}", got[name][:count], got[weights][:count], want[name][:count],
                            want[weights][:count], activations)
        elif name.endswith(".greedy_ids") and activations == "f32":
            checks.that(np.array_equal(got[name], want[name]), f"{what}: {name} differ")


def check_form(checks, what, path):
    """That eval's file is as the command promises: sorted by name, f32 and i64 only, no metadata, no holes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size], object_pairs_hook=list)
    names = [name for name, _ in header]
    checks.that(names == sorted(names), f"{what}: tensors are not sorted by name")
    checks.that("__metadata__" not in names, f"{what}: has metadata")
    for name, entry in header:
        kind = "I64" if name.endswith(("experts", "greedy_ids")) else "F32"
        checks.that(dict(entry)["dtype"] == kind, f"{what}: {name} is {dict(entry)['dtype']}, expected {kind}")
