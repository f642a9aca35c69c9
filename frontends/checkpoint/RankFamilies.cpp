// The families that publish rank files, and what their own tokenizers make of them.

#include "frontends/checkpoint/RankFamilies.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

using namespace moec;

using Names = std::vector<std::string>;

static constexpr std::string_view qwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|)"
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

static constexpr std::string_view o200kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// As o200k's, but Han characters form words of their own.
static constexpr std::string_view kimiPattern =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

static Names qwenTokens(uint32_t) { return {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}; }

static Names gptOssTokens(uint32_t base) {
  Names names = {"<|startoftext|>", "<|endoftext|>"};
  while (names.size() < 21)
    names.push_back(fmt::format("<|reserved_{}|>", base + names.size()));
  for (auto [at, name] :
       std::initializer_list<std::pair<size_t, const char *>>{{4, "<|return|>"},
                                                              {5, "<|constrain|>"},
                                                              {7, "<|channel|>"},
                                                              {8, "<|start|>"},
                                                              {9, "<|end|>"},
                                                              {10, "<|message|>"},
                                                              {14, "<|call|>"},
                                                              {20, "<|endofprompt|>"}})
    names[at] = name;
  return names;
}

static Names llama4Tokens(uint32_t) {
  Names names = {"<|begin_of_text|>", "<|end_of_text|>",  "<|fim_prefix|>", "<|fim_middle|>",
                 "<|fim_suffix|>",    "<|header_start|>", "<|header_end|>", "<|eom|>",
                 "<|eot|>",           "<|step|>"};
  auto reserve = [&](const char *group, int begin, int end) {
    for (int i = begin; i < end; ++i)
      names.push_back(fmt::format("<|{}reserved_special_token_{}|>", group, i));
  };
  auto add = [&](std::initializer_list<const char *> more) {
    names.insert(names.end(), more.begin(), more.end());
  };
  reserve("text_post_train_", 0, 6);
  add({"<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"});
  reserve("text_post_train_", 8, 69);
  add({"<|image_start|>", "<|image_end|>"});
  reserve("vision_", 0, 2);
  add({"<|tile_x_separator|>", "<|tile_y_separator|>"});
  reserve("vision_", 2, 6);
  add({"<|image|>"});
  reserve("vision_", 6, 7);
  add({"<|patch|>"});
  reserve("vision_", 7, 1048);
  reserve("reasoning_", 0, 8);
  add({"<|reasoning_thinking_start|>", "<|reasoning_thinking_end|>"});
  reserve("", 0, 2048 - static_cast<int>(names.size()));
  return names;
}

/// Only tokenizer_config.json has the names of those in use.
static Names kimiTokens(uint32_t base) {
  Names names;
  for (uint32_t i = 0; i < 256; ++i)
    names.push_back(fmt::format("<|reserved_token_{}|>", base + i));
  return names;
}

static constexpr RankFamily families[] = {
    {.name = "qwen", .pattern = qwenPattern, .composes = true, .specialTokens = qwenTokens},
    {.name = "gpt_oss", .pattern = o200kPattern, .specialTokens = gptOssTokens},
    {.name = "llama4",
     .pattern = o200kPattern,
     .beginsWithFirst = true,
     .specialTokens = llama4Tokens},
    {.name = "kimi", .pattern = kimiPattern, .specialTokens = kimiTokens},
    // DeepSeek itself publishes tokenizer.json: with a rank file it is a model of Kimi's makers.
    {.name = "deepseek_v3", .pattern = kimiPattern, .specialTokens = kimiTokens}};

const RankFamily *moec::findRankFamily(std::string_view modelType) {
  for (const RankFamily &family : families)
    if (modelType.starts_with(family.name))
      return &family;
  return nullptr;
}
