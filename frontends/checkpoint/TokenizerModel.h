// The parts of JSON files that hold tokens: the model and the added tokens.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERMODEL_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERMODEL_H

#include "frontends/checkpoint/TokenizerDescription.h"
#include "frontends/checkpoint/TokenizerJson.h"

#include <string_view>
#include <unordered_map>

namespace moec {

/// The ids of a description's words by their texts, which live as long as `description.words`.
using WordIds = std::unordered_map<std::string_view, uint32_t>;

// Each appends to the description. Faults go to the report of the field.

/// `model`, which must be BPE.
WordIds readModel(const JsonField &model, TokenizerDescription &description);
/// `added_tokens`, which may be null; `words` is what readModel() gave.
void readAddedTokens(const JsonField &field, const WordIds &words,
                     TokenizerDescription &description);
/// `added_tokens_decoder` of tokenizer_config.json, which may be null: tokens by their ids, in
/// place of what has those ids already.
void readAddedTokensDecoder(const JsonField &field, TokenizerDescription &description);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERMODEL_H
