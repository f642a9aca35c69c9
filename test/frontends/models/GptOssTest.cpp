// What a gpt-oss becomes, and what of it is refused.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;
using nlohmann::json;

static bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

/// The same model with experts as published: pairs of codes and their scales, by rows.
static TinyModel tinyPacked() {
  TinyModel model = tinyGptOss();
  model.config["quantization_config"] = {{"quant_method", "mxfp4"}};
  for (int layer = 0; layer < 3; ++layer)
    for (auto [name, rows, columns] :
         {std::tuple("gate_up_proj", 192, 64), {"down_proj", 64, 96}}) {
      const std::string tensor = "model.layers." + std::to_string(layer) + ".mlp.experts." + name;
      model.tensors.erase(tensor);
      model.tensors[tensor + "_blocks"] = {{6, rows, columns / 32, 16}, "U8"};
      model.tensors[tensor + "_scales"] = {{6, rows, columns / 32}, "U8"};
    }
  return model;
}

// Routing and experts ---------------------------------------------------------------------------

TEST(GptOssTest, ExpertsAreChosenByLogitsWithABiasAndWeighedBySoftmaxOfTheChosen) {
  std::string text = tinyGptOss().text();
  EXPECT_EQ(count(text, "moe.score none"), 2) << "kinds of layers";
  EXPECT_EQ(count(text, "moe.route softmax ins("), 2);
  EXPECT_TRUE(contains(text, "lm.weight @router.bias : !lm.weight<6xf32> layers [0, 1, 2]"));
}

TEST(GptOssTest, GateAndUpAreColumnsInTurns) {
  std::string text = tinyGptOss().text();
  const std::string tensor =
      "from [#lm.piece<pattern = \"model.layers.{l}.mlp.experts.gate_up_proj\", rows = 96, ";
  EXPECT_TRUE(contains(text, "@experts.gate : !lm.weight<6x96x64xf32> layers [0, 1, 2] " + tensor +
                                 "row_step = 2, rows_per_expert = 64, transposed = true"));
  EXPECT_TRUE(contains(text, "@experts.up : !lm.weight<6x96x64xf32> layers [0, 1, 2] " + tensor +
                                 "first_row = 1, row_step = 2, rows_per_expert = 64, transposed"));
}

TEST(GptOssTest, SoAreTheirBiases) {
  EXPECT_TRUE(contains(tinyGptOss().text(),
                       "mlp.experts.gate_up_proj_bias\", rows = 96, first_row = 1, row_step = 2, "
                       "rows_per_expert = 192, stored"));
}

TEST(GptOssTest, PackedExpertsHaveRowsInTurnsAndScales) {
  std::string text = tinyPacked().text();
  EXPECT_TRUE(contains(text,
                       "mlp.experts.gate_up_proj_blocks\", rows = 96, first_row = 1, row_step "
                       "= 2, rows_per_expert = 192, stored = f4E2M1FN"));
  EXPECT_TRUE(contains(text, "mlp.experts.down_proj_scales\""));
  EXPECT_FALSE(contains(text, "transposed"));
}

TEST(GptOssTest, EveryProductOfExpertsHasABias) {
  std::string text = tinyGptOss().text();
  EXPECT_EQ(count(text, "rows_per_expert"), 6);
  size_t matmuls = 0, biased = 0;
  for (size_t place = text.find("moe.grouped_matmul"); place != text.npos;
       place = text.find("moe.grouped_matmul", place + 1), ++matmuls)
    biased += contains(text.substr(place, text.find('\n', place) - place), "bias(");
  EXPECT_EQ(matmuls, 6u) << "three in each of two kinds of layers";
  EXPECT_EQ(biased, matmuls);
}

TEST(GptOssTest, TheActivationIsClamped) {
  TinyModel model = tinyGptOss();
  EXPECT_EQ(count(model.text(), "silu limit 7.000000e+00 : f32 slope 1.702"), 2);
  model.config.update({{"swiglu_limit", 2.5}, {"swiglu_alpha", 0.5}});
  EXPECT_EQ(count(model.text(), "silu limit 2.500000e+00 : f32 slope 5.000000e-01"), 2);
}

// Attention -------------------------------------------------------------------------------------

TEST(GptOssTest, EverySecondLayerSeesAWindowFromTheFirstOn) {
  std::string text = tinyGptOss().text();
  EXPECT_TRUE(contains(text, "lm.cache @attention_window_8 layers [0, 2] heads 2 size 32 block 128 "
                             "window 8"));
  EXPECT_TRUE(contains(text, "lm.cache @attention layers [1] "));
  EXPECT_TRUE(contains(text, "lm.layer_kind %arg1 of [0, 1, 0]"));
}

TEST(GptOssTest, AListOfLayersWinsOverThat) {
  TinyModel model = tinyGptOss();
  model.config["layer_types"] = {"full_attention", "sliding_attention", "full_attention"};
  std::string text = model.text();
  EXPECT_TRUE(contains(text, "lm.cache @attention_window_8 layers [1] "));
  EXPECT_TRUE(contains(text, "lm.cache @attention layers [0, 2] "));
}

TEST(GptOssTest, AllLayersHaveAScoreThatWeighsNoValue) {
  std::string text = tinyGptOss().text();
  EXPECT_EQ(count(text, "sinks("), 2) << "kinds of layers";
  EXPECT_TRUE(contains(text, "lm.weight @self_attn.sinks : !lm.weight<4xf32> layers [0, 1, 2]"));
}

TEST(GptOssTest, BiasesCanBeSwitchedOff) {
  TinyModel model = tinyGptOss();
  model.config["attention_bias"] = false;
  std::erase_if(model.tensors,
                [](const auto &entry) { return entry.first.ends_with("_proj.bias"); });
  EXPECT_FALSE(contains(model.text(), "_proj.bias"));
}

TEST(GptOssTest, WithoutRopeParametersAnglesAreThoseOfTheClass) {
  TinyModel model = tinyGptOss();
  std::string text = model.text();
  EXPECT_TRUE(contains(text, "] factor 1.346573")) << "YaRN's, of a factor of 32";
  model.config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", 32.0},    {"beta_fast", 32.0},
      {"beta_slow", 1.0},    {"truncate", false}, {"original_max_position_embeddings", 4096}};
  EXPECT_EQ(model.text(), text);
}

TEST(GptOssTest, TheActivationsNameIsNoMatter) {
  TinyModel model = tinyGptOss();
  std::string text = model.text();
  model.config["hidden_act"] = "gelu";
  EXPECT_EQ(model.text(), text);
}

// Refusals --------------------------------------------------------------------------------------

TEST(GptOssTest, OtherLayersAreRefused) {
  expectRefusal(tinyGptOss(),
                {{"layer_types", {"full_attention", "chunked_attention", "full_attention"}}},
                Code::Unsupported, "\"chunked_attention\" layers are not supported");
}

TEST(GptOssTest, AKindForEachLayerIsWanted) {
  expectRefusal(tinyGptOss(), {{"layer_types", {"full_attention"}}}, Code::Model,
                "wanted one for each of 3 layers");
}

TEST(GptOssTest, TwoCountsOfPicksThatDifferAreRefused) {
  expectRefusal(tinyGptOss(), {{"experts_per_token", 2}}, Code::Model,
                "`experts_per_token` is 2, but `num_experts_per_tok` is 3");
}

TEST(GptOssTest, AnUnknownRopeTypeIsRefused) {
  expectRefusal(tinyGptOss(), {{"rope_scaling", {{"rope_type", "su"}, {"factor", 2}}}},
                Code::Unsupported, "rope type \"su\"");
}

TEST(GptOssTest, SharedExpertsAreRefused) {
  expectRefusal(tinyGptOss(), {{"n_shared_experts", 1}}, Code::Unsupported,
                "`n_shared_experts` is 1");
}

TEST(GptOssTest, MissingSinksAreNamed) {
  TinyModel model = tinyGptOss();
  model.tensors.erase("model.layers.1.self_attn.sinks");
  expectRefusal(model, json::object(), Code::Model, "`model.layers.1.self_attn.sinks` is missing");
}

TEST(GptOssTest, AMissingBiasIsNamed) {
  for (const char *part : {"self_attn.k_proj.bias", "self_attn.o_proj.bias", "mlp.router.bias",
                           "mlp.experts.gate_up_proj_bias", "mlp.experts.down_proj_bias"}) {
    TinyModel model = tinyGptOss();
    const std::string name = std::string("model.layers.1.") + part;
    ASSERT_EQ(model.tensors.erase(name), 1u) << name;
    expectRefusal(model, json::object(), Code::Model, "`" + name + "` is missing");
  }
}

TEST(GptOssTest, AMissingHalfOfCodesIsNamed) {
  for (const char *half : {"_blocks", "_scales"}) {
    TinyModel model = tinyPacked();
    const std::string name = std::string("model.layers.0.mlp.experts.gate_up_proj") + half;
    ASSERT_EQ(model.tensors.erase(name), 1u) << name;
    expectRefusal(model, json::object(), Code::Model, "`" + name + "` is missing");
  }
}

TEST(GptOssTest, BiasesOfExpertsAreNeverCodes) {
  TinyModel model = tinyPacked();
  const std::string bias = "model.layers.0.mlp.experts.gate_up_proj_bias";
  model.tensors.erase(bias);
  model.tensors[bias + "_blocks"] = {{6, 6, 16}, "U8"};
  model.tensors[bias + "_scales"] = {{6, 6}, "U8"};
  expectRefusal(model, json::object(), Code::Model, "`" + bias + "` is missing");

  model = tinyGptOss();
  model.config["quantization_config"] = {{"quant_method", "fp8"},
                                         {"weight_block_size", {128, 128}}};
  for (int layer = 0; layer < 3; ++layer)
    model.tensors["model.layers." + std::to_string(layer) + ".mlp.experts.gate_up_proj_bias"].type =
        "F8_E4M3";
  expectRefusal(model, json::object(), Code::Unsupported, "`" + bias + "` is F8_E4M3");
}

TEST(GptOssTest, PackedExpertsOfAnotherShapeAreNamed) {
  TinyModel model = tinyPacked();
  model.tensors["model.layers.1.mlp.experts.down_proj_blocks"].shape = {6, 96, 2, 16};
  expectRefusal(model, json::object(), Code::Model,
                "`model.layers.1.mlp.experts.down_proj_blocks` has shape [6, 96, 2, 16], wanted "
                "[6, 64, 3, 16]");
}
