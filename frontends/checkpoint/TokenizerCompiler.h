// Makes the tables of a tokenizer from tokenizer.json and tokenizer_config.json.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H

#include "runtime/core/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

/// A JSON file: its text, and its name in messages.
struct TokenizerFile {
  std::string_view text;
  std::string name;
};

/// The tables, opened once for proof; the same bytes for the same texts. `config` may have an empty
/// text. Malformed files are Code::Model, components that are not supported Code::Unsupported;
/// messages name file and field.
Result<std::vector<uint8_t>> compileTokenizer(const TokenizerFile &tokenizer,
                                              const TokenizerFile &config);

/// The same for the files of a model directory; none where it has no tokenizer.json.
Result<std::optional<std::vector<uint8_t>>> compileTokenizer(const std::string &directory,
                                                             bool followLinks = false);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERCOMPILER_H
