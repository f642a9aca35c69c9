// What importing says of a config.json that is wrong, or that it does not support: file and key, by
// a code.

#include "test/frontends/models/TinyModel.h"

#include <gtest/gtest.h>

using namespace moec;
using nlohmann::json;

namespace {

struct ConfigError {
  const char *name;
  TinyModel (*model)();
  json change; ///< keys and their values; null removes
  Code code;
  const char *message; ///< a part of it
};

void PrintTo(const ConfigError &error, std::ostream *stream) { *stream << error.name; }

class ConfigErrorTest : public testing::TestWithParam<ConfigError> {};

} // namespace

TEST_P(ConfigErrorTest, IsNamed) {
  TinyModel model = GetParam().model();
  model.config.merge_patch(GetParam().change);
  Status status = model.failure();
  EXPECT_EQ(status.code, GetParam().code) << status.message;
  EXPECT_NE(status.message.find("config.json"), std::string::npos) << status.message;
  EXPECT_NE(status.message.find(GetParam().message), std::string::npos) << status.message;
  EXPECT_EQ(status.message.find('\n'), std::string::npos) << status.message;
}

static const ConfigError kErrors[] = {
    {"ZeroHidden", tinyMixtral, {{"hidden_size", 0}}, Code::Model, "`hidden_size` is 0"},
    {"NegativeVocabulary", tinyMixtral, {{"vocab_size", -5}}, Code::Model, "`vocab_size` is -5"},
    {"HugeWidth",
     tinyMixtral,
     {{"intermediate_size", 1ull << 40}},
     Code::Model,
     "`intermediate_size`"},
    {"HugeLayers",
     tinyMixtral,
     {{"num_hidden_layers", 1 << 30}},
     Code::Model,
     "`num_hidden_layers`"},
    {"TextForANumber",
     tinyMixtral,
     {{"hidden_size", "64"}},
     Code::Model,
     "`hidden_size` is \"64\""},
    {"MorePickedThanThere",
     tinyMixtral,
     {{"num_experts_per_tok", 9}},
     Code::Model,
     "`num_experts_per_tok` is 9, wanted no more than there are experts, which is 8"},
    {"NoExperts", tinyMixtral, {{"num_local_experts", 0}}, Code::Model, "`num_local_experts` is 0"},
    {"UnevenHeads",
     tinyMixtral,
     {{"num_key_value_heads", 3}},
     Code::Model,
     "`num_attention_heads` is 4, wanted a multiple of `num_key_value_heads`, which is 3"},
    {"HeadsThatDoNotDivide",
     tinyMixtral,
     {{"head_dim", nullptr}, {"hidden_size", 62}},
     Code::Model,
     "`hidden_size` is 62, wanted a multiple of `num_attention_heads`"},
    {"DefaultThatDoesNotDivide",
     tinyMixtral,
     {{"head_dim", nullptr}, {"hidden_size", nullptr}, {"num_attention_heads", 6}},
     Code::Model,
     "`hidden_size` is absent, which counts as 4096, wanted a multiple of `num_attention_heads`"},
    {"OddHeads", tinyMixtral, {{"head_dim", 23}}, Code::Model, "`head_dim` is 23"},
    {"ZeroWindow", tinyMixtral, {{"sliding_window", 0}}, Code::Model, "`sliding_window` is 0"},
    {"NegativeEpsilon", tinyMixtral, {{"rms_norm_eps", -1.0}}, Code::Model, "`rms_norm_eps` is -1"},
    {"OtherActivation",
     tinyMixtral,
     {{"hidden_act", "gelu"}},
     Code::Unsupported,
     "`hidden_act` is \"gelu\""},
    {"OtherRope",
     tinyMixtral,
     {{"rope_scaling", {{"type", "longrope"}, {"factor", 2.0}}}},
     Code::Unsupported,
     "rope type \"longrope\""},
    {"LengthDependentRope",
     tinyQwen3Moe,
     {{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}},
     Code::Unsupported,
     "rope type \"dynamic\""},
    {"PartialRope",
     tinyOlmoe,
     {{"partial_rotary_factor", 0.5}},
     Code::Unsupported,
     "`partial_rotary_factor`"},
    {"Quantised",
     tinyMixtral,
     {{"quantization_config", {{"quant_method", "gptq"}}}},
     Code::Unsupported,
     "`quantization_config.quant_method` is \"gptq\""},
    {"MixtralBias",
     tinyMixtral,
     {{"attention_bias", true}},
     Code::Unsupported,
     "`attention_bias` is true"},
    {"Qwen3Window",
     tinyQwen3Moe,
     {{"use_sliding_window", true}},
     Code::Unsupported,
     "`use_sliding_window` is true"},
    {"Qwen2Window",
     tinyQwen2Moe,
     {{"use_sliding_window", true}},
     Code::Unsupported,
     "`use_sliding_window` is true"},
    {"Qwen2AttentionBias",
     tinyQwen2Moe,
     {{"attention_bias", true}},
     Code::Unsupported,
     "`attention_bias` is true"},
    {"ZeroStep",
     tinyQwen3Moe,
     {{"decoder_sparse_step", 0}},
     Code::Model,
     "`decoder_sparse_step` is 0"},
    {"NegativeLayer",
     tinyQwen3Moe,
     {{"mlp_only_layers", {-1}}},
     Code::Model,
     "`mlp_only_layers` is [-1]"},
    {"TwoCountsOfExperts",
     tinyQwen3Moe,
     {{"num_local_experts", 9}},
     Code::Model,
     "`num_local_experts` is 9"},
    {"SlidingLayers",
     tinyQwen3Moe,
     {{"layer_types", {"full_attention", "sliding_attention"}}},
     Code::Unsupported,
     "`layer_types`"},
    {"OlmoeHeads", tinyOlmoe, {{"head_dim", 32}}, Code::Unsupported, "`head_dim` is 32"},
    {"OlmoeClip", tinyOlmoe, {{"clip_qkv", 0}}, Code::Model, "`clip_qkv` is 0"},
};

INSTANTIATE_TEST_SUITE_P(All, ConfigErrorTest, testing::ValuesIn(kErrors),
                         [](const auto &info) { return std::string(info.param.name); });
