// Where a DeepSeek V2 is not a V3, and what of it is refused.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

static bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

TEST(DeepseekV2Test, ExpertsAreChosenBySoftmaxInGroupsOfTheBest) {
  std::string text = tinyDeepseekV2().text();
  EXPECT_EQ(count(text, "moe.score softmax"), 1);
  EXPECT_TRUE(contains(text, "moe.route scale 2.500000e+00 groups <2 of 4 by best> ins("));
  EXPECT_FALSE(contains(text, "correction"));
}

TEST(DeepseekV2Test, AGreedyChoiceHasNoGroups) {
  TinyModel model = tinyDeepseekV2();
  model.config["topk_method"] = "greedy";
  std::string text = model.text();
  EXPECT_FALSE(contains(text, "groups <"));
  model.config.erase("topk_method");
  EXPECT_EQ(model.text(), text) << "that is the default";
}

TEST(DeepseekV2Test, QueriesAreMadeOfTheLayersInput) {
  std::string text = tinyDeepseekV2().text();
  EXPECT_TRUE(contains(text, "@self_attn.q_proj : !lm.weight<112x64xf32>"));
  EXPECT_TRUE(contains(text, "heads 1 size 36 values 20 latent"));
}

TEST(DeepseekV2Test, LayersAreMoeWhereNothingIsSaid) {
  TinyModel model = tinyDeepseekV2();
  model.config["first_k_dense_replace"] = nullptr;
  expectRefusal(model, nlohmann::json::object(), Code::Model,
                "`model.layers.0.mlp.gate.weight` is missing");
}

TEST(DeepseekV2Test, OtherChoicesAreRefused) {
  expectRefusal(tinyDeepseekV2(), {{"topk_method", "noaux_tc"}}, Code::Unsupported,
                "wanted \"greedy\" or \"group_limited_greedy\"");
}

TEST(DeepseekV2Test, OtherScoresAreRefused) {
  expectRefusal(tinyDeepseekV2(), {{"scoring_func", "sigmoid"}}, Code::Unsupported,
                "`scoring_func` is \"sigmoid\"");
}

TEST(DeepseekV2Test, WeightsThatSumToOneAreRefused) {
  expectRefusal(tinyDeepseekV2(), {{"norm_topk_prob", true}}, Code::Unsupported,
                "`norm_topk_prob` is true");
}

TEST(DeepseekV2Test, BiasesOfMlpsAreRefused) {
  expectRefusal(tinyDeepseekV2(), {{"mlp_bias", true}}, Code::Unsupported, "`mlp_bias` is true");
}

TEST(DeepseekV2Test, HowManyExpertsATokenPicksHasNoDefault) {
  expectRefusal(tinyDeepseekV2(), {{"num_experts_per_tok", nullptr}}, Code::Model,
                "`num_experts_per_tok` is absent");
}

TEST(DeepseekV2Test, LayersBehindTheLastAreRefused) {
  TinyModel model = tinyDeepseekV2();
  model.tensors["model.layers.3.eh_proj.weight"] = {{64, 128}};
  expectRefusal(model, {{"num_nextn_predict_layers", 1}}, Code::Unsupported,
                "`model.layers.3.eh_proj.weight` is read by no part");
}
