// Where a DeepSeek V3.2 is not a V3, and what of it is refused.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;

static bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

TEST(DeepseekV32Test, LatentVectorsAndTheIndexersKeysHaveACacheEach) {
  std::string text = tinyDeepseekV32().text();
  EXPECT_EQ(count(text, "lm.cache @"), 2);
  EXPECT_TRUE(contains(text, "lm.cache @attention layers [0, 1, 2] heads 1 size 36 values 20 "
                             "latent indexed"));
}

TEST(DeepseekV32Test, AttentionIsToChosenPositions) {
  std::string text = tinyDeepseekV32().text();
  EXPECT_EQ(count(text, "chosen("), 2) << "kinds of layers";
}

TEST(DeepseekV32Test, TheIndexersQueriesAreMadeOfTheSameVectorAsAttentions) {
  EXPECT_TRUE(
      contains(tinyDeepseekV32().text(), "@self_attn.indexer.wq_b : !lm.weight<132x28xf32>"));
}

TEST(DeepseekV32Test, TheIndexersKeysHaveANormWithAMeanAndABias) {
  std::string text = tinyDeepseekV32().text();
  EXPECT_EQ(count(text, "lm.layer_norm epsilon 9.99999997E-7"), 2) << "kinds of layers";
  EXPECT_TRUE(contains(text, "@self_attn.indexer.k_norm.bias : !lm.weight<22xf32>"));
}

TEST(DeepseekV32Test, TheIndexerRotatesItsFirstEntriesByHalves) {
  std::string text = tinyDeepseekV32().text();
  EXPECT_EQ(count(text, "lm.rope heads 6 ins("), 2);
  EXPECT_EQ(count(text, "lm.rope heads 4 first 12 interleaved ins("), 2) << "attention does not";
}

TEST(DeepseekV32Test, InterleavingIsNoMatterOfTheConfig) {
  TinyModel model = tinyDeepseekV32();
  std::string text = model.text();
  model.config["rope_interleave"] = false;
  EXPECT_EQ(model.text(), text);
}

TEST(DeepseekV32Test, ExpertsAreRoutedAsInV3) {
  EXPECT_TRUE(contains(tinyDeepseekV32().text(), "groups <2 of 4 by best_two>"));
}

TEST(DeepseekV32Test, BothNamesOfItsLayersAreKnown) {
  TinyModel model = tinyDeepseekV32();
  std::string text = model.text();
  for (const char *kind : {"deepseek_sparse_attention", "indexed_attention"}) {
    model.config["layer_types"] = {kind, kind, kind};
    EXPECT_EQ(model.text(), text);
  }
}

TEST(DeepseekV32Test, OtherLayersAreRefused) {
  expectRefusal(tinyDeepseekV32(),
                {{"layer_types", {"full_attention", "full_attention", "full_attention"}}},
                Code::Unsupported, "\"full_attention\" layers are not supported");
}

TEST(DeepseekV32Test, QueriesWithoutALatentVectorAreRefused) {
  TinyModel model = tinyDeepseekV32();
  model.config["q_lora_rank"] = nullptr; // stays, unlike in a patch
  expectRefusal(model, nlohmann::json::object(), Code::Unsupported,
                "`q_lora_rank` is null, which is not supported here");
}

TEST(DeepseekV32Test, HeadsOfTheIndexerHoldTheRotatedPart) {
  expectRefusal(tinyDeepseekV32(), {{"index_head_dim", 12}}, Code::Model,
                "`index_head_dim` is 12, wanted at least the 16 entries that are rotated");
}

TEST(DeepseekV32Test, PositionsAreCounted) {
  expectRefusal(tinyDeepseekV32(), {{"max_position_embeddings", 1 << 21}}, Code::Unsupported,
                "`max_position_embeddings` is 2097152, and positions are chosen among 1048576 at "
                "most; use --context=1048576");
}

TEST(DeepseekV32Test, PositionsAreChosenAmongThoseOfTheProgram) {
  TinyModel model = tinyDeepseekV32();
  EXPECT_TRUE(contains(model.text(), " context 256 "));
  EXPECT_TRUE(contains(model.text({.context = 96}), " context 96 "));
  model.config["max_position_embeddings"] = 1 << 21;
  EXPECT_TRUE(contains(model.text({.context = 1 << 20}), " context 1048576 "));
}

TEST(DeepseekV32Test, AMissingBiasOfTheIndexersNormIsNamed) {
  TinyModel model = tinyDeepseekV32();
  model.tensors.erase("model.layers.1.self_attn.indexer.k_norm.bias");
  expectRefusal(model, nlohmann::json::object(), Code::Model,
                "`model.layers.1.self_attn.indexer.k_norm.bias` is missing");
}
