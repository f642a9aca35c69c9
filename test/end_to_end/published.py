"""Published models of true sizes: the config of each."""

import checkpoints
import deepseek
import gpt_oss
import llama4


def qwen3_30b(layers=48, experts=128):
    return checkpoints.qwen3_moe(2048, layers, experts, 8, 768, 32, 4, 128, 151936)


def qwen3_235b():
    return checkpoints.qwen3_moe(4096, 94, 128, 8, 1536, 64, 4, 128, 151936, rope_theta=5000000, max_position_embeddings=262144)


def qwen15_a27b():
    return checkpoints.qwen2_moe(2048, 24, 60, 4, 1408, 5632, 16, 16, 151936)


def mixtral_8x7b(layers=32, experts=8):
    return checkpoints.mixtral(4096, layers, experts, 2, 14336, 32, 8, 32000)


def deepseek_v3(layers=61, experts=256):
    return deepseek.v3(num_hidden_layers=layers, n_routed_experts=experts)


def kimi_k2(layers=61, experts=384):
    return deepseek.kimi_k2(num_hidden_layers=layers, n_routed_experts=experts)


def maverick(layers=48, experts=128):
    return llama4.config(num_hidden_layers=layers, num_local_experts=experts)


def gpt_oss_120b(layers=36, experts=128):
    return gpt_oss.config(num_hidden_layers=layers, num_local_experts=experts)


# name -> config, parameters in all and at work per token, as published, in billions
MODELS = {
    "mixtral-8x7b": (mixtral_8x7b(), 46.70, 12.88),
    "qwen3-30b-a3b": (qwen3_30b(), 30.53, 3.35),
    "qwen3-235b-a22b": (qwen3_235b(), 235.09, 22.19),
    "qwen1.5-moe-a2.7b": (qwen15_a27b(), 14.32, 2.69),
    "deepseek-v2-lite": (deepseek.v2_lite(), 15.71, 2.66),
    "deepseek-v3": (deepseek_v3(), 671.03, 37.55),
    "deepseek-v3.2": (deepseek.v32(), 671.88, 38.40),
    "kimi-k2": (kimi_k2(), 1026.41, 32.86),
    "llama-4-scout": (llama4.scout(), 107.77, 17.17),
    "llama-4-maverick": (maverick(), 400.71, 17.18),
    "gpt-oss-20b": (gpt_oss.config(num_hidden_layers=24, num_local_experts=32), 20.91, 4.19),
    "gpt-oss-120b": (gpt_oss_120b(), 116.83, 5.71),
}
