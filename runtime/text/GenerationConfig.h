// How to generate: what a model asks for in its generation_config.json.

#ifndef MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H
#define MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H

#include "runtime/core/Result.h"
#include "runtime/text/Sampler.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// How tokens are drawn, and when to stop. A field that the file leaves out has the value that
/// transformers' generate uses then; so `sample` alone means the 50 likeliest tokens.
struct GenerationConfig {
  SamplerOptions sampler = {.topK = 50}; ///< a file says nothing of `bias` and `seed`
  std::vector<int32_t> stopIds;          ///< end of text, in the file's order
  std::vector<std::string> stopStrings;  ///< none is empty
  std::optional<int64_t> maxNewTokens;
  std::optional<int64_t> maxLength; ///< of prompt and answer together
};

/// Parses the text of a generation_config.json; `file` is its name in messages. Code::Model where
/// it is malformed, naming the key; Code::Unsupported where a key asks for another way to generate
/// (beams, contrastive search, ...). Other keys are ignored.
Result<GenerationConfig> parseGenerationConfig(std::string_view text, std::string_view file);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H
