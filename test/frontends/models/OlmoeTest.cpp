// What an OLMoE becomes.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(OlmoeTest, QueriesAndKeysAreNormalisedAsWholeRows) {
  std::string text = tinyOlmoe().text();
  EXPECT_NE(text.find("lm.weight @self_attn.q_norm : !lm.weight<64xf32>"), text.npos);
  EXPECT_NE(text.find("lm.weight @self_attn.k_norm : !lm.weight<32xf32>"), text.npos);
  EXPECT_EQ(count(text, "lm.rms_norm epsilon 9.99999974E-6 ins("), 5);
}

TEST(OlmoeTest, ProjectionsAreClippedAfterTheNormsAndBeforeRope) {
  std::string text = tinyOlmoe().text();
  EXPECT_EQ(count(text, "lm.clamp 1.5"), 3);
  EXPECT_LT(text.find("@self_attn.k_norm["), text.find("lm.clamp"));
  EXPECT_LT(text.rfind("lm.clamp"), text.find("lm.rope "));
}

TEST(OlmoeTest, NothingIsClippedWhereTheConfigDoesNotSay) {
  TinyModel model = tinyOlmoe();
  model.config["clip_qkv"] = nullptr;
  EXPECT_EQ(count(model.text(), "lm.clamp"), 0);
}

TEST(OlmoeTest, BothLayoutsOfExpertsAreRead) {
  TinyModel model = tinyOlmoe();
  model.fuseExperts("gate_proj", "up_proj", "down_proj");
  EXPECT_NE(model.text().find("mlp.experts.down_proj\", rows = 64, rows_per_expert = 64"),
            std::string::npos);
}
