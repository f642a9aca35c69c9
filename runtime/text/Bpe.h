// Byte-pair encoding: one word into tokens.

#ifndef MOEC_RUNTIME_TEXT_BPE_H
#define MOEC_RUNTIME_TEXT_BPE_H

#include "runtime/text/TokenizerTables.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace moec {

/// Encodes words one after the other, keeping its memory between them. For one thread.
class BpeEncoder {
public:
  explicit BpeEncoder(const tokenizer::Tables &tables) : tables(&tables) {}

  /// Appends the tokens of `word`, which must be UTF-8 of less than 2^31 bytes: its characters,
  /// with the adjacent pair of lowest rank, the leftmost of equals, merged until there is none.
  void encode(std::string_view word, std::vector<int32_t> &ids);

private:
  /// One token so far; those merged into their left neighbour have no bytes of their own left.
  struct Symbol {
    uint32_t id;
    int32_t previous;
    int32_t next;
    bool gone;
  };
  /// A merge that was possible when it was noted.
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    uint32_t left;
    uint32_t right;
    uint32_t result;
  };

  void addCharacters(std::string_view word);
  void add(uint32_t id);
  void propose(int32_t left);

  const tokenizer::Tables *tables;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

} // namespace moec

#endif // MOEC_RUNTIME_TEXT_BPE_H
