"""Compares eval's output with reference numbers: the one table of tolerances, and what is compared how."""

import json

import numpy as np

# Per type of activations. f32: largest error relative to the largest logit. bf16: divergence from the reference, in nats.
TOLERANCE = {"f32": {"logits": 1e-4, "weights": 1e-4}, "bf16": {"mean": 3e-4, "largest": 2e-3, "margin": 0.1}}


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


def compare_golden(checks, what, got, golden, activations):
    """Everything that golden.safetensors has, against eval's output with --routing and --greedy."""
    expected = {name for name in golden if not name.endswith("input_ids")}
    checks.that(set(got) == expected, f"{what}: tensors {sorted(set(got) ^ expected)[:4]} on one side only")
    for name in sorted(expected & set(got)):
        if name.endswith(".logits"):
            compare_logits(checks, f"{what}: {name}", got[name], golden[name], activations)
        elif name.endswith(".experts"):
            weights = name.removesuffix("experts") + "weights"
            compare_routing(checks, f"{what}: {name}", got[name], got.get(weights), golden[name], golden[weights],
                            activations)
        elif name.endswith(".greedy_ids") and activations == "f32":
            checks.that(np.array_equal(got[name], golden[name]), f"{what}: {name} differ")


def compare_lowerings(checks, what, got, want, activations):
    """Everything that eval wrote of one program, against what another lowering of the same model gave."""
    checks.that(set(got) == set(want), f"{what}: tensors {sorted(set(got) ^ set(want))[:4]} on one side only")
    for name in sorted(set(want) & set(got)):
        if name.endswith(".logits"):
            compare_logits(checks, f"{what}: {name}", got[name], want[name], activations)
        elif name.endswith(".experts"):
            weights = name.removesuffix("experts") + "weights"
            compare_routing(checks, f"{what}: {name}", got[name], got[weights], want[name], want[weights], activations)
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
