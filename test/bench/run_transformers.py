"""Measures transformers on a checkpoint: run_transformers.py DIR THREADS prefill|decode TOKENS DEPTH BATCH REPETITIONS prints the
tokens per second of each repetition, as JSON. python_peers.py runs it."""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

directory, threads, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
tokens, depth, batch, repetitions = map(int, sys.argv[4:])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16, experts_implementation="grouped_mm").eval()


@torch.inference_mode()
def step(count, cache=None):
    """Feeds each sequence so many random tokens, and gives the cache."""
    ids = torch.randint(0, model.config.vocab_size, (batch, count))
    return model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values


def measure():
    if kind == "prefill":
        start = time.monotonic()
        step(tokens)
    else:
        cache = step(max(depth, 1))
        start = time.monotonic()
        for _ in range(tokens):
            cache = step(1, cache)
    return tokens * batch / (time.monotonic() - start)


if repetitions > 1 or tokens > 1:
    step(16)  # what is done once is not measured
print(json.dumps([measure() for _ in range(repetitions)]))
