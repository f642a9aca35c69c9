"""The table of frontends/README.md, family by stored format and target: makes each row anew and compares it.

    families.py [--write] FAMILY...

A cell says `yes` where a small model of the family gives the numbers of the plain float64 computation, and `refused` where moec
ends with status 4; of AArch64 it says whether aarch64.py runs a golden case of the family. --write puts the rows into the table.
"""

import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import aarch64
import checkpoints
import deepseek
import gpt_oss
import llama4
import stored
from comparison import compare_outputs
from mutations import SEQUENCE, UNSUPPORTED, reference
from programs import GOLDEN, MOEC, TEST, Checks, evaluate, run, work_folder

README = TEST.parent / "frontends" / "README.md"

LATENT = dict(hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=2, first_k_dense_replace=1,
              num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=12, qk_rope_head_dim=16, v_head_dim=8,
              n_routed_experts=8, num_experts_per_tok=2, n_group=4, topk_group=2, vocab_size=130, max_position_embeddings=256,
              num_nextn_predict_layers=0)

# model_type -> name, config
FAMILIES = {
    "mixtral": ("Mixtral", checkpoints.mixtral(64, 2, 5, 2, 96, 4, 2, 150, head_dim=32)),
    "qwen2_moe": ("Qwen2 MoE", checkpoints.qwen2_moe(64, 2, 4, 2, 64, 128, 4, 4, 140)),
    "qwen3_moe": ("Qwen3 MoE", checkpoints.qwen3_moe(64, 2, 6, 3, 96, 4, 2, 32, 130, mlp_only_layers=[1])),
    "olmoe": ("OLMoE", checkpoints.olmoe(64, 2, 6, 2, 96, 4, 2, 130)),
    "deepseek_v2": ("DeepSeek V2", deepseek.v2_lite(**LATENT, n_shared_experts=2) | {"topk_method": "group_limited_greedy"}),
    "deepseek_v3": ("DeepSeek V3", deepseek.v3(**LATENT, q_lora_rank=32)),
    "deepseek_v32": ("DeepSeek V3.2", deepseek.v32(**LATENT, q_lora_rank=32, index_n_heads=4, index_head_dim=32, index_topk=8)),
    "kimi_k2": ("Kimi K2", deepseek.kimi_k2(**LATENT | {"n_group": 1, "topk_group": 1}, q_lora_rank=32)),
    "llama4": ("Llama 4", llama4.text(hidden_size=64, intermediate_size=32, intermediate_size_mlp=96, num_hidden_layers=4, head_dim=16,
                                      num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
                                      attention_chunk_size=8, floor_scale=4, vocab_size=130, max_position_embeddings=256)
               | {"architectures": ["Llama4ForCausalLM"]}),
    "gpt_oss": ("gpt-oss", gpt_oss.config(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, head_dim=16,
                                          num_key_value_heads=2, num_local_experts=6, num_experts_per_tok=3, experts_per_token=3,
                                          sliding_window=8, vocab_size=130, max_position_embeddings=256)),
}
# Column -> type of plain floats, or the method of codes; options of compile. What is packed as another column's is, and so multiplied by
# the same kernels, is computed by plain loops, which are soon compiled.
KERNELS, LOOPS = ["--cpu=avx2"], ["--cpu=avx2", "--reference"]
FORMATS = {"F32": ("F32", KERNELS), "F16": ("F16", LOOPS), "BF16": ("BF16", KERNELS), "FP8 by blocks": (stored.BLOCKS, KERNELS),
           "by rows": (stored.CHANNEL, LOOPS), "by tensors": (stored.TENSOR, LOOPS), "MXFP4 experts": (stored.MXFP4, KERNELS)}


def store_floats(name, values, kind):
    codes = checkpoints.encode(values, kind)
    numbers = (codes.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else codes.astype(np.float32)
    return {name: (kind, values.shape, codes.tobytes())}, numbers


def is_coded(name, shape, method):
    if "router" in name or "weights_proj" in name or name.endswith("_bias") or not (len(shape) == 3 or stored.is_stored(name, shape, method)):
        return False
    return len(shape) == 2 or ".experts." in name


def store_codes(name, values, method, random):
    """Codes and scales of a matrix or of a stack of them, of which MXFP4 has the rows that floats have as columns."""
    packed = method["quant_method"] == "mxfp4"
    if values.ndim == 2:
        codes, scales, numbers = (stored.store_mxfp4 if packed else stored.store_float8)(name, values, method, random)
        return codes | scales, numbers
    turned = values.swapaxes(1, 2) if packed else values
    out, numbers = {}, []
    for one in turned:
        entries, decoded = store_codes(name, np.ascontiguousarray(one), method, random)
        for part, entry in entries.items():
            out.setdefault(part, []).append(entry)
        numbers.append(decoded)
    numbers = np.stack(numbers)
    return ({part: (some[0][0], (len(some), *some[0][1]), b"".join(data for _, _, data in some)) for part, some in out.items()},
            numbers.swapaxes(1, 2) if packed else numbers)


def write_twins(folder, config, how):
    """The directory of a model that is stored so, and that of its numbers in F32."""
    random = np.random.default_rng(3)
    files, plain = {}, {}
    for name, shape, deviation in checkpoints.tensors(config, router=2.0):
        values = (random.normal(size=shape) * deviation if deviation else random.uniform(0.8, 1.2, shape)).astype(np.float32)
        if isinstance(how, str):
            entries, values = store_floats(name, values, how)
        elif is_coded(name, shape, how):
            entries, values = store_codes(name, values, how, random)
        else:
            entries = {name: ("F32", shape, values.tobytes())}
        files |= entries
        plain[name] = "F32", shape, np.ascontiguousarray(values).tobytes()
    config = {key: value for key, value in config.items() if key != "quantization_config"}
    checkpoints.write_mixed(folder / "stored", config | ({} if isinstance(how, str) else {"quantization_config": how}), [files])
    checkpoints.write_mixed(folder / "numbers", config, [plain])
    return folder / "stored", folder / "numbers"


def check_column(checks, what, config, how, *options):
    with work_folder() as folder:
        directory, numbers = write_twins(folder, config, how)
        done = run(MOEC, "compile", directory, "-o", folder / "program", "--activations=f32", *options)
        if done.returncode == UNSUPPORTED:
            return "refused"
        if not checks.that(done.returncode == 0, f"{what}: status {done.returncode}: {done.stderr.decode()[-500:]}"):
            return "wrong"
        ids = np.random.default_rng(5).integers(0, config["vocab_size"], 30)
        save_file({f"{SEQUENCE}.input_ids": ids}, folder / "in.safetensors")
        got = load_file(evaluate(folder / "program", folder / "in.safetensors", folder / "out.safetensors", "--routing"))
        before = checks.failed
        compare_outputs(checks, what, got, reference(numbers, ids), "f32")
        return "yes" if checks.failed == before else "wrong"


def row(checks, family):
    name, config = FAMILIES[family]
    columns = FORMATS | {"mapped": ("F32", ["--cpu=avx2", "--weights=map"])}
    cells = [check_column(checks, f"{name} {column}", config, how, *options) for column, (how, options) in columns.items()]
    is_run = any(json.loads((GOLDEN / case / "config.json").read_text())["model_type"] == config["model_type"] for case, *_ in aarch64.FORMS)
    return f"| {' | '.join([name, *cells, 'yes' if is_run else 'not run'])} |"


if __name__ == "__main__":
    checks, families = Checks(), [name for name in sys.argv[1:] if name != "--write"] or FAMILIES
    for family in families:
        with checks.about(family):
            made, text = row(checks, family), README.read_text()
            if "--write" in sys.argv:
                start = f"| {FAMILIES[family][0]} |"
                README.write_text("\n".join(made if line.startswith(start) else line for line in text.split("\n")))
            else:
                checks.that(made in text.split("\n"), f"{README.name} has no row `{made}`; families.py --write {family} puts it there")
    checks.finish()
