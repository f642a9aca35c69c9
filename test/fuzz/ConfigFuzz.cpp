// config.json: keys of every type are asked for, whatever the file says.

#include "frontends/checkpoint/QuantizationConfig.h"
#include "frontends/checkpoint/RopeConfig.h"

#include <cstdlib>
#include <string_view>

using namespace moec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  Result<Config> config = Config::parse(text, "config.json");
  if (!config.ok())
    return 0;
  ConfigReader read(*config);
  (void)config->architecture();
  int64_t hidden = read.integer("hidden_size", 4096, 1, 1 << 20);
  if (hidden < 1 || hidden > 1 << 20)
    std::abort(); // a failed read too gives a legal value
  read.number("rms_norm_eps", 1e-6, 0, 1);
  read.boolean("norm_topk_prob", true);
  read.string("hidden_act", "silu");
  read.integers("eos_token_id", 0, 1 << 30);
  read.strings("layer_types");
  read.expect("tie_word_embeddings", false);
  RopeConfig rope =
      readRope(read, 10000.0,
               {{RopeKind::Default, RopeKind::Linear, RopeKind::Yarn, RopeKind::Llama3}, true});
  if (read.status().ok())
    (void)rope.inverseFrequencies(64);
  const QuantizationConfig quantization = readQuantization(read);
  if (quantization.scaleRows < 0 || quantization.scaleColumns < 0)
    std::abort();
  (void)read.finish();
  return 0;
}
