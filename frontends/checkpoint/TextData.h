// What a program needs to speak text, as it is built in: tokenizer tables, chat template,
// generation defaults.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TEXTDATA_H
#define MOEC_FRONTENDS_CHECKPOINT_TEXTDATA_H

#include "frontends/checkpoint/Checkpoint.h"

#include <string>
#include <vector>

namespace moec {

/// Checked, and ready to become part of the program. An empty string: the model has none.
struct TextData {
  std::string tokenizer;    ///< tables (runtime/text/TokenizerTables.h)
  std::string chatTemplate; ///< Jinja source, the model's or a built-in one
  std::string
      generation; ///< generation_config.json; without one, the stop ids of config.json in its form
  std::vector<std::string> notices; ///< what the user should know, a line each
};

/// Reads the tokenizer's files, tokenizer_config.json, chat_template.jinja and
/// generation_config.json of a model directory. What is malformed or not supported fails now,
/// naming file and field, not when the program runs. Ends of text that are no tokens of the
/// `vocabulary` are told of.
Result<TextData> compileText(const Checkpoint &checkpoint, int64_t vocabulary,
                             bool followLinks = false);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TEXTDATA_H
