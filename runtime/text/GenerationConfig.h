// How a model asks to be sampled from: its generation_config.json.

#ifndef MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H
#define MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// Defaults for sampling. A field that the file leaves out has the value that transformers'
/// generate uses then; so `sample` alone means the 50 likeliest tokens.
struct GenerationConfig {
  bool sample = false;
  double temperature = 1;       ///< 0 means greedy
  int32_t topK = 50;            ///< 0 means all
  double topP = 1;              ///< 0 to 1
  double minP = 0;              ///< 0 to 1
  double repetitionPenalty = 1; ///< above 0
  double presencePenalty = 0;
  std::vector<int32_t> stopIds;         ///< end of text, in the file's order
  std::vector<std::string> stopStrings; ///< none is empty
  std::optional<int64_t> maxNewTokens;
  std::optional<int64_t> maxLength; ///< of prompt and answer together

  friend bool operator==(const GenerationConfig &, const GenerationConfig &) = default;
};

/// Parses the text of a generation_config.json; `file` is its name in messages. Code::Model where
/// it is malformed, naming the key; Code::Unsupported where a key asks for another way to generate
/// (beams, contrastive search, ...). Other keys are ignored.
Result<GenerationConfig> parseGenerationConfig(std::string_view text, std::string_view file);

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_GENERATIONCONFIG_H
