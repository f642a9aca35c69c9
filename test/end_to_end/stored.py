"""Checkpoints stored as codes with scales give what the numbers give that the codes stand for, and keep their size.

    stored.py CASE...

Each case is a small model of ragged sizes, stored twice: as codes, and as the same numbers in f32. The codes are decoded here by
tables. With MOEC_TEST_ALL=1 in more forms.
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import checkpoints
from comparison import compare_outputs
from programs import ALL, MOEC, Checks, compile_model, evaluate, run, work_folder

LENGTHS = [1, 9, 70]
ANEW = ["--quantize=experts:int8", "--reference"]  # which compiles sooner: what is compared is what was packed
BLOCKS = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
TENSOR = {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]}
CHANNEL = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head", "re:.*gate$"],
           "config_groups": {"group_0": {"targets": ["Linear"],
                                         "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
                                         "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}}}}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "lm_head"]}

# case -> config, quantization_config, most that the packed weights may have of the checkpoint's bytes
CASES = {
    "blocks": (checkpoints.mixtral(200, 2, 5, 2, 332, 4, 2, 150, head_dim=50), BLOCKS, 1.3),
    "dense": (checkpoints.qwen3_moe(332, 3, 6, 3, 140, 4, 2, 70, 130, mlp_only_layers=[1], intermediate_size=300), BLOCKS, 1.3),
    # An expert that all tokens share, cut between two blocks and within one.
    "shared": (checkpoints.qwen2_moe(192, 2, 4, 2, 128, 256, 4, 4, 140), BLOCKS, 1.3),
    "cut": (checkpoints.qwen2_moe(192, 2, 4, 2, 144, 288, 4, 4, 140), BLOCKS, 3),
    "channel": (checkpoints.mixtral(200, 2, 5, 2, 332, 4, 2, 150, head_dim=50), CHANNEL, 1.3),
    "tensor": (checkpoints.qwen3_moe(332, 2, 6, 3, 140, 4, 2, 70, 130), TENSOR, 1.3),
    "mxfp4": (checkpoints.mixtral(192, 2, 5, 2, 352, 4, 2, 150, head_dim=50), MXFP4, 1.3),
}


def float8_values():
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0 ** -9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    return np.where(code < 128, value, -value).astype(np.float32)


FLOAT8 = float8_values()
FLOAT4 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def nearest(values, table):
    """The index in `table`, of positive numbers and then their negatives, of the nearest to each value."""
    half = len(table) // 2
    middles = (table[1:half] + table[:half - 1]) / 2
    return (np.searchsorted(middles, np.abs(values)) + half * (values < 0)).astype(np.uint8)


def spread(scales, shape, rows, columns):
    return np.repeat(np.repeat(scales, rows, 0)[:shape[0]], columns, 1)[:, :shape[1]]


def store_float8(name, values, method, random):
    """Codes and scales of a matrix, and the numbers that they stand for."""
    rows, columns = {"fp8": method.get("weight_block_size") or values.shape, "compressed-tensors": (1, values.shape[1])}[method["quant_method"]]
    count = -(-values.shape[0] // rows), -(-values.shape[1] // columns)
    # Scales far apart, so that a misplaced one shows.
    scales = (np.abs(values).max() / 448 * random.uniform(0.5, 4, count)).astype(np.float32)
    spreaded = spread(scales, values.shape, rows, columns)
    codes = nearest(np.clip(values / spreaded, -448, 448), np.delete(FLOAT8, [127, 255]))
    codes += codes >= 127  # the tables differ by the NaNs
    shape = {"fp8": count if method.get("weight_block_size") else (1,), "compressed-tensors": count}[method["quant_method"]]
    suffix = "_scale_inv" if method.get("weight_block_size") else "_scale"
    return ({name: ("F8_E4M3", values.shape, codes.tobytes())}, {name + suffix: ("F32", shape, scales.tobytes())},
            FLOAT8[codes] * spreaded)


def store_mxfp4(name, values, method, random):
    groups = values.reshape(len(values), -1, 32)
    exponents = (np.floor(np.log2(np.abs(groups).max(-1))) - 2 + random.integers(0, 2, groups.shape[:2])).astype(np.int64)
    scales = np.exp2(exponents.astype(np.float32))[..., None]
    codes = nearest(np.clip(groups / scales, -6, 6), FLOAT4)
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return ({name + "_blocks": ("U8", blocks.shape, blocks.tobytes())},
            {name + "_scales": ("U8", exponents.shape, (exponents + 127).astype(np.uint8).tobytes())},
            (FLOAT4[codes] * scales).reshape(values.shape))


def is_stored(name, shape, method):
    if len(shape) != 2 or name.startswith(("model.embed", "lm_head")) or name.endswith(("gate.weight", "expert_gate.weight")):
        return False
    return ".experts." in name or method["quant_method"] != "mxfp4"


def write_twins(folder, config, method):
    """The directories of a model's codes and of its numbers."""
    random = np.random.default_rng(3)
    store = store_mxfp4 if method["quant_method"] == "mxfp4" else store_float8
    codes, scales, numbers = {}, {}, {}
    for name, shape, deviation in checkpoints.tensors(config, router=2.0):
        values = (random.normal(size=shape) * deviation if deviation else random.uniform(0.8, 1.2, shape)).astype(np.float32)
        if is_stored(name, shape, method):
            more, more_scales, values = store(name, values, method, random)
            codes |= more
            scales |= more_scales
        else:
            codes[name] = "F32", shape, values.tobytes()
        numbers[name] = "F32", shape, values.tobytes()
    if method is TENSOR:
        scales["model.layers.0.self_attn.q_proj.input_scale"] = "F32", (), np.float32(0.5).tobytes()
    # Scales lie in another file than what they belong to.
    checkpoints.write_mixed(folder / "codes", config | {"quantization_config": method}, [codes, scales])
    checkpoints.write_mixed(folder / "numbers", config, [numbers])
    return folder / "codes", folder / "numbers"


def check_case(checks, case):
    config, method, most = CASES[case]
    with work_folder() as folder, checks.about(case):
        codes, numbers = write_twins(folder, config, method)
        random = np.random.default_rng(4)
        source, ask = folder / "in.safetensors", ["--routing", "--greedy", "3"]
        save_file({f"s{i}.input_ids": random.integers(0, config["vocab_size"], length) for i, length in enumerate(LENGTHS)}, source)

        def evaluated(directory, *options):
            program = compile_model(directory, folder / "program", *options)
            return evaluate(program, source, folder / "out.safetensors", *ask)

        f32 = "--activations=f32"
        want = load_file(evaluated(numbers, f32))
        forms = [[], ["--cpu=avx2"], ["--reference"], ["--weights=embed", "--without-pass=lm-fuse-qkv,moe-fuse-experts"]]
        for more in forms if ALL or case in ("blocks", "mxfp4") else forms[:1] + forms[2:3]:
            got = load_file(evaluated(codes, f32, *more))
            compare_outputs(checks, " ".join([case, *more]), got, want, "f32")
            if not more:
                check_sizes(checks, folder, case, codes, most)
        # The twin's weights are rounded to bf16, those that are codes are not.
        bf16 = ["--activations=bf16", *["--cpu=native,avx2"] * (ALL or case in ("blocks", "channel", "mxfp4"))]  # of each form, one
        compare_outputs(checks, f"{case} bf16", load_file(evaluated(codes, *bf16)), load_file(evaluated(numbers, *bf16)), "bf16", ties=True)
        check_anew(checks, folder, case, codes, evaluated(numbers, f32, *ANEW).read_bytes(), source, ask)
        check_mapped(checks, folder, case, codes)


def check_sizes(checks, folder, case, codes, most):
    """The form in memory is as large as that in the files, but for what panels are filled up with and scales of rows."""
    packed = (folder / "program.weights").stat().st_size
    stored = sum(path.stat().st_size for path in codes.glob("*.safetensors"))
    checks.that(packed <= most * stored, f"{case}: {packed} bytes of weights from {stored}")


def check_anew(checks, folder, case, codes, want, source, ask):
    """Quantised to another format, codes give what their numbers give; a notice says so."""
    done = run(MOEC, "compile", codes, "-o", folder / "anew", "--activations=f32", *ANEW)
    words = done.stderr.decode()
    checks.that(done.returncode == 0 and "quantized anew, to int8: experts." in words, f"{case} anew: status {done.returncode}, {words[-500:]}")
    if done.returncode == 0:
        got = evaluate(folder / "anew", source, folder / "anew.safetensors", *ask)
        # The last bit of an activation may decide its integer.
        compare_outputs(checks, f"{case} anew", load_file(got), load_from(folder, want), "bf16", ties=True)


def load_from(folder, data):
    (folder / "want.safetensors").write_bytes(data)
    return load_file(folder / "want.safetensors")


def check_mapped(checks, folder, case, codes):
    done = run(MOEC, "compile", codes, "-o", folder / "mapped", "--weights=map")
    words = done.stderr.decode()
    checks.that(done.returncode == 4 and "--weights=pack" in words, f"{case} mapped: status {done.returncode}, {words[-500:]}")


if __name__ == "__main__":
    checks = Checks()
    for case in sys.argv[1:] or CASES:
        check_case(checks, case)
    checks.finish()
