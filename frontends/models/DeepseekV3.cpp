// DeepSeek V3 (R1, V3.1, Kimi K2), V3.2 and V2: latent attention, and experts in groups beside some
// that all tokens share.

#include "frontends/models/LatentAttention.h"
#include "frontends/models/Registry.h"

#include <fmt/format.h>

using namespace mlir;
using namespace moec;

namespace {

/// What a model of this family is, once its config is read.
struct DeepseekConfig {
  DecoderConfig decoder;
  LatentConfig latent;
  ExpertConfig experts;
  int64_t sharedWidth; ///< 0: no expert is shared
  int64_t denseWidth;
  LayerKinds layers;
  bool hasCorrection;
  int64_t predicting; ///< layers behind the last one, which guess tokens after the next
};

} // namespace

/// The first `first_k_dense_replace` layers are dense.
static LayerKinds readKinds(ConfigReader &config, int64_t layers, int64_t missing) {
  int64_t dense = config.integer("first_k_dense_replace", missing, 0, layers);
  config.expect("moe_layer_freq", 1);
  LayerKinds kinds;
  for (int64_t layer = 0; layer < layers; ++layer)
    (layer < dense ? kinds.dense : kinds.moe).push_back(layer);
  std::vector<std::string> types = config.strings("mlp_layer_types");
  for (size_t layer = 0; layer < types.size(); ++layer)
    if (types.size() != static_cast<size_t>(layers) ||
        types[layer] != (static_cast<int64_t>(layer) < dense ? "dense" : "sparse"))
      config.refuse(Code::Unsupported, "mlp_layer_types",
                    "which is not what `first_k_dense_replace` says");
  return kinds;
}

/// Groups of experts, of which a token chooses from some.
static void readGroups(ConfigReader &config, const ExpertConfig &experts, int64_t count,
                       int64_t kept, RoutingConfig &routing) {
  routing.groups = config.isNull("n_group") ? 1 : config.integer("n_group", count, 1, 65536);
  routing.keptGroups =
      config.isNull("topk_group") ? 1 : config.integer("topk_group", kept, 1, 65536);
  if (experts.experts % routing.groups != 0)
    config.refuse(Code::Model, "n_group",
                  fmt::format("wanted a divisor of the {} experts", experts.experts));
  else if (routing.keptGroups > routing.groups ||
           routing.keptGroups * (experts.experts / routing.groups) < experts.picked)
    config.refuse(Code::Model, "topk_group",
                  fmt::format("wanted at most the {} groups, and enough for {} experts a token",
                              routing.groups, experts.picked));
  else if (routing.groupValue == moe::GroupValue::BestTwo && routing.keptGroups < routing.groups &&
           experts.experts / routing.groups < 2)
    config.refuse(Code::Model, "n_group", "wanted groups of two experts or more");
}

static void buildLayers(const DeepseekConfig &family, ModelBuilder &model) {
  const DecoderConfig &decoder = family.decoder;
  auto attend = [&](LayerBuilder &layer, Value h) {
    Value x = layer.norm(h, "input_layernorm");
    Value a = latentAttention(layer, x, family.latent, model.latentForm());
    a = layer.linear(a, "self_attn.o_proj", decoder.hidden, family.latent.bias);
    return layer.add(h, a, "self_attn");
  };
  ExpertTensors tensors{.router = "mlp.gate.weight",
                        .gate = {"mlp.experts.{e}.gate_proj.weight"},
                        .up = {"mlp.experts.{e}.up_proj.weight"},
                        .down = {"mlp.experts.{e}.down_proj.weight"}};
  if (family.hasCorrection)
    tensors.correction = "mlp.gate.e_score_correction_bias";
  model.begin(decoder);
  std::vector<std::string> predicting;
  for (int64_t more = 0; more < family.predicting; ++more)
    predicting.push_back(fmt::format("model.layers.{}.*", decoder.layers + more));
  model.skip(predicting, "multi-token prediction, which is not run");
  model.setExperts(family.experts, family.layers.moe);
  model.addLayers("dense", family.layers.dense, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    return layer.add(h, layer.gatedMlp(x, "mlp", family.denseWidth), "mlp");
  });
  model.addLayers("moe", family.layers.moe, [&](LayerBuilder &layer, Value h) {
    h = attend(layer, h);
    Value x = layer.norm(h, "post_attention_layernorm");
    Value y = layer.experts(x, family.experts, tensors);
    if (family.sharedWidth > 0)
      y = layer.add(y, layer.gatedMlp(x, "mlp.shared_experts", family.sharedWidth), "mlp");
    return layer.add(h, y, "mlp");
  });
}

/// What V3 and V3.2 have in common; a failure is left in `config`.
static DeepseekConfig readV3(ConfigReader &config, int64_t positions) {
  DeepseekConfig family{};
  family.decoder = readTrunk(config, {.vocabulary = 129280,
                                      .hidden = 7168,
                                      .layers = 61,
                                      .heads = 128,
                                      .keyHeads = 128,
                                      .positions = positions,
                                      .epsilon = 1e-6,
                                      .theta = 10000});
  family.latent = readLatent(config, family.decoder);
  family.experts = readExperts(config, {.experts = {"n_routed_experts", "num_local_experts"},
                                        .picked = "num_experts_per_tok",
                                        .width = "moe_intermediate_size",
                                        .defaultExperts = 256,
                                        .defaultPicked = 8,
                                        .defaultWidth = 2048});
  RoutingConfig &routing = family.experts.routing;
  routing = {.score = moe::ScoreFunction::Sigmoid,
             .weighing = readNormalization(config, /*missing=*/true),
             .scale = config.number("routed_scaling_factor", 2.5, 0, 1e6),
             .groupValue = moe::GroupValue::BestTwo};
  if (routing.weighing == moe::Weighing::Renormalize)
    routing.epsilon = 1e-20;
  readGroups(config, family.experts, 8, 4, routing);
  family.hasCorrection = true;
  family.sharedWidth = config.integer("n_shared_experts", 1, 0, 1024) * family.experts.width;
  family.denseWidth = config.integer("intermediate_size", 18432, 1, kMaxExtent);
  family.layers = readKinds(config, family.decoder.layers, 3);
  family.predicting = config.integer("num_nextn_predict_layers", 1, 0, 1024);
  config.expect("scoring_func", "sigmoid");
  config.expect("topk_method", "noaux_tc");
  return family;
}

Status moec::buildDeepseekV3(ConfigReader &config, ModelBuilder &model) {
  DeepseekConfig family = readV3(config, 4096);
  family.latent.pairs =
      config.boolean("rope_interleave", true) ? RopePairs::Neighbours : RopePairs::Halves;
  if (Status status = config.finish(); !status.ok())
    return status;
  buildLayers(family, model);
  return {};
}

Status moec::buildDeepseekV32(ConfigReader &config, ModelBuilder &model) {
  DeepseekConfig family = readV3(config, 163840);
  family.latent.pairs = RopePairs::Neighbours;
  family.latent.index = {.heads = config.integer("index_n_heads", 64, 1, 4096),
                         .size = config.integer("index_head_dim", 128, 2, 4096),
                         .count = config.integer("index_topk", 2048, 1, lm::kMostScored)};
  if (family.latent.queryRank == 0)
    config.refuse(Code::Unsupported, "q_lora_rank",
                  "which is not supported here: the indexer reads the queries' latent vector");
  if (family.latent.index->size < family.latent.rotated)
    config.refuse(
        Code::Model, "index_head_dim",
        fmt::format("wanted at least the {} entries that are rotated", family.latent.rotated));
  if (model.contextOf(family.decoder.positions) > lm::kMostScored)
    config.refuse(Code::Unsupported, "max_position_embeddings",
                  fmt::format("and positions are chosen among {0} at most; use --context={0}",
                              lm::kMostScored));
  config.ignore({"rope_interleave"}); // the class does not read it
  readLayerTypes(config, family.decoder.layers, {"deepseek_sparse_attention", "indexed_attention"});
  if (Status status = config.finish(); !status.ok())
    return status;
  buildLayers(family, model);
  return {};
}

Status moec::buildDeepseekV2(ConfigReader &config, ModelBuilder &model) {
  DeepseekConfig family{};
  family.decoder = readTrunk(config, {.vocabulary = 102400,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .keyHeads = 32,
                                      .positions = 2048,
                                      .epsilon = 1e-6,
                                      .theta = 10000});
  family.latent = readLatent(config, family.decoder);
  family.latent.pairs = RopePairs::Neighbours;
  family.experts = readExperts(config, {.experts = {"n_routed_experts", "num_local_experts"},
                                        .picked = "num_experts_per_tok",
                                        .width = "moe_intermediate_size",
                                        .defaultExperts = 64,
                                        .defaultPicked = std::nullopt,
                                        .defaultWidth = 1407});
  RoutingConfig &routing = family.experts.routing;
  routing = {.score = moe::ScoreFunction::Softmax,
             .scale = config.number("routed_scaling_factor", 1, 0, 1e6),
             .groupValue = moe::GroupValue::Best};
  std::string method = config.string("topk_method", "greedy");
  if (method == "group_limited_greedy")
    readGroups(config, family.experts, 1, 1, routing);
  else if (method == "greedy")
    config.ignore({"n_group", "topk_group"});
  else
    config.refuse(Code::Unsupported, "topk_method",
                  "which is not supported here; wanted \"greedy\" or \"group_limited_greedy\"");
  family.sharedWidth = config.integer("n_shared_experts", 2, 0, 1024) * family.experts.width;
  family.denseWidth = config.integer("intermediate_size", 11008, 1, kMaxExtent);
  family.layers = readKinds(config, family.decoder.layers, 0);
  config.expect("scoring_func", "softmax");
  config.expect("norm_topk_prob", false);
  config.expect("mlp_bias", false);
  if (Status status = config.finish(); !status.ok())
    return status;
  buildLayers(family, model);
  return {};
}
