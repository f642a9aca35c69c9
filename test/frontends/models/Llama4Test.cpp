// What the language model of a Llama 4 becomes, and what of it is refused.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;
using nlohmann::json;

static bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

/// The same model as published: inside one that reads images.
static TinyModel tinyWithImages() {
  TinyModel text = tinyLlama4();
  TinyModel model{.config = {{"architectures", {"Llama4ForConditionalGeneration"}},
                             {"model_type", "llama4"},
                             {"text_config", text.config},
                             {"vision_config", {{"hidden_size", 7}}}},
                  .tensors = {}};
  for (const auto &[name, tensor] : text.tensors)
    model.tensors["language_model." + name] = tensor;
  model.tensors["vision_model.class_embedding"] = {{7}};
  model.tensors["multi_modal_projector.linear_1.weight"] = {{64, 7}};
  return model;
}

// Routing ---------------------------------------------------------------------------------------

TEST(Llama4Test, ExpertsAreChosenByLogitsAndWeighedBySigmoids) {
  std::string text = tinyLlama4().text();
  EXPECT_EQ(count(text, "moe.score none"), 2) << "kinds of layers with experts";
  EXPECT_EQ(count(text, "moe.route sigmoid ins("), 2);
}

TEST(Llama4Test, WeightsMultiplyWhatExpertsGet) {
  std::string text = tinyLlama4().text();
  EXPECT_EQ(count(text, "picks("), 4) << "gate and up of two kinds of layers";
  EXPECT_EQ(count(text, "moe.combine picked 2 ins("), 2);
}

TEST(Llama4Test, GateAndUpAreColumnsOfOneTensor) {
  std::string text = tinyLlama4().text();
  const std::string tensor = "!lm.weight<6x48x64xf32> layers [1, 3] from [#lm.piece<pattern = "
                             "\"model.layers.{l}.feed_forward.experts.gate_up_proj\", rows = 48, ";
  EXPECT_TRUE(contains(text, "@experts.gate : " + tensor + "rows_per_expert = 64, transposed"));
  EXPECT_TRUE(contains(text, "@experts.up : " + tensor +
                                 "first_row = 48, rows_per_expert = 64, "
                                 "transposed"));
}

TEST(Llama4Test, TheSharedExpertHasTheRoutedOnesWidth) {
  std::string text = tinyLlama4().text();
  EXPECT_TRUE(
      contains(text, "@feed_forward.shared_expert.up_proj : !lm.weight<48x64xf32> layers [1, 3]"));
  EXPECT_TRUE(contains(text, "@feed_forward.up_proj : !lm.weight<80x64xf32> layers [0, 2]"));
}

// Layers ----------------------------------------------------------------------------------------

TEST(Llama4Test, LayersAreOfThreeKinds) {
  std::string text = tinyLlama4().text();
  for (const char *kind : {"dense_rope", "moe_nope", "moe_rope"})
    EXPECT_EQ(count(text, std::string("func.func private @layer_") + kind + "("), 1) << kind;
  EXPECT_TRUE(contains(text, "lm.layer_kind %arg1 of [0, 2, 0, 1]"));
  EXPECT_TRUE(contains(text, "moe_layers = array<i64: 1, 3>"));
}

TEST(Llama4Test, TheListOfLayersWithExpertsWinsOverTheStep) {
  TinyModel model = tinyLlama4();
  std::string text = model.text();
  model.config["interleave_moe_layer_step"] = 1;
  model.config["moe_layers"] = {1, 3};
  EXPECT_EQ(model.text(), text);
}

TEST(Llama4Test, RotatedLayersSeeChunksAndTheOthersAll) {
  std::string text = tinyLlama4().text();
  EXPECT_TRUE(contains(text, "lm.cache @attention_chunk_8 layers [0, 1, 2] heads 2 size 16 block "
                             "128 chunk 8"));
  EXPECT_TRUE(contains(text, "lm.cache @attention layers [3] heads 2 size 16 block 128 :"));
}

TEST(Llama4Test, WithoutChunksAllLayersSeeAll) {
  TinyModel model = tinyLlama4();
  model.config["attention_chunk_size"] = nullptr;
  EXPECT_TRUE(contains(model.text(), "lm.cache @attention layers [0, 1, 2, 3]"));
}

TEST(Llama4Test, LayersCanBeToldWhatTheySee) {
  TinyModel model = tinyLlama4();
  std::string text = model.text();
  model.config["layer_types"] = {"chunked_attention", "chunked_attention", "chunked_attention",
                                 "full_attention"};
  EXPECT_EQ(model.text(), text);
  model.config["layer_types"] = {"full_attention", "chunked_attention", "chunked_attention",
                                 "chunked_attention"};
  text = model.text();
  EXPECT_TRUE(contains(text, "lm.cache @attention_chunk_8 layers [1, 2, 3]"));
  EXPECT_TRUE(contains(text, "@layer_dense_rope_all(") && contains(text, "@layer_moe_nope_chunk("));
}

TEST(Llama4Test, EveryFourthLayerIsNotRotatedWhereNoListSays) {
  TinyModel model = tinyLlama4();
  std::string text = model.text();
  model.config["no_rope_layers"] = json::array();
  EXPECT_EQ(model.text(), text);
  model.config.erase("no_rope_layers");
  EXPECT_EQ(model.text(), text);
}

TEST(Llama4Test, QueriesAndKeysAreNormalisedWithoutAWeightAfterTheyAreRotated) {
  std::string text = tinyLlama4().text();
  EXPECT_EQ(count(text, "lm.rms_norm epsilon 9.99999974E-6 heads 4 ins("), 2);
  EXPECT_EQ(count(text, "lm.rms_norm epsilon 9.99999974E-6 heads 2 ins("), 2);
  EXPECT_LT(text.find("lm.rope heads 2 interleaved"),
            text.find("heads 4 ins(", text.find("lm.rms_norm epsilon 9.99999974E-6 heads")));
}

TEST(Llama4Test, NormsOfQueriesAndKeysCanBeSwitchedOff) {
  TinyModel model = tinyLlama4();
  model.config["use_qk_norm"] = false;
  EXPECT_FALSE(contains(model.text(), "lm.rms_norm epsilon 9.99999974E-6 heads"));
}

TEST(Llama4Test, OnlyQueriesThatAreNotRotatedHaveATemperature) {
  std::string text = tinyLlama4().text();
  EXPECT_EQ(count(text, "lm.temperature interval 4 scale 2.500000e-01"), 1);
  size_t function = text.find("@layer_moe_nope("), end = text.find("@layer_moe_rope(");
  EXPECT_GT(text.find("lm.temperature"), function);
  EXPECT_LT(text.find("lm.temperature"), end);
}

TEST(Llama4Test, TheTemperaturesSwitchMayBeANumber) {
  TinyModel model = tinyLlama4();
  std::string text = model.text();
  model.config["attn_temperature_tuning"] = 4;
  EXPECT_EQ(model.text(), text);
  model.config["attn_temperature_tuning"] = 0;
  EXPECT_FALSE(contains(model.text(), "lm.temperature"));
  model.config["attn_temperature_tuning"] = false;
  EXPECT_FALSE(contains(model.text(), "lm.temperature"));
}

TEST(Llama4Test, TheTemperaturesIntervalIsAnInteger) {
  TinyModel model = tinyLlama4();
  std::string text = model.text();
  model.config["floor_scale"] = 4.0;
  EXPECT_EQ(model.text(), text);
  expectRefusal(model, {{"floor_scale", 4.5}}, Code::Model,
                "`floor_scale` is 4.5, wanted an integer from 1 to ");
}

// Inside a model that reads images --------------------------------------------------------------

TEST(Llama4Test, WhatReadsImagesIsLeftOutWithANotice) {
  std::string said;
  std::string text =
      tinyWithImages().text({.notice = [&](const std::string &line) { said += line; }});
  EXPECT_TRUE(contains(said, "leaves out 2 tensors of what reads images")) << said;
  EXPECT_FALSE(contains(said, "beside")) << said;
  EXPECT_TRUE(contains(text, "pattern = \"language_model.model.layers.{l}.feed_forward.router."));
  EXPECT_TRUE(contains(text, "pattern = \"language_model.lm_head.weight\""));
}

TEST(Llama4Test, KeysOfTheWholeAreNotThoseOfTheLanguageModel) {
  TinyModel model = tinyWithImages();
  std::string text = model.text();
  model.config.update({{"attention_chunk_size", 4},
                       {"hidden_size", 32},
                       {"sliding_window", 4},
                       {"tie_word_embeddings", true},
                       {"rms_norm_eps", 0.5}});
  std::string said;
  EXPECT_EQ(model.text({.notice = [&](const std::string &line) { said += line + "\n"; }}), text);
  EXPECT_TRUE(contains(said, "/config.json: beside `text_config`, which counts, "
                             "`attention_chunk_size` is 4, `hidden_size` is 32, `rms_norm_eps` is "
                             "0.5, `sliding_window` is 4, `tie_word_embeddings` is true\n"))
      << said;
}

TEST(Llama4Test, AKeyThatTheLanguageModelLacksHasItsClasssDefault) {
  TinyModel model = tinyWithImages();
  model.config["text_config"].erase("attention_chunk_size");
  model.config["attention_chunk_size"] = 4;
  EXPECT_TRUE(contains(model.text(), "lm.cache @attention_chunk_8192 layers [0, 1, 2]"));
}

TEST(Llama4Test, ATensorOfTheLanguageModelThatNothingReadsIsNamed) {
  TinyModel model = tinyWithImages();
  model.tensors["language_model.model.layers.0.self_attn.q_norm.weight"] = {{16}};
  expectRefusal(model, json::object(), Code::Unsupported,
                "`language_model.model.layers.0.self_attn.q_norm.weight` is read by no part");
}

// Refusals --------------------------------------------------------------------------------------

TEST(Llama4Test, ExpertsThatAreStoredByRowsAreNamed) {
  TinyModel model = tinyLlama4();
  model.tensors["model.layers.3.feed_forward.experts.gate_up_proj"].shape = {6, 96, 64};
  expectRefusal(model, json::object(), Code::Model,
                "`model.layers.3.feed_forward.experts.gate_up_proj` has shape [6, 96, 64], wanted "
                "[6, 64, 96]");
}

TEST(Llama4Test, AMissingRouterIsNamed) {
  expectRefusal(tinyLlama4(), {{"interleave_moe_layer_step", 1}}, Code::Model,
                "`model.layers.0.feed_forward.router.weight` is missing");
}

TEST(Llama4Test, AFlagForEachLayerIsWanted) {
  expectRefusal(tinyLlama4(), {{"no_rope_layers", {1, 0}}}, Code::Model,
                "`no_rope_layers` is [1,0], wanted one flag for each of 4 layers");
}

TEST(Llama4Test, FlagsAreZeroOrOne) {
  expectRefusal(tinyLlama4(), {{"no_rope_layers", {1, 1, 2, 0}}}, Code::Model, "`no_rope_layers`");
}

TEST(Llama4Test, OtherLayersAreRefused) {
  expectRefusal(tinyLlama4(),
                {{"layer_types",
                  {"chunked_attention", "sliding_attention", "full_attention", "full_attention"}}},
                Code::Unsupported, "\"sliding_attention\" layers are not supported");
}

TEST(Llama4Test, AKindForEachLayerIsWanted) {
  expectRefusal(tinyLlama4(), {{"layer_types", {"full_attention"}}}, Code::Model,
                "wanted one for each of 4 layers");
}

TEST(Llama4Test, ListedLayersAreLayers) {
  expectRefusal(tinyLlama4(), {{"moe_layers", {1, 4}}}, Code::Model, "`moe_layers` is [1,4]");
}

TEST(Llama4Test, AnUnknownRopeTypeIsRefused) {
  expectRefusal(tinyLlama4(), {{"rope_scaling", {{"rope_type", "su"}, {"factor", 2}}}},
                Code::Unsupported, "rope type \"su\"");
}
