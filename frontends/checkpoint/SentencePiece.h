// sentencepiece's tokenizer.model: a protobuf message with the pieces, and how text is prepared.

#ifndef MOEC_FRONTENDS_CHECKPOINT_SENTENCEPIECE_H
#define MOEC_FRONTENDS_CHECKPOINT_SENTENCEPIECE_H

#include "frontends/checkpoint/TokenizerDescription.h"

#include <string>
#include <string_view>

namespace moec {

/// Whether `bytes` begin as such a file does, rather than as a rank file.
bool isSentencePiece(std::string_view bytes);

/// The tokenizer of a BPE model; `file` is its name in messages. Control and user-defined pieces
/// become added tokens: unlike sentencepiece itself, and like tokenizers made of such files, this
/// finds them in a text, and what stands between them is text of its own. `spaceInFrontOnce`: only
/// the text's very beginning gets a space put in front, not every such stretch. A damaged file is
/// Code::Model, a model of another type or with another normalizer Code::Unsupported.
Result<TokenizerDescription> readSentencePiece(std::string_view bytes, const std::string &file,
                                               bool spaceInFrontOnce);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_SENTENCEPIECE_H
