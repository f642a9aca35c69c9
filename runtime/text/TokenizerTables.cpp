// Every look-up checks what it reads: a range check costs less than reading the tables through at
// start.

#include "runtime/text/TokenizerTables.h"

#include <fmt/format.h>

#include <cstring>
#include <type_traits>

using namespace moec;
using namespace moec::tokenizer;

static_assert(std::is_trivially_copyable_v<Header> && alignof(Header) == 8);
static_assert(sizeof(Header) == 48 + numSections * 16 + 1024 && sizeof(Step) == 32);

uint32_t tokenizer::hashWord(std::string_view word) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (char byte : word)
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001B3u;
  hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15u;
  return static_cast<uint32_t>(hash >> 32);
}

uint32_t tokenizer::hashPair(uint32_t left, uint32_t right) {
  uint64_t hash = (static_cast<uint64_t>(left) << 32 | right) * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9u;
  return static_cast<uint32_t>(hash >> 32);
}

static Status damaged(std::string_view what) {
  return {Code::Mismatch,
          fmt::format("tokenizer tables: {}; compile the model again with this moec", what)};
}

namespace {

/// Gives out the sections of a blob, and remembers whether one does not fit.
class Sections {
public:
  Sections(std::span<const uint8_t> bytes, const Header &header) : bytes(bytes), header(header) {}

  template <typename T> std::span<const T> get(SectionName name) {
    Section section = header.sections[static_cast<size_t>(name)];
    if (section.offset % 8 != 0 || section.offset < sizeof(Header) ||
        section.offset > bytes.size() ||
        section.count > (bytes.size() - section.offset) / sizeof(T)) {
      whole = false;
      return {};
    }
    return {reinterpret_cast<const T *>(bytes.data() + section.offset),
            static_cast<size_t>(section.count)};
  }

  bool whole = true;

private:
  std::span<const uint8_t> bytes;
  const Header &header;
};

} // namespace

Result<Tables> Tables::open(std::span<const uint8_t> blob) {
  if (blob.size() < sizeof(Header) || std::memcmp(blob.data(), magic, sizeof(magic)) != 0)
    return damaged("not recognised");
  if (reinterpret_cast<uintptr_t>(blob.data()) % 8 != 0)
    return Status{Code::Internal, "tokenizer tables: not at a multiple of 8 bytes"};
  const Header &header = *reinterpret_cast<const Header *>(blob.data());
  if (header.version != version)
    return damaged(fmt::format("version {} where {} is wanted", header.version, version));
  if (header.bytes != blob.size())
    return damaged(fmt::format("{} bytes where {} are wanted", blob.size(), header.bytes));

  Tables tables;
  tables.head = &header;
  Sections sections(blob, header);
  tables.offsets = sections.get<uint32_t>(SectionName::TextOffsets);
  tables.bytes = sections.get<char>(SectionName::TextBytes);
  tables.flags = sections.get<uint8_t>(SectionName::IdFlags);
  tables.further = sections.get<uint32_t>(SectionName::FurtherWords);
  tables.wordSlots = sections.get<uint32_t>(SectionName::WordSlots);
  tables.merges = sections.get<Merge>(SectionName::Merges);
  tables.mergeSlots = sections.get<uint32_t>(SectionName::MergeSlots);
  tables.ranks = sections.get<uint32_t>(SectionName::Ranks);
  tables.added = sections.get<AddedToken>(SectionName::AddedTokens);
  tables.nodes[0] = sections.get<TrieNode>(SectionName::RawNodes);
  tables.edges[0] = sections.get<TrieEdge>(SectionName::RawEdges);
  tables.nodes[1] = sections.get<TrieNode>(SectionName::NormalizedNodes);
  tables.edges[1] = sections.get<TrieEdge>(SectionName::NormalizedEdges);
  tables.programs[0] = sections.get<Step>(SectionName::Normalizer);
  tables.programs[1] = sections.get<Step>(SectionName::PreTokenizer);
  tables.programs[2] = sections.get<Step>(SectionName::Decoder);
  tables.ends[0] = sections.get<uint32_t>(SectionName::Prefix);
  tables.ends[1] = sections.get<uint32_t>(SectionName::Suffix);
  tables.strings = sections.get<char>(SectionName::ProgramText);
  if (!sections.whole)
    return damaged("a section lies outside");
  if (header.ids > maxIds || tables.flags.size() != header.ids ||
      tables.offsets.size() != tables.flags.size() + tables.further.size() + 1)
    return damaged("the number of tokens is inconsistent");
  if (!tables.ranks.empty() && tables.ranks.size() != header.ids)
    return damaged("the number of ranks is inconsistent");
  auto isId = [&](int64_t id) { return id < static_cast<int64_t>(header.ids); };
  for (int32_t id : header.byteIds)
    if (!isId(id))
      return damaged("a byte's token does not exist");
  for (int32_t id : {header.unknown, header.bos, header.eos, header.pad})
    if (!isId(id))
      return damaged("a special token does not exist");
  for (const AddedToken &token : tables.added)
    if (!isId(token.id))
      return damaged("an added token's id does not exist");
  for (std::span<const uint32_t> list : tables.ends)
    for (uint32_t id : list)
      if (!isId(id))
        return damaged("the post-processor's token does not exist");
  for (std::span<const Step> program : tables.programs)
    for (const Step &step : program)
      if (step.kind > StepKind::Last ||
          (step.kind == StepKind::Split && step.first > static_cast<uint32_t>(SplitBehavior::Last)))
        return damaged("an unknown step");
  return tables;
}

std::string_view Tables::entry(size_t number) const {
  if (number + 1 >= offsets.size())
    return {};
  uint32_t begin = offsets[number], end = offsets[number + 1];
  if (begin > end || end > bytes.size())
    return {};
  return {bytes.data() + begin, end - begin};
}

std::string_view Tables::programText(TextRef piece) const {
  if (piece.offset > strings.size() || piece.bytes > strings.size() - piece.offset)
    return {};
  return {strings.data() + piece.offset, piece.bytes};
}

std::optional<uint32_t> Tables::word(std::string_view word) const {
  if (wordSlots.empty())
    return std::nullopt;
  size_t slot = homeSlot(hashWord(word), wordSlots.size());
  for (size_t probes = 0; probes < wordSlots.size(); ++probes) {
    if (wordSlots[slot] == 0)
      return std::nullopt;
    size_t number = wordSlots[slot] - 1;
    if (entry(number) == word) {
      if (number < flags.size())
        return static_cast<uint32_t>(number);
      number -= flags.size();
      if (number < further.size() && further[number] < flags.size())
        return further[number];
      return std::nullopt;
    }
    if (++slot == wordSlots.size())
      slot = 0;
  }
  return std::nullopt;
}

std::optional<Tables::Merged> Tables::merge(uint32_t left, uint32_t right) const {
  if (mergeSlots.empty())
    return std::nullopt;
  size_t slot = homeSlot(hashPair(left, right), mergeSlots.size());
  for (size_t probes = 0; probes < mergeSlots.size(); ++probes) {
    if (mergeSlots[slot] == 0)
      return std::nullopt;
    size_t index = mergeSlots[slot] - 1;
    if (index >= merges.size())
      return std::nullopt;
    const Merge &merge = merges[index];
    if (merge.left == left && merge.right == right) {
      if (merge.result >= flags.size())
        return std::nullopt;
      uint32_t rank = ranks.empty() ? static_cast<uint32_t>(index) : ranks[merge.result];
      return Merged{rank, merge.result};
    }
    if (++slot == mergeSlots.size())
      slot = 0;
  }
  return std::nullopt;
}
