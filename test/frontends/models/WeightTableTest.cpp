// What importing says of tensors that are missing, wrong or too many.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

static void expectFailure(const TinyModel &model, Code code, const std::string &part) {
  Status status = model.failure();
  EXPECT_EQ(status.code, code) << status.message;
  EXPECT_NE(status.message.find(part), std::string::npos) << status.message;
}

static constexpr const char *kUp = "model.layers.2.block_sparse_moe.experts.5.w3.weight";

TEST(WeightTableTest, SizesThatTheConfigLacksAreNamedWithAWrongShape) {
  TinyModel model = tinyMixtral();
  model.config.erase("hidden_size");
  expectFailure(model, Code::Model,
                "`model.embed_tokens.weight` has shape [131, 64], wanted [131, 4096]; ");
  expectFailure(model, Code::Model, "/config.json lacks `hidden_size`, which counts as 4096");
}

TEST(WeightTableTest, AMissingExpertIsNamed) {
  TinyModel model = tinyMixtral();
  model.tensors.erase(kUp);
  expectFailure(model, Code::Model, std::string("`") + kUp + "` is missing");
}

TEST(WeightTableTest, AnExpertOfAnotherShapeIsNamed) {
  TinyModel model = tinyMixtral();
  model.tensors[kUp].shape = {64, 96};
  expectFailure(model, Code::Model,
                std::string("`") + kUp + "` has shape [64, 96], wanted [96, 64]");
}

TEST(WeightTableTest, AnExpertOfAnotherTypeIsNamed) {
  TinyModel model = tinyMixtral();
  model.tensors[kUp].type = "BF16";
  expectFailure(model, Code::Unsupported,
                std::string("`") + kUp +
                    "` is BF16, and `model.layers.0.block_sparse_moe.experts.0.w3.weight` is F32; "
                    "moec wants tensors of a kind stored alike");
}

TEST(WeightTableTest, TypesMayDifferBetweenWeightsButNotBetweenLayers) {
  TinyModel model = tinyQwen3Moe();
  for (auto &[name, tensor] : model.tensors)
    if (name.ends_with("q_proj.weight"))
      tensor.type = "BF16";
  EXPECT_NE(model.text().find("lm.weight @self_attn.q_proj : !lm.weight<128x64xbf16>"),
            std::string::npos);
  for (int layer : {0, 2}) // those without experts
    model.tensors["model.layers." + std::to_string(layer) + ".self_attn.q_proj.weight"].type =
        "F16";
  expectFailure(model, Code::Unsupported,
                "tensors `model.layers.{l}.self_attn.q_proj.weight` are stored as BF16 in layer 1, "
                "and as F16 in layer 0; moec wants tensors of a kind stored alike");
}

TEST(WeightTableTest, ATensorThatNothingReadsIsNamed) {
  TinyModel model = tinyMixtral();
  model.tensors["model.layers.0.self_attn.sinks"] = {{4}};
  expectFailure(model, Code::Unsupported, "`model.layers.0.self_attn.sinks` is read by no part");
}

TEST(WeightTableTest, ALayerTooManyIsNamed) {
  TinyModel model = tinyMixtral();
  model.config["num_hidden_layers"] = 2;
  expectFailure(model, Code::Unsupported, "(and ");
}

TEST(WeightTableTest, AStackOfTooFewExpertsIsNamed) {
  TinyModel model = tinyMixtral();
  model.fuseExperts("w1", "w3", "w2");
  model.tensors["model.layers.1.mlp.experts.down_proj"].shape = {7, 64, 96};
  expectFailure(model, Code::Model, "`model.layers.1.mlp.experts.down_proj` has shape [7, 64, 96]");
}

/// tinyMixtral with its experts stored as codes of 8 bits, in blocks.
static TinyModel tinyFloat8() {
  TinyModel model = tinyMixtral();
  model.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 32}}};
  for (auto &[name, tensor] : std::map(model.tensors))
    if (name.find(".experts.") != std::string::npos) {
      model.tensors[name].type = "F8_E4M3";
      model.tensors[name + "_scale_inv"] = {
          {(tensor.shape[0] + 127) / 128, (tensor.shape[1] + 31) / 32}};
    }
  return model;
}

TEST(WeightTableTest, FloatsOf8BitsNameTheirScales) {
  TinyModel model = tinyFloat8();
  model.tensors["model.layers.0.self_attn.q_proj.input_scale"] = {{1}};
  EXPECT_NE(model.text().find("stored = f8E4M3FN, scales = <pattern = "
                              "\"model.layers.{l}.block_sparse_moe.experts.{e}.w3."
                              "weight_scale_inv\", rows = 128, columns = 32>"),
            std::string::npos)
      << model.text();
  model.tensors[std::string(kUp) + "_scale_inv"].shape = {1, 3};
  expectFailure(model, Code::Model,
                std::string("`") + kUp + "_scale_inv` has shape [1, 3], wanted [1, 2]");
  model.tensors.erase(std::string(kUp) + "_scale_inv");
  expectFailure(model, Code::Model, std::string("`") + kUp + "_scale_inv` is missing");
}

TEST(WeightTableTest, CodesInSomeLayersAreNamedWithTheirScales) {
  TinyModel model = tinyQwen3Moe();
  model.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 32}}};
  for (int layer : {1, 3}) { // those with experts
    const std::string name = "model.layers." + std::to_string(layer) + ".self_attn.q_proj.weight";
    model.tensors[name].type = "F8_E4M3";
    model.tensors[name + "_scale_inv"] = {{1, 2}};
  }
  expectFailure(
      model, Code::Unsupported,
      "are stored as F8_E4M3 in `model.layers.{l}.self_attn.q_proj.weight` with a scale in "
      "`model.layers.{l}.self_attn.q_proj.weight_scale_inv` for 128 rows by 32 columns in layer 1, "
      "and as F32 in layer 0");
}

TEST(WeightTableTest, CodesOfVectorsAreRefused) {
  TinyModel model = tinyFloat8();
  model.tensors["model.norm.weight"].type = "F8_E4M3";
  expectFailure(model, Code::Unsupported, "`model.norm.weight` is F8_E4M3");
}

TEST(WeightTableTest, ExpertsOfOneColumnMayBeCodes) {
  TinyModel model = tinyMixtral();
  model.config["intermediate_size"] = 1;
  model.config["quantization_config"] = {{"quant_method", "fp8"},
                                         {"weight_block_size", {128, 128}}};
  for (auto &[name, tensor] : std::map(model.tensors))
    if (name.find(".experts.") != std::string::npos) {
      const bool isDown = name.find(".w2.") != std::string::npos;
      model.tensors[name].shape[isDown ? 1 : 0] = 1;
      model.tensors[name].type = "F8_E4M3";
      model.tensors[name + "_scale_inv"] = {{1, 1}};
    }
  EXPECT_NE(model.text().find("!lm.weight<8x64x1xf8E4M3FN>"), std::string::npos) << model.text();
}

TEST(WeightTableTest, Mxfp4IsReadUnderItsOwnNames) {
  TinyModel model = tinyMixtral();
  model.config["quantization_config"] = {{"quant_method", "mxfp4"}};
  for (auto &[name, tensor] : std::map(model.tensors))
    if (name.find(".experts.") != std::string::npos) {
      model.tensors.erase(name);
      model.tensors[name + "_blocks"] = {{tensor.shape[0], tensor.shape[1] / 32, 16}, "U8"};
      model.tensors[name + "_scales"] = {{tensor.shape[0], tensor.shape[1] / 32}, "U8"};
    }
  const std::string text = model.text();
  EXPECT_NE(text.find("lm.weight @experts.up : !lm.weight<8x96x64xf4E2M1FN>"), std::string::npos)
      << text;
  EXPECT_NE(
      text.find("w3.weight_blocks\", rows = 96, stored = f4E2M1FN, scales = <pattern = "
                "\"model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight_scales\", rows = 1, "
                "columns = 32>"),
      std::string::npos)
      << text;
  model.tensors.erase(std::string(kUp) + "_scales");
  expectFailure(model, Code::Model, std::string("`") + kUp + "_scales` is missing");
}
