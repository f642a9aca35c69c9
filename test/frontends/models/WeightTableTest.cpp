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
  expectFailure(model, Code::Model, std::string("`") + kUp + "` is BF16, wanted F32");
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
  expectFailure(model, Code::Model, "one type in layer 1 and another in layer 0");
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
