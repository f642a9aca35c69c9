// tiktoken's rank files: a line for each token, its bytes in base64 and its rank, which is its id.

#ifndef MOEC_FRONTENDS_CHECKPOINT_RANKFILE_H
#define MOEC_FRONTENDS_CHECKPOINT_RANKFILE_H

#include "frontends/checkpoint/TokenizerDescription.h"

#include <string>
#include <string_view>

namespace moec {

/// The tokenizer that the family of `modelType` makes of a rank file; `file` is its name in
/// messages, which give the line. A damaged file is Code::Model, a family of which no pattern is
/// known Code::Unsupported.
Result<TokenizerDescription> readRankFile(std::string_view text, const std::string &file,
                                          std::string_view modelType);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_RANKFILE_H
