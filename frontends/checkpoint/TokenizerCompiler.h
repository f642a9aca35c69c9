// Makes the tables of a tokenizer from the files that models are published with.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// A file: its text, and its name in messages.
struct TokenizerFile {
  std::string_view text;
  std::string name;
};

/// The tables, opened once for proof; the same bytes for the same texts. `config` may have an empty
/// text. Malformed files are Code::Model, components that are not supported Code::Unsupported;
/// messages name file and field.
Result<std::vector<uint8_t>> compileTokenizer(const TokenizerFile &tokenizer,
                                              const TokenizerFile &config);

/// The same for a tiktoken rank file; the rest comes from the family of `modelType`, the model_type
/// of config.json, and from `added_tokens_decoder` of `config`.
Result<std::vector<uint8_t>> compileRankFile(const TokenizerFile &ranks,
                                             const TokenizerFile &config,
                                             std::string_view modelType);

/// The same for sentencepiece's tokenizer.model.
Result<std::vector<uint8_t>> compileSentencePiece(const TokenizerFile &model,
                                                  const TokenizerFile &config);

/// The same for a model directory: of the first that is there of tokenizer.json, tiktoken.model,
/// tokenizer.model (in either form) and qwen.tiktoken; none where there is none of them.
Result<std::optional<std::vector<uint8_t>>> compileTokenizerIn(const std::string &directory,
                                                               std::string_view modelType,
                                                               bool followLinks = false);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H
