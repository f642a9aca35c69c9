"""Scores of a text by `PROGRAM perplexity` and `moec quality`, against the same computed from the logits of `eval`."""

import json
import os

import numpy as np
from safetensors.numpy import load_file, save_file

from programs import GOLDEN, MOEC, TEST, Checks, compile_model, evaluate, run, succeed, work_folder

MODEL = GOLDEN / "qwen3_moe"
OTHER = GOLDEN / "mixtral"
TEXT = TEST.parent / "LICENSE"
WINDOW, WINDOWS = 48, 12
SCORED = WINDOW - WINDOW // 2 - 1


def log_softmax(rows):
    rows = rows - rows.max(-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(-1, keepdims=True))


def logits_of(program, tokens, folder):
    """Of the scored positions of each window: windows x scored x vocabulary."""
    save_file({f"{i:03}.input_ids": row.astype(np.int64) for i, row in enumerate(tokens)}, folder / "in.safetensors")
    got = load_file(evaluate(program, folder / "in.safetensors", folder / "eval.safetensors"))
    return np.stack([got[f"{i:03}.logits"][WINDOW // 2:WINDOW - 1] for i in range(len(tokens))])


def score(program, text, *options):
    return json.loads(succeed(program, "perplexity", "--json", "--text", text, *options))


def near(checks, what, got, want):
    checks.that(np.allclose(got, want, rtol=1e-9, atol=1e-12), f"{what}: {got}, wanted {want}")


def mean(values):
    return values.mean(), values.std(ddof=1) / np.sqrt(values.size)


def check_scores(checks, folder, base, other, text):
    saved = folder / "saved.safetensors"
    told = score(base, text, "--window", WINDOW, "--save", saved)
    file = load_file(saved)
    tokens = file["tokens"]
    checks.that(tokens.shape == (told["windows"], WINDOW) and told["windows"] >= WINDOWS, f"tokens of shape {tokens.shape}")
    checks.that(told["tokens_scored"] == told["windows"] * SCORED, f"{told['tokens_scored']} tokens scored")

    logits = logits_of(base, tokens, folder)
    following = tokens[:, WINDOW // 2 + 1:, None]
    losses = -np.take_along_axis(log_softmax(logits.astype(np.float64)), following, -1)[..., 0]
    near(checks, "losses in the file", file["losses"], losses)
    distances = (logits - logits.max(-1, keepdims=True)).astype(np.float16)
    checks.that(np.array_equal(file["logits"], distances), "logits in the file are not those of eval as f16")
    value, error = mean(losses)
    near(checks, "perplexity", told["perplexity"], np.exp(value))
    near(checks, "its error", told["perplexity_error"], np.exp(value) * error)

    compared = score(other, text, "--against", saved)["against"]
    logits = logits_of(other, tokens, folder)
    theirs, ours = log_softmax(distances.astype(np.float64)), log_softmax(logits.astype(np.float64))
    divergences = (np.exp(theirs) * (theirs - ours)).sum(-1)
    changes = -np.take_along_axis(ours, following, -1)[..., 0] - losses
    same = (theirs.argmax(-1) == ours.argmax(-1)).astype(np.float64)
    checks.that(divergences.mean() > 1e-7, "nothing to measure: the programs do not differ")
    near(checks, "KL divergence", (compared["kl_divergence"], compared["kl_divergence_error"]), mean(divergences))
    near(checks, "its quantile", compared["kl_divergence_99_percent"], np.quantile(divergences, 0.99))
    near(checks, "its maximum", compared["kl_divergence_max"], divergences.max())
    near(checks, "same top", compared["same_top"], same.mean())
    near(checks, "perplexity of the base", compared["perplexity"], np.exp(value))
    value, error = mean(changes)
    near(checks, "ratio", (compared["perplexity_ratio"], compared["perplexity_ratio_error"]), (np.exp(value), np.exp(value) * error))
    return saved


def check_other_tokenizer(checks, folder, text, saved):
    program = compile_model(OTHER, folder / "mixtral")
    done = run(program, "perplexity", "--text", text, "--against", saved)
    checks.that(done.returncode == 2 and (b"vocabulary" in done.stderr or b"tokenizer" in done.stderr),
                f"another tokenizer: status {done.returncode}: {done.stderr.decode()}")
    # This one begins each text with a token, and so each window.
    told = score(program, text, "--window", WINDOW, "--save", folder / "mixtral.safetensors")
    tokens = load_file(folder / "mixtral.safetensors")["tokens"]
    first = json.loads((OTHER / "tokenizer_config.json").read_text())["bos_token"]
    wanted = next(token["id"] for token in json.loads((OTHER / "tokenizer.json").read_text())["added_tokens"] if token["content"] == first)
    checks.that(told["windows"] == len(tokens) and (tokens[:, 0] == wanted).all(), f"windows begin with {tokens[:, 0]}, wanted {wanted}")
    checks.that((tokens[:, 1:] != wanted).all(), "the first token stands elsewhere too")


def check_quality(checks, folder, base, text):
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder)}
    lists = ["experts:int4", "all:int8"]
    options = [f"--quantize={item}" for item in lists]
    rows = json.loads(succeed(MOEC, "quality", "--json", "--text", text, "--window", str(WINDOW), "--activations=f32", *options, MODEL,
                              env=environment))
    checks.that([row["quantize"] for row in rows] == ["none", *lists], f"rows {[row['quantize'] for row in rows]}")
    checks.that(rows[0]["perplexity"] == score(base, text, "--window", WINDOW)["perplexity"], "the first row is not that of the program")
    saved = folder / "quality.safetensors"
    score(base, text, "--window", WINDOW, "--save", saved)
    for item, row in zip(lists, rows[1:]):
        program = compile_model(MODEL, folder / "quantized", "--activations=f32", f"--quantize={item}")
        checks.that(row["against"] == score(program, text, "--against", saved)["against"], f"{item}: other figures than the program's")
        size = json.loads(succeed(program, "inspect", "--json"))["weights"]["bytes"]
        checks.that(row["weights_bytes"] == size < rows[0]["weights_bytes"], f"{item}: {row['weights_bytes']} bytes, wanted {size}")
        checks.that(np.isclose(row["bits_per_weight"], 8 * size / row["parameters"]["total"]), f"{item}: {row['bits_per_weight']} bits")
    checks.that(rows[1]["against"]["kl_divergence"] > rows[2]["against"]["kl_divergence"], "4 bit is closer than 8 bit")
    table = succeed(MOEC, "quality", "--text", text, "--window", str(WINDOW), "--activations=f32", *options, MODEL, env=environment).decode()
    checks.that(len(table.splitlines()) == 5 and "| experts:int4 |" in table, f"no table: {table}")
    checks.that(not list(folder.glob("moec-*")), f"left behind: {list(folder.glob('moec-*'))}")
    for words, status, said in ((["--quantize=experts:int3"], 2, b"int3"), ([], 2, b"--quantize"),
                                (["--quantize=all:int8", "--window", "4"], 2, b"--window"),
                                (["--quantize=all:int8", "--window", "100000"], 2, b"does not fit the context")):
        done = run(MOEC, "quality", "--text", text, *words, MODEL, env=environment)
        checks.that(done.returncode == status and said in done.stderr and not done.stdout,
                    f"{words}: status {done.returncode}: {done.stderr.decode()}")


if __name__ == "__main__":
    checks = Checks()
    with work_folder() as folder, checks.about("perplexity"):
        text = folder / "text"
        text.write_text(TEXT.read_text()[:2500])
        base = compile_model(MODEL, folder / "base", "--activations=f32")
        other = compile_model(MODEL, folder / "other", "--activations=bf16")
        saved = check_scores(checks, folder, base, other, text)
        check_other_tokenizer(checks, folder, text, saved)
        check_quality(checks, folder, base, text)
    checks.finish()
