// A tokenizer as its tables hold it, before they are written.

#ifndef MOEC_FRONTENDS_CHECKPOINT_TOKENIZERDESCRIPTION_H
#define MOEC_FRONTENDS_CHECKPOINT_TOKENIZERDESCRIPTION_H

#include "runtime/core/Result.h"
#include "runtime/text/TokenizerTables.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace moec {

/// A step of a program; see tokenizer::Step.
struct StepDescription {
  tokenizer::StepKind kind;
  uint32_t flags = 0;
  std::string pattern = {};
  std::string text = {};
  uint32_t first = 0;
  uint32_t second = 0;
};

struct WordDescription {
  std::string text;
  uint32_t id;
};

struct AddedTokenDescription {
  std::string text;
  std::string
      sought; ///< what is looked for: the text, or what the normalizer makes of it; may be empty
  uint32_t id;
  uint32_t flags = 0; ///< tokenizer::addedSingleWord and so on
  bool special = false;
  bool normalized = false; ///< looked for in normalized text
};

struct TokenizerDescription {
  std::vector<WordDescription> words; ///< in any order; texts and ids differ
  std::vector<tokenizer::Merge> merges;
  std::vector<uint32_t>
      ranks; ///< by id, that of merges that make it; empty: by order of the merges
  std::vector<AddedTokenDescription> added; ///< texts and ids differ
  std::vector<StepDescription> normalizer, preTokenizer, decoder;
  std::vector<uint32_t> prefix, suffix;
  uint32_t flags = 0; ///< tokenizer::flagIgnoreMerges and so on
  int32_t unknown = -1, bos = -1, eos = -1, pad = -1;
  std::array<int32_t, 256> byteIds;

  TokenizerDescription() { byteIds.fill(-1); }
};

/// The tables, the same bytes for the same description. All ids must be below tokenizer::maxIds.
/// Texts of more than 4 GiB, and added tokens of more than 16 MiB, are Code::Unsupported.
Result<std::vector<uint8_t>> writeTokenizerTables(const TokenizerDescription &description);

} // namespace moec

#endif // MOEC_FRONTENDS_CHECKPOINT_TOKENIZERDESCRIPTION_H
