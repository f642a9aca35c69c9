"""What quality.py reads out of the output and the file of llama-perplexity, with invented figures."""

import pathlib
import tempfile

import numpy as np

from quality import TEXT, line, parse_perplexity, read_tokens

OUTPUT = """====== Perplexity statistics ======
Mean PPL(Q)                   : 193.910000 ±   9.720000
Mean PPL(base)                : 190.500000 ±   9.700000
Mean ln(PPL(Q)/PPL(base))     :   0.017740 ±   0.002000

====== KL divergence statistics ======
Mean    KLD:   0.133861 ±   0.003389
Maximum KLD:   4.250000
99.9%   KLD:   2.500000
99.0%   KLD:   0.834700
Minimum KLD:  -0.000100

Same top p: 79.340 ± 0.400 %
"""


def expect(found, wanted):
    if found != wanted:
        raise SystemExit(f"found {found}, wanted {wanted}")


told = parse_perplexity(OUTPUT)
expect(told, {"perplexity": 193.91, "perplexity_error": 9.72, "kl_divergence": 0.133861, "kl_divergence_error": 0.003389,
              "kl_divergence_99_percent": 0.8347, "same_top": 0.7934})
row = line({"name": "llama.cpp Q4_0", "bytes": 4200000, "bits": 5.02} | told).split("|")
expect([cell.strip() for cell in row[1:-1]], ["llama.cpp Q4_0", "4200000", "5.02", "193.91 ± 9.72", "0.133861 ± 0.003389", "0.83470", "79.34 %"])

tokens = np.arange(12, dtype=np.int32).reshape(3, 4)
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "logits"
    path.write_bytes(b"_logits_" + np.array([4, 4096, 3], np.int32).tobytes() + tokens.tobytes() + b"rest")
    expect(read_tokens(path).tolist(), tokens.tolist())

text = TEXT.read_text()
expect((text.isascii(), len(text.splitlines()), len(text) < 200_000), (True, 1024, True))
