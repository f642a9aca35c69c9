// What a Mixtral becomes.

#include "test/frontends/models/TinyModel.h"

#include "llvm/ADT/StringExtras.h"

#include <gtest/gtest.h>

#include <regex>

using namespace moec;

/// The text without the lines that say where weights are stored.
static std::string withoutWeights(const std::string &text) {
  std::string rest;
  for (llvm::StringRef line : llvm::split(text, '\n'))
    if (!line.contains("lm.weight @"))
      rest += line.str() + '\n';
  return rest;
}

TEST(MixtralTest, PicksExpertsByARenormalisedSoftmax) {
  std::string text = tinyMixtral().text();
  EXPECT_EQ(count(text, "moe.score softmax"), 1);
  EXPECT_EQ(count(text, "moe.route renormalize"), 1);
  EXPECT_NE(
      text.find("lm.weight @experts.gate : !lm.weight<8x96x64xf32> layers [0, 1, 2] from "
                "[#lm.piece<pattern = \"model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight\""),
      text.npos);
  EXPECT_NE(text.find("experts.{e}.w3.weight\", rows = 96"), text.npos) << "w3 is up";
  EXPECT_NE(text.find("experts.{e}.w2.weight\", rows = 64"), text.npos) << "w2 is down";
}

TEST(MixtralTest, HeadsAreAsWideAsTheConfigSays) {
  std::string text = tinyMixtral().text();
  EXPECT_NE(text.find("lm.cache @attention layers [0, 1, 2] heads 2 size 24 block 128 : f32"),
            text.npos);
  EXPECT_NE(text.find("lm.weight @self_attn.q_proj : !lm.weight<96x64xf32>"), text.npos);
}

TEST(MixtralTest, HeadsAreAShareOfTheHiddenSizeWhereTheConfigSaysNothing) {
  for (bool isNull : {false, true}) {
    TinyModel model = tinyMixtral();
    if (isNull)
      model.config["head_dim"] = nullptr;
    else
      model.config.erase("head_dim");
    for (auto &[name, tensor] : model.tensors)
      if (name.find("self_attn") != name.npos)
        for (int64_t &extent : tensor.shape)
          extent = extent == 96 ? 64 : extent == 48 ? 32 : extent;
    EXPECT_NE(model.text().find("heads 2 size 16"), std::string::npos);
  }
}

TEST(MixtralTest, ANullCountOfKeyHeadsMeansOneForEachQueryHead) {
  TinyModel model = tinyMixtral();
  model.config["num_key_value_heads"] = nullptr;
  for (auto &[name, tensor] : model.tensors)
    if (name.find("k_proj") != name.npos || name.find("v_proj") != name.npos)
      tensor.shape[0] = 96;
  EXPECT_NE(model.text().find("heads 4 size 24"), std::string::npos);
}

TEST(MixtralTest, TheSlidingWindowGoesToTheCache) {
  TinyModel model = tinyMixtral();
  model.config["sliding_window"] = 8;
  EXPECT_NE(model.text().find("block 128 window 8"), std::string::npos);
  model.config["sliding_window"] = nullptr;
  EXPECT_EQ(model.text().find("window"), std::string::npos);
}

TEST(MixtralTest, BothSpellingsOfRopeAreTheSame) {
  TinyModel model = tinyMixtral();
  std::string text = model.text();
  model.config.erase("rope_theta");
  EXPECT_NE(model.text(), text) << "the default is another theta";
  model.config["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  EXPECT_EQ(model.text(), text);
}

TEST(MixtralTest, ATiedOutputReadsTheEmbedding) {
  TinyModel model = tinyMixtral();
  model.config["tie_word_embeddings"] = true;
  std::string said;
  const ImportOptions options{.notice = [&](const std::string &line) { said += line; }};
  std::string text = model.text(options);
  EXPECT_EQ(count(text, "lm.weight @lm_head"), 0);
  EXPECT_EQ(count(text, "lm.load_weight @embed_tokens"), 2);
  EXPECT_EQ(said, "leaves out a tensor of a head of its own, as `tie_word_embeddings` makes the "
                  "embedding the head: lm_head.weight");
  said.clear();
  model.tensors.erase("lm_head.weight");
  EXPECT_EQ(model.text(options), text);
  EXPECT_EQ(said, "");
}

TEST(MixtralTest, BothLayoutsOfExpertsGiveTheSameOps) {
  TinyModel model = tinyMixtral();
  std::string published = model.text();
  model.fuseExperts("w1", "w3", "w2");
  for (int layer = 0; layer < 3; ++layer) {
    std::string prefix = "model.layers." + std::to_string(layer);
    model.tensors[prefix + ".mlp.gate.weight"] =
        model.tensors[prefix + ".block_sparse_moe.gate.weight"];
    model.tensors.erase(prefix + ".block_sparse_moe.gate.weight");
  }
  std::string fused = model.text();
  EXPECT_EQ(withoutWeights(fused), withoutWeights(published));
  EXPECT_NE(
      fused.find("lm.weight @experts.up : !lm.weight<8x96x64xf32> layers [0, 1, 2] from "
                 "[#lm.piece<pattern "
                 "= \"model.layers.{l}.mlp.experts.gate_up_proj\", rows = 96, first_row = 96, "
                 "rows_per_expert = 192, stored = f32>]"),
      fused.npos);
  EXPECT_NE(
      fused.find("\"model.layers.{l}.mlp.experts.down_proj\", rows = 64, rows_per_expert = 64"),
      fused.npos);
}

TEST(MixtralTest, BuffersOfOldCheckpointsAreSkipped) {
  TinyModel model = tinyMixtral();
  std::string text = model.text();
  model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{12}};
  EXPECT_EQ(model.text(), text);
}

TEST(MixtralTest, TheTextIsAsLongForManyLayersAndExperts) {
  TinyModel model = tinyMixtral(), large = model;
  large.config["num_hidden_layers"] = 12;
  large.config["num_local_experts"] = 32;
  for (const auto &[name, tensor] : model.tensors)
    for (int layer = 0; layer < 12; ++layer)
      for (int expert = 0; expert < 32; ++expert) {
        std::string other = std::regex_replace(name, std::regex("layers\\.[0-9]+"),
                                               "layers." + std::to_string(layer));
        other = std::regex_replace(other, std::regex("experts\\.[0-9]+"),
                                   "experts." + std::to_string(expert));
        large.tensors[other] = tensor;
        if (name.ends_with("block_sparse_moe.gate.weight"))
          large.tensors[other].shape[0] = 32;
      }
  EXPECT_EQ(count(large.text(), "\n"), count(model.text(), "\n"));
}
