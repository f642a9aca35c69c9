// What a Qwen3 MoE becomes.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

TEST(Qwen3MoeTest, LayersAreOfTwoKinds) {
  std::string text = tinyQwen3Moe().text();
  EXPECT_EQ(count(text, "func.func private @layer_moe("), 1);
  EXPECT_EQ(count(text, "func.func private @layer_dense("), 1);
  EXPECT_NE(text.find("moe_layers = array<i64: 1, 3>"), text.npos) << "the step counts from 1";
  EXPECT_NE(text.find("of [1, 0, 1, 0]"), text.npos) << "kinds";
  EXPECT_NE(text.find("of [0, 0, 0, 1]"), text.npos) << "ordinals of the routing's record";
  EXPECT_NE(text.find("lm.weight @router : !lm.weight<8x64xf32> layers [1, 3]"), text.npos);
  EXPECT_NE(text.find("lm.weight @mlp.gate_proj : !lm.weight<80x64xf32> layers [0, 2]"), text.npos);
  EXPECT_NE(text.find("lm.weight @self_attn.q_proj : !lm.weight<128x64xf32> layers [0, 1, 2, 3]"),
            text.npos);
}

TEST(Qwen3MoeTest, ListedLayersAreDenseWhateverTheStepSays) {
  TinyModel model = tinyQwen3Moe();
  model.config["mlp_only_layers"] = {1};
  for (auto tensor = model.tensors.begin(); tensor != model.tensors.end();)
    tensor = tensor->first.starts_with("model.layers.1.mlp.") ? model.tensors.erase(tensor)
                                                              : std::next(tensor);
  for (const char *part : {"gate_proj", "up_proj", "down_proj"})
    model.tensors[std::string("model.layers.1.mlp.") + part + ".weight"] =
        model.tensors[std::string("model.layers.0.mlp.") + part + ".weight"];
  EXPECT_NE(model.text().find("moe_layers = array<i64: 3>"), std::string::npos);
}

TEST(Qwen3MoeTest, QueriesAndKeysAreNormalisedByHeadBeforeTheyAreRotated) {
  std::string text = tinyQwen3Moe().text();
  size_t queries = text.find("heads 4 ins("), keys = text.find("heads 2 ins("),
         rope = text.find("lm.rope ");
  ASSERT_NE(rope, text.npos);
  EXPECT_LT(queries, rope);
  EXPECT_LT(keys, rope);
  EXPECT_NE(text.find("lm.weight @self_attn.q_norm : !lm.weight<32xf32>"), text.npos);
}

TEST(Qwen3MoeTest, WeightsArePickedAsTheyAreUnlessTheConfigWantsASumOfOne) {
  TinyModel model = tinyQwen3Moe();
  EXPECT_EQ(count(model.text(), "moe.route renormalize"), 1);
  model.config["norm_topk_prob"] = false;
  std::string text = model.text();
  EXPECT_EQ(count(text, "moe.route renormalize"), 0);
  model.config.erase("norm_topk_prob");
  EXPECT_EQ(model.text(), text) << "that is the default";
}

TEST(Qwen3MoeTest, ExpertsHaveTwoSpellings) {
  TinyModel model = tinyQwen3Moe();
  std::string text = model.text();
  model.config.erase("num_experts");
  model.config["num_local_experts"] = 8;
  EXPECT_EQ(model.text(), text);
}

TEST(Qwen3MoeTest, AttentionBiasAddsFourBiases) {
  TinyModel model = tinyQwen3Moe();
  EXPECT_EQ(count(model.text(), "bias("), 0);
  model.config["attention_bias"] = true;
  for (int layer = 0; layer < 4; ++layer)
    for (const char *part : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      std::string name = "model.layers." + std::to_string(layer) + ".self_attn." + part;
      model.tensors[name + ".bias"] = {{model.tensors[name + ".weight"].shape[0]}};
    }
  EXPECT_EQ(count(model.text(), "bias("), 8) << "in each of two kinds of layers";
}

TEST(Qwen3MoeTest, KeysThatTheReferenceIgnoresAreIgnored) {
  TinyModel model = tinyQwen3Moe();
  std::string text = model.text();
  model.config.update({{"sliding_window", 8},
                       {"max_window_layers", 2},
                       {"use_sliding_window", false},
                       {"qkv_bias", true},
                       {"use_qk_norm", true},
                       {"router_aux_loss_coef", 0.1},
                       {"shared_expert_intermediate_size", 0}});
  EXPECT_EQ(model.text(), text);
}

TEST(Qwen3MoeTest, BothLayoutsOfExpertsAreRead) {
  TinyModel model = tinyQwen3Moe();
  model.fuseExperts("gate_proj", "up_proj", "down_proj");
  EXPECT_NE(model.text().find("mlp.experts.gate_up_proj\", rows = 48, first_row = 48, "
                              "rows_per_expert = 96, stored = f32>"),
            std::string::npos);
}

TEST(Qwen3MoeTest, AModelWithoutExpertsIsDense) {
  TinyModel model = tinyQwen3Moe();
  model.config["num_experts"] = 0;
  std::map<std::string, TinyTensor> kept;
  for (const auto &[name, tensor] : model.tensors)
    if (name.find("layers.1.") == name.npos && name.find("layers.3.") == name.npos)
      kept[name] = tensor;
  for (const auto &[name, tensor] : model.tensors)
    for (const char *other : {"layers.1.", "layers.3."})
      if (size_t place = name.find("layers.0."); place != name.npos)
        kept[std::string(name).replace(place, 9, other)] = tensor;
  model.tensors = kept;
  std::string text = model.text();
  EXPECT_EQ(count(text, "moe.route"), 0);
  EXPECT_EQ(count(text, "scf.index_switch"), 0) << "one kind needs no choice";
}
