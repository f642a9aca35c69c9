// What a Qwen2 MoE becomes.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Qwen2MoeTest, QueriesKeysAndValuesHaveBiases) {
  std::string text = tinyQwen2Moe().text();
  EXPECT_EQ(count(text, "bias("), 6) << "three in each of two kinds of layers";
  EXPECT_EQ(count(text, "@self_attn.o_proj.bias"), 0);
}

TEST(Qwen2MoeTest, BiasesCanBeSwitchedOff) {
  TinyModel model = tinyQwen2Moe();
  model.config["qkv_bias"] = false;
  std::erase_if(model.tensors, [](const auto &entry) { return entry.first.ends_with(".bias"); });
  EXPECT_EQ(count(model.text(), "bias("), 0);
}

TEST(Qwen2MoeTest, AMissingBiasIsNamed) {
  for (const char *name :
       {"model.layers.0.self_attn.q_proj.bias", "model.layers.2.self_attn.k_proj.bias"}) {
    TinyModel model = tinyQwen2Moe();
    ASSERT_EQ(model.tensors.erase(name), 1u);
    expectRefusal(model, nlohmann::json::object(), Code::Model,
                  "`" + std::string(name) + "` is missing");
  }
}

TEST(Qwen2MoeTest, TheSharedExpertHasAWidthAndAGateOfItsOwn) {
  std::string text = tinyQwen2Moe().text();
  EXPECT_NE(text.find("lm.weight @mlp.shared_expert.up_proj : !lm.weight<72x64xf32> layers [0, 2]"),
            text.npos);
  EXPECT_NE(text.find("lm.weight @mlp.shared_expert_gate : !lm.weight<1x64xf32> layers [0, 2]"),
            text.npos);
  EXPECT_EQ(count(text, "lm.scale_rows"), 1);
  EXPECT_LT(text.find("moe.combine"), text.find("lm.scale_rows"));
}

TEST(Qwen2MoeTest, BothLayoutsOfExpertsAreRead) {
  TinyModel model = tinyQwen2Moe();
  model.fuseExperts("gate_proj", "up_proj", "down_proj");
  EXPECT_NE(model.text().find("mlp.experts.gate_up_proj\", rows = 40, rows_per_expert = 80"),
            std::string::npos);
}
