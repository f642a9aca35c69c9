"""Measures vLLM on a checkpoint: run_vllm.py DIR THREADS prefill|decode TOKENS DEPTH BATCH REPETITIONS prints the tokens per second
of each repetition, as JSON. python_peers.py runs it."""

import json
import os
import random
import sys
import time

directory, threads, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
tokens, depth, batch, repetitions = map(int, sys.argv[4:])
cpus = sorted(os.sched_getaffinity(0))
os.environ |= {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cpus[:threads])), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR",
               "VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}

from vllm import LLM, SamplingParams  # noqa: E402 (it reads the environment)

longest = tokens + depth + 64
model = LLM(directory, dtype="bfloat16", enforce_eager=True, max_model_len=longest, max_num_seqs=batch, enable_prefix_caching=False,
            max_num_batched_tokens=max(2048, batch), disable_log_stats=True)
vocabulary = model.llm_engine.model_config.get_vocab_size()


def seconds(prompt, generated):
    """Of so many random tokens read, and so many generated, by each sequence."""
    prompts = [{"prompt_token_ids": random.choices(range(vocabulary), k=prompt)} for _ in range(batch)]
    start = time.monotonic()
    model.generate(prompts, SamplingParams(temperature=0, max_tokens=generated, ignore_eos=True), use_tqdm=False)
    return time.monotonic() - start


def measure():
    if kind == "prefill":
        return tokens * batch / seconds(tokens, 1)
    prompt = max(depth, 1)  # it cannot do without
    return tokens * batch / (seconds(prompt, tokens + 1) - seconds(prompt, 1))


random.seed(1)
if repetitions > 1 or tokens > 1:
    seconds(16, 1)  # what is done once is not measured
print(json.dumps([measure() for _ in range(repetitions)]))
