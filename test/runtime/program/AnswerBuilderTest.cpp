// Answers made of tokens: control tokens, stop conditions and characters in parts meet the parser
// of the format.

#include "runtime/program/AnswerBuilder.h"
#include "frontends/checkpoint/TokenizerCompiler.h"

#include <gtest/gtest.h>

using namespace moec;

namespace {

/// The tokenizer of a golden case, and answers built with it.
struct Golden {
  explicit Golden(const char *name) {
    Result<std::optional<std::vector<uint8_t>>> compiled =
        compileTokenizerIn(std::string(MOEC_TEST_DIR "/golden/") + name, "");
    EXPECT_TRUE(compiled.ok() && *compiled);
    tables = **compiled;
    Result<Tokenizer> opened = Tokenizer::open(tables);
    EXPECT_TRUE(opened.ok());
    tokenizer.emplace(std::move(*opened));
  }

  /// The answer of the tokens that `text` has; `sampling.stopIds` end it.
  Answer build(AnswerFormat format, std::string_view text, const GenerationConfig &sampling = {},
               const AnswerOptions &options = {}, bool *stopped = nullptr) {
    AnswerBuilder builder(*tokenizer, sampling, format, false, options);
    Result<std::vector<int32_t>> ids = tokenizer->encode(text, AddSpecial::None);
    EXPECT_TRUE(ids.ok());
    for (int32_t id : *ids) {
      EXPECT_TRUE(builder.push(id).ok());
      if (builder.stopped())
        break;
    }
    if (stopped)
      *stopped = builder.stopped();
    EXPECT_TRUE(builder.finish().ok());
    return builder.answer;
  }

  std::vector<uint8_t> tables;
  std::optional<Tokenizer> tokenizer;
};

constexpr const char *harmony =
    "<|channel|>analysis<|message|>hm \u00e4<|end|><|start|>assistant<|channel|>final<|message|>"
    "Yes \U0001F642<|return|>more";

TEST(AnswerBuilder, HarmonyShowsTheFinalChannel) {
  Golden golden("gpt_oss");
  std::string shown;
  AnswerOptions options;
  options.show = [&](const AnswerPiece &piece) {
    if (piece.kind == AnswerPiece::Kind::Content)
      shown += piece.text;
    return Status{};
  };
  GenerationConfig sampling;
  sampling.stopIds = {*golden.tokenizer->addedToken("<|return|>")};
  bool stopped = false;
  Answer answer = golden.build(AnswerFormat::Harmony, harmony, sampling, options, &stopped);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(answer.reasoning, "hm \u00e4");
  EXPECT_EQ(answer.text, "Yes \U0001F642");
  EXPECT_EQ(shown, answer.text);
  EXPECT_EQ(answer.tokens.back(), sampling.stopIds[0]);
}

TEST(AnswerBuilder, VerbatimShowsEverything) {
  Golden golden("gpt_oss");
  std::string shown;
  AnswerOptions options;
  options.showVerbatim = [&](std::string_view text) {
    shown += text;
    return Status{};
  };
  golden.build(AnswerFormat::Harmony, harmony, {}, options);
  EXPECT_EQ(shown, harmony);
}

TEST(AnswerBuilder, AStopStringEndsTheTextBeforeIt) {
  Golden golden("gpt_oss");
  GenerationConfig sampling;
  sampling.stopStrings = {"sis"};
  bool stopped = false;
  Answer answer =
      golden.build(AnswerFormat::Harmony, "<|channel|>final<|message|>A basis, s<|end|>", sampling,
                   {}, &stopped);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(answer.text, "A ba");
  answer = golden.build(AnswerFormat::Harmony, "<|channel|>final<|message|>A si<|end|>", sampling,
                        {}, &stopped);
  EXPECT_FALSE(stopped);
  EXPECT_EQ(answer.text, "A si") << "what was held back comes before the marker";
}

TEST(AnswerBuilder, OtherControlTokensAreLeftOut) {
  Golden golden("qwen3_moe");
  Answer answer =
      golden.build(AnswerFormat::Hermes, "a<|im_end|>b <tool_call>{\"name\": \"f\"}</tool_call>");
  EXPECT_EQ(answer.text, "ab");
  ASSERT_EQ(answer.calls.size(), 1u);
  EXPECT_EQ(answer.calls[0].name, "f");
}

TEST(AnswerBuilder, WhatCannotBeShownIsAFailure) {
  Golden golden("qwen3_moe");
  AnswerOptions options;
  options.show = [](const AnswerPiece &) { return Status{Code::Usage, "closed"}; };
  AnswerBuilder builder(*golden.tokenizer, {}, AnswerFormat::Plain, false, options);
  EXPECT_EQ(builder.push(golden.tokenizer->encode("a")->at(0)).message, "closed");
}

} // namespace
