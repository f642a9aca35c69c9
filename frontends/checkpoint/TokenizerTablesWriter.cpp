// Lays a tokenizer out as runtime/text/TokenizerTables.h says.

#include "frontends/checkpoint/TokenizerDescription.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <numeric>

using namespace moec;
using namespace moec::tokenizer;

namespace {

class Writer {
public:
  Writer() : bytes(sizeof(Header)) { std::memcpy(header.magic, magic, sizeof(magic)); }

  Header header{};

  template <typename T> void section(SectionName name, const std::vector<T> &elements) {
    header.sections[static_cast<size_t>(name)] = {bytes.size(), elements.size()};
    append(elements.data(), elements.size() * sizeof(T));
  }
  void section(SectionName name, const std::string &text) {
    header.sections[static_cast<size_t>(name)] = {bytes.size(), text.size()};
    append(text.data(), text.size());
  }

  std::vector<uint8_t> finish() {
    header.version = version;
    header.bytes = bytes.size();
    std::memcpy(bytes.data(), &header, sizeof(header));
    return std::move(bytes);
  }

private:
  void append(const void *data, size_t size) {
    size_t at = bytes.size();
    bytes.resize(at + (size + 7) / 8 * 8); // zeros up to the next section
    if (size)
      std::memcpy(bytes.data() + at, data, size);
  }

  std::vector<uint8_t> bytes;
};

/// A trie over the sought texts of added tokens.
struct Trie {
  std::vector<TrieNode> nodes;
  std::vector<TrieEdge> edges;
};

} // namespace

/// A table with an entry of `count` keys each, at most two thirds full. `hash` gives a key's hash.
template <typename Hash> static std::vector<uint32_t> openAddressing(size_t count, Hash hash) {
  if (count == 0)
    return {};
  std::vector<uint32_t> slots(count + count / 2 + 1);
  for (size_t i = 0; i < count; ++i) {
    size_t slot = homeSlot(hash(i), slots.size());
    while (slots[slot] != 0)
      slot = slot + 1 == slots.size() ? 0 : slot + 1;
    slots[slot] = static_cast<uint32_t>(i + 1);
  }
  return slots;
}

static Trie buildTrie(const std::vector<AddedTokenDescription> &added, bool normalized) {
  struct Node {
    std::map<uint8_t, size_t> children;
    uint32_t added = 0;
  };
  std::vector<Node> nodes(1);
  for (size_t i = 0; i < added.size(); ++i) {
    if (added[i].normalized != normalized || added[i].sought.empty())
      continue;
    size_t node = 0;
    for (char byte : added[i].sought) {
      auto [child, isNew] =
          nodes[node].children.try_emplace(static_cast<uint8_t>(byte), nodes.size());
      node = child->second;
      if (isNew)
        nodes.emplace_back();
    }
    if (nodes[node].added == 0) // of two that normalize to the same, the first
      nodes[node].added = static_cast<uint32_t>(i + 1);
  }
  Trie trie;
  if (nodes.size() == 1)
    return trie;
  for (const Node &node : nodes) {
    trie.nodes.push_back({static_cast<uint32_t>(trie.edges.size()),
                          static_cast<uint32_t>(node.children.size()), node.added});
    for (auto [byte, child] : node.children)
      trie.edges.push_back(static_cast<uint32_t>(byte) << 24 | static_cast<uint32_t>(child));
  }
  return trie;
}

/// Steps with their texts put away in `texts`.
static std::vector<Step> storeSteps(const std::vector<StepDescription> &steps, std::string &texts) {
  auto store = [&](const std::string &text) {
    TextRef piece{static_cast<uint32_t>(texts.size()), static_cast<uint32_t>(text.size())};
    texts += text;
    return piece;
  };
  std::vector<Step> stored;
  for (const StepDescription &step : steps)
    stored.push_back({.kind = step.kind,
                      .flags = step.flags,
                      .pattern = store(step.pattern),
                      .text = store(step.text),
                      .first = step.first,
                      .second = step.second});
  return stored;
}

namespace {

/// What each id shows and is, and where the texts of words lie.
struct IdTable {
  std::vector<const std::string *> texts;     ///< by id, then of words that no id shows
  std::vector<uint8_t> flags;                 ///< by id
  std::vector<uint32_t> further;              ///< the ids of the words that no id shows
  std::vector<const WordDescription *> words; ///< by id
  std::vector<uint32_t> wordTexts;            ///< of each of them, the number of its text
};

} // namespace

/// What an id shows is its added token before its word.
static IdTable tabulate(const TokenizerDescription &description, uint32_t ids) {
  IdTable table;
  table.texts.resize(ids, nullptr);
  table.flags.resize(ids, 0);
  for (const AddedTokenDescription &token : description.added) {
    table.texts[token.id] = &token.text;
    table.flags[token.id] =
        static_cast<uint8_t>(idPresent | idAdded | (token.special ? idSpecial : 0));
  }
  for (const WordDescription &word : description.words)
    table.words.push_back(&word);
  std::sort(table.words.begin(), table.words.end(), [](auto *a, auto *b) { return a->id < b->id; });
  for (const WordDescription *word : table.words) {
    const std::string *&shown = table.texts[word->id];
    if (shown && *shown != word->text) {
      table.wordTexts.push_back(static_cast<uint32_t>(table.texts.size()));
      table.further.push_back(word->id);
      table.texts.push_back(&word->text);
      continue;
    }
    shown = &word->text;
    table.flags[word->id] |= idPresent;
    table.wordTexts.push_back(word->id);
  }
  return table;
}

/// Finds words: the number of a word's text, from 1 on, by its hash.
static std::vector<uint32_t> slotsOfWords(const IdTable &table) {
  std::vector<uint32_t> slots =
      openAddressing(table.words.size(), [&](size_t i) { return hashWord(table.words[i]->text); });
  for (uint32_t &slot : slots)
    if (slot)
      slot = table.wordTexts[slot - 1] + 1;
  return slots;
}

/// Finds merges: the number of a merge, from 1 on, by the hash of its pair. Of equal pairs the last
/// counts, as in the reference: those before it are left out.
static std::vector<uint32_t> slotsOfMerges(const std::vector<Merge> &merges) {
  std::map<std::pair<uint32_t, uint32_t>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i)
    ranks[{merges[i].left, merges[i].right}] = i;
  std::vector<size_t> counted;
  for (auto [pair, rank] : ranks)
    counted.push_back(rank);
  std::sort(counted.begin(), counted.end());
  std::vector<uint32_t> slots = openAddressing(counted.size(), [&](size_t i) {
    return hashPair(merges[counted[i]].left, merges[counted[i]].right);
  });
  for (uint32_t &slot : slots)
    if (slot)
      slot = static_cast<uint32_t>(counted[slot - 1] + 1);
  return slots;
}

/// The smallest number that is above all ids.
static uint32_t countIds(const TokenizerDescription &description) {
  uint32_t ids = 0;
  for (const WordDescription &word : description.words)
    ids = std::max(ids, word.id + 1);
  for (const AddedTokenDescription &token : description.added)
    ids = std::max(ids, token.id + 1);
  return ids;
}

Result<std::vector<uint8_t>> moec::writeTokenizerTables(const TokenizerDescription &description) {
  const uint32_t ids = countIds(description);
  const IdTable table = tabulate(description, ids);
  std::vector<uint32_t> offsets = {0};
  std::string bytes;
  size_t trieBytes = 0;
  for (const std::string *text : table.texts) {
    if (text)
      bytes += *text;
    if (bytes.size() > std::numeric_limits<uint32_t>::max())
      return Status{Code::Unsupported, "a vocabulary of more than 4 GiB"};
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
  }
  std::vector<AddedToken> added;
  for (const AddedTokenDescription &token : description.added) {
    trieBytes += token.sought.size();
    added.push_back({token.id, token.flags});
  }
  if (trieBytes >= (size_t{1} << 24))
    return Status{Code::Unsupported, "added tokens of more than 16 MiB together"};

  std::vector<uint32_t> tokenRanks = description.ranks;
  if (!tokenRanks.empty())
    tokenRanks.resize(ids, 0);

  Trie raw = buildTrie(description.added, false), normalized = buildTrie(description.added, true);
  std::string programText;
  std::vector<Step> normalizer = storeSteps(description.normalizer, programText);
  std::vector<Step> preTokenizer = storeSteps(description.preTokenizer, programText);
  std::vector<Step> decoder = storeSteps(description.decoder, programText);

  Writer writer;
  writer.header.flags = description.flags;
  writer.header.ids = ids;
  writer.header.unknown = description.unknown;
  writer.header.bos = description.bos;
  writer.header.eos = description.eos;
  writer.header.pad = description.pad;
  std::copy(description.byteIds.begin(), description.byteIds.end(), writer.header.byteIds);
  writer.section(SectionName::TextOffsets, offsets);
  writer.section(SectionName::TextBytes, bytes);
  writer.section(SectionName::IdFlags, table.flags);
  writer.section(SectionName::FurtherWords, table.further);
  writer.section(SectionName::WordSlots, slotsOfWords(table));
  writer.section(SectionName::Merges, description.merges);
  writer.section(SectionName::MergeSlots, slotsOfMerges(description.merges));
  writer.section(SectionName::Ranks, tokenRanks);
  writer.section(SectionName::AddedTokens, added);
  writer.section(SectionName::RawNodes, raw.nodes);
  writer.section(SectionName::RawEdges, raw.edges);
  writer.section(SectionName::NormalizedNodes, normalized.nodes);
  writer.section(SectionName::NormalizedEdges, normalized.edges);
  writer.section(SectionName::Normalizer, normalizer);
  writer.section(SectionName::PreTokenizer, preTokenizer);
  writer.section(SectionName::Decoder, decoder);
  writer.section(SectionName::Prefix, description.prefix);
  writer.section(SectionName::Suffix, description.suffix);
  writer.section(SectionName::ProgramText, programText);
  return writer.finish();
}
