// Reads latent attention's sizes and builds both of its forms.

#include "frontends/models/LatentAttention.h"

#include <cmath>

using namespace mlir;
using namespace moec;

/// Of the norms of latent vectors; the class does not take the config's.
static constexpr double kLatentEpsilon = 1e-6;

LatentConfig moec::readLatent(ConfigReader &config, DecoderConfig &decoder) {
  LatentConfig latent{};
  latent.heads = config.integer("num_attention_heads", 128, 1, 4096);
  int64_t keyHeads = config.integer("num_key_value_heads", latent.heads, 1, 4096);
  if (keyHeads != latent.heads)
    config.refuse(Code::Unsupported, "num_key_value_heads",
                  "wanted as many as `num_attention_heads`, all of which share a latent key");
  latent.queryRank =
      config.isNull("q_lora_rank") ? 0 : config.integer("q_lora_rank", 1536, 1, kMaxExtent);
  latent.rank = config.integer("kv_lora_rank", 512, 1, kMaxExtent);
  latent.plain = config.integer("qk_nope_head_dim", 128, 1, 4096);
  latent.rotated = config.integer("qk_rope_head_dim", 64, 2, 4096);
  latent.values = config.integer("v_head_dim", 128, 1, 4096);
  latent.bias = config.boolean("attention_bias", false);
  config.ignore({"head_dim", "qk_head_dim"}); // transformers 5 writes them; they follow
  if (latent.rotated % 2 != 0)
    config.refuse(Code::Model, "qk_rope_head_dim", "wanted an even number");

  // YaRN's factor for long contexts goes to the scores, twice, not to the angles alone.
  const RopeConfig &rope = decoder.rope;
  const double all = rope.mscaleAllDimensions.value_or(0);
  const double factor = rope.kind != RopeKind::Default && all != 0 && rope.factor > 1
                            ? 0.1 * all * std::log(rope.factor) + 1
                            : 1;
  latent.scale = factor * factor / std::sqrt(static_cast<double>(latent.querySize()));
  decoder.heads = latent.heads;
  decoder.keyHeads = latent.heads;
  decoder.headSize = latent.querySize();
  decoder.ropeSize = latent.rotated;
  return latent;
}

/// The positions that each row attends to; of `queries`, the normalised vector that queries are
/// made of.
static Value chooseKeys(LayerBuilder &layer, Value x, Value queries, const IndexConfig &config) {
  const std::string module = "self_attn.indexer";
  constexpr double epsilon = 1e-6;
  Value q = layer.linear(queries, module + ".wq_b", config.heads * config.size);
  Value k =
      layer.layerNorm(layer.linear(x, module + ".wk", config.size), module + ".k_norm", epsilon);
  q = layer.rope(q, config.heads, module + ".wq_b", RopePairs::Halves, RopePlace::First);
  k = layer.rope(k, /*heads=*/1, module + ".wk", RopePairs::Halves, RopePlace::First);
  Value weights = layer.linear(x, module + ".weights_proj", config.heads);
  const double scale = 1 / std::sqrt(static_cast<double>(config.heads * config.size));
  return layer.chooseKeys(q, k, weights, config.count, scale, module);
}

Value moec::latentAttention(LayerBuilder &layer, Value x, const LatentConfig &config,
                            LatentForm form) {
  const int64_t heads = config.heads, rank = config.rank, plain = config.plain,
                rotated = config.rotated, values = config.values;
  const int64_t perHead = plain + values; // rows of kv_b_proj
  const std::string keyValue = "self_attn.kv_b_proj";

  Value queries = x;
  std::string made = "self_attn.q_proj";
  if (config.queryRank > 0) {
    queries = layer.linear(x, "self_attn.q_a_proj", config.queryRank, config.bias);
    queries = layer.norm(queries, "self_attn.q_a_layernorm", /*heads=*/1, kLatentEpsilon);
    made = "self_attn.q_b_proj";
  }
  Value chosen;
  if (config.index)
    chosen = chooseKeys(layer, x, queries, *config.index);
  queries = layer.linear(queries, made, heads * config.querySize());
  queries = layer.rope(queries, heads, made, config.pairs);

  const std::string both = "self_attn.kv_a_proj_with_mqa";
  Value latent = layer.linear(x, both, rank + rotated, config.bias);
  Value shared = layer.sliceHeads(latent, /*heads=*/1, rank, rotated, both);
  shared = layer.rope(shared, /*heads=*/1, both, config.pairs);
  latent = layer.norm(layer.sliceHeads(latent, /*heads=*/1, 0, rank, both),
                      "self_attn.kv_a_layernorm", /*heads=*/1, kLatentEpsilon);

  if (form == LatentForm::Expanded) {
    Value expanded = layer.linear(latent, keyValue, heads * perHead);
    Value keys = layer.sliceHeads(expanded, heads, 0, plain, keyValue);
    keys = layer.joinHeads(keys, shared, heads, /*isShared=*/true, keyValue);
    return layer.attention(queries, keys,
                           layer.sliceHeads(expanded, heads, plain, values, keyValue),
                           {.scale = config.scale, .chosen = chosen}, "self_attn");
  }

  // A head's key is W c, so that its score is q . W c = (W^T q) . c.
  const TensorRows rows{
      .pattern = keyValue + ".weight", .rowsPerExpert = perHead, .shape = {heads * perHead, rank}};
  TensorRows keyRows = rows, valueRows = rows;
  keyRows.transposed = true;
  valueRows.firstRow = plain;
  Value absorbed = layer.headLinear(layer.sliceHeads(queries, heads, 0, plain, made),
                                    keyValue + ".keys", {heads, rank, plain}, keyRows);
  queries = layer.joinHeads(absorbed, layer.sliceHeads(queries, heads, plain, rotated, made), heads,
                            /*isShared=*/false, made);
  Value keys = layer.joinHeads(latent, shared, /*heads=*/1, /*isShared=*/false, both);
  Value sums = layer.attention(
      queries, keys, /*values=*/Value(),
      {.keyHeads = 1, .latent = rank, .scale = config.scale, .chosen = chosen}, "self_attn");
  return layer.headLinear(sums, keyValue + ".values", {heads, values, rank}, valueRows);
}
