// Tests of generation_config.json: defaults, values, and complaints that name the key.

#include "runtime/text/GenerationConfig.h"
#include "runtime/text/Utf8.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

GenerationConfig parsed(std::string_view text) {
  Result<GenerationConfig> config = parseGenerationConfig(text, "generation_config.json");
  EXPECT_TRUE(config.ok()) << config.status().message;
  return config.ok() ? *config : GenerationConfig();
}

Status failure(std::string_view text) {
  Result<GenerationConfig> config = parseGenerationConfig(text, "generation_config.json");
  EXPECT_FALSE(config.ok()) << text;
  return config.ok() ? Status() : config.status();
}

} // namespace

TEST(GenerationConfig, AbsentKeysHaveTheDefaultsOfGenerate) {
  GenerationConfig config = parsed("{}");
  EXPECT_FALSE(config.sampler.sample);
  EXPECT_EQ(config.sampler.temperature, 1);
  EXPECT_EQ(config.sampler.topK, 50);
  EXPECT_EQ(config.sampler.topP, 1);
  EXPECT_EQ(config.sampler.minP, 0);
  EXPECT_EQ(config.sampler.repetitionPenalty, 1);
  EXPECT_EQ(config.sampler.presencePenalty, 0);
  EXPECT_TRUE(config.stopIds.empty());
  EXPECT_FALSE(config.maxNewTokens);
}

TEST(GenerationConfig, SamplingWithoutTopKMeansFifty) {
  GenerationConfig config = parsed(R"({"do_sample": true, "temperature": 0.7, "top_p": 0.9})");
  EXPECT_TRUE(config.sampler.sample);
  EXPECT_EQ(config.sampler.topK, 50);
  EXPECT_EQ(config.sampler.temperature, 0.7);
  EXPECT_EQ(config.sampler.topP, 0.9);
}

TEST(GenerationConfig, TopKMayMeanAll) {
  EXPECT_EQ(parsed(R"({"top_k": null})").sampler.topK, 0);
  EXPECT_EQ(parsed(R"({"top_k": 0})").sampler.topK, 0);
  EXPECT_EQ(parsed(R"({"top_k": -1})").sampler.topK, 0);
  EXPECT_EQ(parsed(R"({"top_k": 7})").sampler.topK, 7);
}

TEST(GenerationConfig, StopIdsAreOneOrMany) {
  EXPECT_EQ(parsed(R"({"eos_token_id": 2})").stopIds, std::vector<int32_t>({2}));
  EXPECT_EQ(parsed(R"({"eos_token_id": [151645, 151643]})").stopIds,
            std::vector<int32_t>({151645, 151643}));
  EXPECT_TRUE(parsed(R"({"eos_token_id": null})").stopIds.empty());
}

TEST(GenerationConfig, ReadsTheOtherKeys) {
  GenerationConfig config =
      parsed(R"({"min_p": 0.05, "repetition_penalty": 1.1, "presence_penalty": 1.5,
                 "max_new_tokens": 100, "max_length": 2048, "stop_strings": ["\n\n", "END"],
                 "_from_model_config": true, "transformers_version": "5.0", "num_beams": 1,
                 "pad_token_id": 0, "suppress_tokens": null, "bad_words_ids": []})");
  EXPECT_EQ(config.sampler.minP, 0.05);
  EXPECT_EQ(config.sampler.repetitionPenalty, 1.1);
  EXPECT_EQ(config.sampler.presencePenalty, 1.5);
  EXPECT_EQ(config.maxNewTokens, 100);
  EXPECT_EQ(config.maxLength, 2048);
  EXPECT_EQ(config.stopStrings, std::vector<std::string>({"\n\n", "END"}));
}

TEST(GenerationConfig, MalformedKeysAreNamed) {
  for (auto [text, message] : std::initializer_list<std::pair<const char *, const char *>>{
           {R"({"temperature": "hot"})", "key `temperature` is \"hot\", wanted a number"},
           {R"({"temperature": -1})", "key `temperature` is -1, wanted a number from 0"},
           {R"({"top_p": 1.5})", "key `top_p` is 1.5, wanted a number from 0 to 1"},
           {R"({"min_p": true})", "key `min_p` is true"},
           {R"({"top_k": 1.5})", "key `top_k` is 1.5, wanted a whole number"},
           {R"({"top_k": 18446744073709551615})", "key `top_k` is 18446744073709551615"},
           {R"({"do_sample": 1})", "key `do_sample` is 1, wanted true or false"},
           {R"({"repetition_penalty": 0})", "key `repetition_penalty` is 0"},
           {R"({"eos_token_id": [1, -2]})", "key `eos_token_id` is -2"},
           {R"({"eos_token_id": "</s>"})", "key `eos_token_id` is \"</s>\""},
           {R"({"max_new_tokens": -5})", "key `max_new_tokens` is -5"},
           {R"({"stop_strings": [""]})", "key `stop_strings` is \"\""},
       }) {
    Status status = failure(text);
    EXPECT_EQ(status.code, Code::Model);
    EXPECT_NE(status.message.find(std::string("generation_config.json: ") + message),
              std::string::npos)
        << status.message;
  }
}

TEST(GenerationConfig, MessagesStayShort) {
  std::string many = "[[1]";
  for (int i = 0; i < 1000; ++i)
    many += ",[1]";
  EXPECT_LT(failure(R"({"bad_words_ids": )" + many + "]}").message.size(), 300u);
  // Cut inside a character of two bytes, this would be no UTF-8.
  std::string text;
  for (int i = 0; i < 50; ++i)
    text += "\xc3\xa9";
  std::string message = failure(R"({"temperature": ")" + text + R"("})").message;
  EXPECT_EQ(utf8::validPrefix(message), message.size());
}

TEST(GenerationConfig, OtherTextIsNoConfig) {
  EXPECT_EQ(failure("[]").code, Code::Model);
  EXPECT_EQ(failure("{").code, Code::Model);
  EXPECT_EQ(failure("").code, Code::Model);
}

TEST(GenerationConfig, OtherWaysToGenerateAreRefusedByName) {
  for (const char *text : {R"({"num_beams": 4})", R"({"penalty_alpha": 0.6})",
                           R"({"typical_p": 0.9})", R"({"suppress_tokens": [1]})"}) {
    Status status = failure(text);
    EXPECT_EQ(status.code, Code::Unsupported);
    std::string key = std::string(text).substr(2, std::string(text).find('"', 2) - 2);
    EXPECT_NE(status.message.find("`" + key + "`"), std::string::npos) << status.message;
  }
}
