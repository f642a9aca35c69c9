// Finds the added tokens of a tokenizer in a text.

#ifndef MOEC_RUNTIME_TEXT_ADDEDTOKENS_H
#define MOEC_RUNTIME_TEXT_ADDEDTOKENS_H

#include "runtime/text/Pattern.h"
#include "runtime/text/TokenizerTables.h"

#include <array>
#include <optional>
#include <string_view>
#include <vector>

namespace moec {

/// A stretch of text that is an added token, or one between them.
struct AddedPart {
  Span span;
  std::optional<uint32_t> id; ///< none: ordinary text, never empty
};

/// Looks for the tokens of one trie; see TokenizerTables.h for its form.
class AddedTokenFinder {
public:
  AddedTokenFinder() = default;
  AddedTokenFinder(std::span<const tokenizer::TrieNode> nodes,
                   std::span<const tokenizer::TrieEdge> edges,
                   std::span<const tokenizer::AddedToken> added);

  /// Cuts `text` at its added tokens: the leftmost first, of those that begin together the longest.
  /// Time grows with the length of the text and of the longest token, not with the number of
  /// tokens.
  std::vector<AddedPart> split(std::string_view text) const;

private:
  /// Index and length of the longest token that `text` begins with.
  std::optional<std::pair<size_t, size_t>> longest(std::string_view text) const;
  std::optional<uint32_t> follow(uint32_t node, uint8_t byte) const;

  std::span<const tokenizer::TrieNode> nodes;
  std::span<const tokenizer::TrieEdge> edges;
  std::span<const tokenizer::AddedToken> added;
  std::array<bool, 256> begins{}; ///< bytes that some token begins with
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_ADDEDTOKENS_H
