// What a DeepSeek V3 becomes, and what of it is refused.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

static bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// Routing ---------------------------------------------------------------------------------------

TEST(DeepseekV3Test, ExpertsAreChosenInGroupsByCorrectedSigmoids) {
  std::string text = tinyDeepseekV3().text();
  EXPECT_EQ(count(text, "moe.score sigmoid"), 1);
  EXPECT_TRUE(contains(text, "moe.route renormalize epsilon 9.99999968E-21 scale 2.500000e+00 "
                             "groups <2 of 4 by best_two> ins("));
  EXPECT_EQ(count(text, "correction("), 1);
  EXPECT_TRUE(contains(text, "lm.weight @router.correction : !lm.weight<8xf32> layers [1, 2]"));
}

TEST(DeepseekV3Test, WeightsCanStayAsTheyAre) {
  TinyModel model = tinyDeepseekV3();
  model.config["norm_topk_prob"] = false;
  EXPECT_TRUE(contains(model.text(), "moe.route scale 2.5"));
}

TEST(DeepseekV3Test, WhereAllGroupsCountThereAreNone) {
  TinyModel model = tinyDeepseekV3();
  model.config["topk_group"] = 4;
  EXPECT_FALSE(contains(model.text(), "groups <"));
  model.config["n_group"] = model.config["topk_group"] = nullptr;
  EXPECT_FALSE(contains(model.text(), "groups <"));
}

TEST(DeepseekV3Test, SharedExpertsAreOneOfTheirWidthsSumBesideTheRouted) {
  std::string text = tinyDeepseekV3().text();
  EXPECT_TRUE(contains(text, "@mlp.shared_experts.up_proj : !lm.weight<36x64xf32> layers [1, 2]"));
  EXPECT_LT(text.find("moe.combine"), text.find("load_weight @mlp.shared_experts.gate_proj"));
}

TEST(DeepseekV3Test, ExpertsMayBeSharedByNone) {
  TinyModel model = tinyDeepseekV3();
  model.config["n_shared_experts"] = 0;
  std::erase_if(model.tensors,
                [](const auto &entry) { return contains(entry.first, "shared_experts"); });
  EXPECT_FALSE(contains(model.text(), "shared"));
}

// Attention -------------------------------------------------------------------------------------

TEST(DeepseekV3Test, TheCacheHoldsLatentVectorsAndTheRotatedKey) {
  EXPECT_TRUE(contains(tinyDeepseekV3().text(),
                       "lm.cache @attention layers [0, 1, 2] heads 1 size 36 values 20 latent"));
}

TEST(DeepseekV3Test, ExpandedTheCacheHoldsKeysAndValuesOfEveryHead) {
  const std::string text = tinyDeepseekV3().text({.latentForm = LatentForm::Expanded});
  EXPECT_TRUE(
      contains(text, "lm.cache @attention layers [0, 1, 2] heads 4 size 28 values 10 block"));
  EXPECT_TRUE(contains(text, "mla = \"expanded\""));
  EXPECT_TRUE(contains(tinyDeepseekV3().text(), "mla = \"absorbed\""));
}

TEST(DeepseekV3Test, WhatMakesKeysIsTransposedAndWhatMakesValuesFollowsIt) {
  std::string text = tinyDeepseekV3().text();
  const std::string tensor = "pattern = \"model.layers.{l}.self_attn.kv_b_proj.weight\", ";
  EXPECT_TRUE(
      contains(text, "@self_attn.kv_b_proj.keys : !lm.weight<4x20x12xf32> heads layers [0, 1, 2] "
                     "from [#lm.piece<" +
                         tensor + "rows = 20, rows_per_expert = 22, transposed = true"));
  EXPECT_TRUE(contains(text, "@self_attn.kv_b_proj.values : !lm.weight<4x10x20xf32> heads layers "
                             "[0, 1, 2] from [#lm.piece<" +
                                 tensor + "rows = 10, first_row = 12, rows_per_expert = 22, "));
}

TEST(DeepseekV3Test, OnlyTheLastEntriesOfQueriesAreRotatedByNeighbours) {
  std::string text = tinyDeepseekV3().text();
  EXPECT_EQ(count(text, "lm.rope heads 4 first 12 interleaved ins("), 2) << "kinds of layers";
  EXPECT_EQ(count(text, "lm.rope heads 1 interleaved ins("), 2);
}

TEST(DeepseekV3Test, RotationCanBeByHalves) {
  TinyModel model = tinyDeepseekV3();
  model.config["rope_interleave"] = false;
  EXPECT_FALSE(contains(model.text(), "interleaved"));
}

TEST(DeepseekV3Test, NormsOfLatentVectorsHaveAnEpsilonOfTheirOwn) {
  TinyModel model = tinyDeepseekV3();
  model.config["rms_norm_eps"] = 0.125;
  std::string text = model.text();
  EXPECT_EQ(count(text, "lm.rms_norm epsilon 9.99999997E-7"), 4) << "two in each kind of layer";
  EXPECT_EQ(count(text, "lm.rms_norm epsilon 1.250000e-01"), 5);
}

TEST(DeepseekV3Test, LongContextsScaleScoresTwiceAndAnglesByTheQuotient) {
  TinyModel model = tinyDeepseekV3();
  EXPECT_TRUE(contains(model.text(), " scale 0.188982233 ")) << "one over the root of 28";
  model.config["rope_scaling"] = {{"type", "yarn"},
                                  {"factor", 40},
                                  {"original_max_position_embeddings", 64},
                                  {"mscale", 1.0},
                                  {"mscale_all_dim", 1.0}};
  std::string text = model.text();
  EXPECT_TRUE(contains(text, " scale 0.354125")) << "times 1.3688879454 squared";
  EXPECT_TRUE(contains(text, "] factor 1.000000e+00 ins("));
}

TEST(DeepseekV3Test, QueriesCanBeMadeOfTheLayersInput) {
  TinyModel model = tinyDeepseekV3();
  model.config["q_lora_rank"] = nullptr;
  for (int layer = 0; layer < 3; ++layer)
    model.tensors["model.layers." + std::to_string(layer) + ".self_attn.q_proj.weight"] = {
        {112, 64}};
  std::erase_if(model.tensors, [](const auto &entry) {
    return contains(entry.first, ".q_a_") || contains(entry.first, ".q_b_");
  });
  EXPECT_TRUE(contains(model.text(), "@self_attn.q_proj : !lm.weight<112x64xf32>"));
}

TEST(DeepseekV3Test, QueriesOfNoLatentVectorAreSaidByNull) {
  for (int rank : {0, -1})
    expectRefusal(tinyDeepseekV3(), {{"q_lora_rank", rank}}, Code::Model,
                  "`q_lora_rank` is " + std::to_string(rank) + ", wanted an integer from 1 to ");
}

TEST(DeepseekV3Test, BiasesAreOfWhatTouchesTheResidualStream) {
  TinyModel model = tinyDeepseekV3();
  model.config["attention_bias"] = true;
  for (int layer = 0; layer < 3; ++layer) {
    const std::string module = "model.layers." + std::to_string(layer) + ".self_attn.";
    model.tensors[module + "q_a_proj.bias"] = {{28}};
    model.tensors[module + "kv_a_proj_with_mqa.bias"] = {{36}};
    model.tensors[module + "o_proj.bias"] = {{64}};
  }
  EXPECT_EQ(count(model.text(), "bias("), 6) << "three in each of two kinds of layers";
  model.tensors.erase("model.layers.1.self_attn.o_proj.bias");
  expectRefusal(model, nlohmann::json::object(), Code::Model,
                "`model.layers.1.self_attn.o_proj.bias` is missing");
}

// Layers and tensors ----------------------------------------------------------------------------

TEST(DeepseekV3Test, TheFirstLayersAreDenseAndOfAnotherWidth) {
  std::string text = tinyDeepseekV3().text();
  EXPECT_TRUE(contains(text, "moe_layers = array<i64: 1, 2>"));
  EXPECT_TRUE(contains(text, "lm.layer_kind %arg1 of [0, 1, 1]")) << "kinds";
  EXPECT_TRUE(contains(text, "lm.layer_kind %arg1 of [0, 0, 1]")) << "of the routing's record";
  EXPECT_TRUE(contains(text, "lm.weight @mlp.up_proj : !lm.weight<50x64xf32> layers [0]"));
  EXPECT_TRUE(contains(text, "lm.weight @experts.up : !lm.weight<8x18x64xf32> layers [1, 2]"));
}

TEST(DeepseekV3Test, LayersOfMultiTokenPredictionAreLeftOutWithOneNotice) {
  TinyModel model = tinyDeepseekV3();
  std::string text = model.text(), said;
  const ImportOptions options{.notice = [&](const std::string &line) { said += line + "\n"; }};
  model.tensors["model.layers.3.eh_proj.weight"] = {{64, 128}};
  model.tensors["model.layers.3.mlp.gate.weight"] = {{8, 64}};
  EXPECT_EQ(model.text(options), text) << "there is one, where nothing is said";
  EXPECT_EQ(said, "leaves out 2 tensors of multi-token prediction, which is not run: "
                  "model.layers.3.*\n");
  said.clear();
  model.tensors["model.layers.4.eh_proj.weight"] = {{64, 128}};
  model.config["num_nextn_predict_layers"] = 3;
  EXPECT_EQ(model.text(options), text);
  EXPECT_EQ(said, "leaves out 3 tensors of multi-token prediction, which is not run: "
                  "model.layers.3.*, model.layers.4.*\n");
}

TEST(DeepseekV3Test, OtherLayersBehindTheLastAreRefused) {
  TinyModel model = tinyDeepseekV3();
  model.tensors["model.layers.3.eh_proj.weight"] = {{64, 128}};
  expectRefusal(model, {{"num_nextn_predict_layers", 0}}, Code::Unsupported,
                "`model.layers.3.eh_proj.weight` is read by no part of this architecture; "
                "`num_hidden_layers` is 3 in ");
  expectRefusal(model, {{"num_nextn_predict_layers", 0}}, Code::Unsupported,
                "/config.json, and `num_nextn_predict_layers` 0");
  model.tensors["model.layers.4.eh_proj.weight"] = {{64, 128}};
  expectRefusal(model, {{"num_nextn_predict_layers", 1}}, Code::Unsupported,
                "`model.layers.4.eh_proj.weight` is read by no part");
  expectRefusal(model, {{"num_nextn_predict_layers", -1}}, Code::Model,
                "`num_nextn_predict_layers` is -1");
}

TEST(DeepseekV3Test, BothLayoutsOfExpertsAreRead) {
  TinyModel model = tinyDeepseekV3();
  std::map<std::string, TinyTensor> others;
  for (const char *kind : {"shared_experts", "layers.0."})
    for (const auto &[name, tensor] : model.tensors)
      if (contains(name, kind))
        others[name] = tensor;
  model.fuseExperts("gate_proj", "up_proj", "down_proj");
  model.tensors.merge(others);
  EXPECT_TRUE(contains(
      model.text(), "mlp.experts.gate_up_proj\", rows = 18, first_row = 18, rows_per_expert = 36"));
}

TEST(DeepseekV3Test, AMissingCorrectionIsNamed) {
  TinyModel model = tinyDeepseekV3();
  model.tensors.erase("model.layers.2.mlp.gate.e_score_correction_bias");
  expectRefusal(model, nlohmann::json::object(), Code::Model,
                "`model.layers.2.mlp.gate.e_score_correction_bias` is missing");
}

TEST(DeepseekV3Test, AnExpandingMatrixOfAnotherShapeIsNamed) {
  TinyModel model = tinyDeepseekV3();
  model.tensors["model.layers.1.self_attn.kv_b_proj.weight"].shape = {20, 88};
  expectRefusal(model, nlohmann::json::object(), Code::Model,
                "`model.layers.1.self_attn.kv_b_proj.weight` has shape [20, 88], wanted [88, 20]");
}

TEST(DeepseekV3Test, ATensorTooManyIsNamed) {
  TinyModel model = tinyDeepseekV3();
  model.tensors["model.layers.1.mlp.shared_expert_gate.weight"] = {{1, 64}};
  expectRefusal(model, nlohmann::json::object(), Code::Unsupported,
                "`model.layers.1.mlp.shared_expert_gate.weight` is read by no part");
}

// Refusals --------------------------------------------------------------------------------------

TEST(DeepseekV3Test, OtherScoresAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"scoring_func", "softmax"}}, Code::Unsupported,
                "`scoring_func` is \"softmax\", which is not supported here; wanted \"sigmoid\"");
}

TEST(DeepseekV3Test, OtherChoicesAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"topk_method", "greedy"}}, Code::Unsupported,
                "`topk_method` is \"greedy\"");
}

TEST(DeepseekV3Test, GroupsDivideTheExperts) {
  expectRefusal(tinyDeepseekV3(), {{"n_group", 3}}, Code::Model,
                "`n_group` is 3, wanted a divisor of the 8 experts");
}

TEST(DeepseekV3Test, NoMoreGroupsCountThanThereAre) {
  expectRefusal(tinyDeepseekV3(), {{"topk_group", 5}}, Code::Model, "`topk_group` is 5");
}

TEST(DeepseekV3Test, GroupsThatCountHaveEnoughExperts) {
  expectRefusal(tinyDeepseekV3(), {{"topk_group", 1}}, Code::Model,
                "`topk_group` is 1, wanted at most the 4 groups, and enough for 3 experts a token");
}

TEST(DeepseekV3Test, GroupsThatAreWeighedByTwoHaveTwo) {
  expectRefusal(tinyDeepseekV3(), {{"n_group", 8}, {"topk_group", 4}}, Code::Model,
                "`n_group` is 8, wanted groups of two experts or more");
}

TEST(DeepseekV3Test, ExpertsInEverySecondLayerAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"moe_layer_freq", 2}}, Code::Unsupported,
                "`moe_layer_freq` is 2");
}

TEST(DeepseekV3Test, KindsOfLayersThatContradictAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"mlp_layer_types", {"dense", "dense", "sparse"}}},
                Code::Unsupported, "which is not what `first_k_dense_replace` says");
  expectRefusal(tinyDeepseekV3(), {{"mlp_layer_types", {"dense", "sparse"}}}, Code::Unsupported,
                "`mlp_layer_types`");
}

TEST(DeepseekV3Test, MoreDenseLayersThanThereAreAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"first_k_dense_replace", 4}}, Code::Model,
                "`first_k_dense_replace` is 4");
}

TEST(DeepseekV3Test, GroupedKeysAreRefused) {
  expectRefusal(tinyDeepseekV3(), {{"num_key_value_heads", 2}}, Code::Unsupported,
                "`num_key_value_heads` is 2");
}

TEST(DeepseekV3Test, AnOddRotatedPartIsRefused) {
  expectRefusal(tinyDeepseekV3(), {{"qk_rope_head_dim", 15}}, Code::Model,
                "`qk_rope_head_dim` is 15, wanted an even number");
}

TEST(DeepseekV3Test, AnUnknownRopeTypeIsRefused) {
  expectRefusal(tinyDeepseekV3(), {{"rope_scaling", {{"type", "longrope"}, {"factor", 2}}}},
                Code::Unsupported, "rope type \"longrope\"");
}

TEST(DeepseekV3Test, AnotherActivationIsRefused) {
  expectRefusal(tinyDeepseekV3(), {{"hidden_act", "gelu"}}, Code::Unsupported,
                "`hidden_act` is \"gelu\"");
}
