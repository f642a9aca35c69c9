// Candidates wait in a heap; one whose tokens have changed since is dropped when its turn comes. So
// a word of n characters takes n log n, whatever it is made of.

#include "runtime/text/Bpe.h"

#include "runtime/text/Utf8.h"

#include <algorithm>
#include <optional>

using namespace moec;
using namespace moec::tokenizer;

void BpeEncoder::add(uint32_t id) {
  int32_t index = static_cast<int32_t>(symbols.size());
  if (index > 0)
    symbols.back().next = index;
  symbols.push_back({id, index - 1, -1, false});
}

void BpeEncoder::addCharacters(std::string_view word) {
  const Header &header = tables->header();
  bool pending = false; // an unknown token that further ones may join
  while (!word.empty()) {
    std::string_view character = word.substr(0, utf8::step(word));
    word.remove_prefix(character.size());
    if (std::optional<uint32_t> id = tables->word(character)) {
      if (pending)
        add(static_cast<uint32_t>(header.unknown));
      pending = false;
      add(*id);
      continue;
    }
    if (tables->has(flagByteFallback) &&
        std::all_of(character.begin(), character.end(),
                    [&](char byte) { return header.byteIds[static_cast<uint8_t>(byte)] >= 0; })) {
      // A pending unknown token stays pending, as in the reference: it comes behind these bytes.
      for (char byte : character)
        add(static_cast<uint32_t>(header.byteIds[static_cast<uint8_t>(byte)]));
      continue;
    }
    if (header.unknown < 0)
      continue;
    if (pending && !tables->has(flagFuseUnknown))
      add(static_cast<uint32_t>(header.unknown));
    pending = true;
  }
  if (pending)
    add(static_cast<uint32_t>(header.unknown));
}

/// Whether `a` comes after `b`: the lowest rank is first, then the leftmost.
static bool comesLater(const auto &a, const auto &b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

void BpeEncoder::propose(int32_t left) {
  const Symbol &symbol = symbols[static_cast<size_t>(left)];
  if (symbol.next < 0)
    return;
  uint32_t right = symbols[static_cast<size_t>(symbol.next)].id;
  std::optional<Tables::Merged> merged = tables->merge(symbol.id, right);
  if (!merged)
    return;
  heap.push_back({merged->rank, static_cast<uint32_t>(left), symbol.id, right, merged->result});
}

void BpeEncoder::encode(std::string_view word, std::vector<int32_t> &ids) {
  if (tables->has(flagIgnoreMerges))
    if (std::optional<uint32_t> id = tables->word(word)) {
      ids.push_back(static_cast<int32_t>(*id));
      return;
    }
  symbols.clear();
  heap.clear();
  addCharacters(word);
  for (size_t i = 0; i < symbols.size(); ++i)
    propose(static_cast<int32_t>(i));
  auto later = [](const Candidate &a, const Candidate &b) { return comesLater(a, b); };
  std::make_heap(heap.begin(), heap.end(), later);

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Candidate candidate = heap.back();
    heap.pop_back();
    Symbol &symbol = symbols[candidate.position];
    if (symbol.gone || symbol.id != candidate.left || symbol.next < 0)
      continue;
    Symbol &right = symbols[static_cast<size_t>(symbol.next)];
    if (right.id != candidate.right)
      continue;
    symbol.id = candidate.result;
    symbol.next = right.next;
    right.gone = true;
    if (right.next >= 0)
      symbols[static_cast<size_t>(right.next)].previous = static_cast<int32_t>(candidate.position);
    for (int32_t left : {symbol.previous, static_cast<int32_t>(candidate.position)}) {
      if (left < 0)
        continue;
      size_t before = heap.size();
      propose(left);
      if (heap.size() > before)
        std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  for (const Symbol &symbol : symbols)
    if (!symbol.gone)
      ids.push_back(static_cast<int32_t>(symbol.id));
}
