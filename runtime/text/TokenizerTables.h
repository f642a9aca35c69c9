// The binary form of a tokenizer: written by the compiler, used where it is mapped, by offsets
// alone.

#ifndef MOEC_RUNTIME_TEXT_TOKENIZERTABLES_H
#define MOEC_RUNTIME_TEXT_TOKENIZERTABLES_H

#include "runtime/core/Result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moec::tokenizer {

// Little-endian, as all machines that moec builds for. A file is a Header, then sections, each
// starting at a multiple of 8 bytes and zero-padded to the next. Offsets count from the first byte
// of the Header.

constexpr char magic[8] = {'m', 'o', 'e', 'c', 't', 'o', 'k', '\n'};
constexpr uint32_t version = 2;
constexpr uint32_t maxIds = 1u << 24;

/// A section: where it begins, and how many elements it has.
struct Section {
  uint64_t offset;
  uint64_t count;
};

/// A piece of the `programText` section.
struct TextRef {
  uint32_t offset;
  uint32_t bytes;
};

/// What a Step does. The first letter group says in which programs it may stand: a normalizer (N),
/// a pre-tokenizer (P), a decoder (D).
enum class StepKind : uint32_t {
  Nfc,          ///< N
  Nfd,          ///< N
  Nfkc,         ///< N
  Nfkd,         ///< N
  Lowercase,    ///< N: each character by itself
  StripSpace,   ///< N: white space at the ends; stepLeft, stepRight
  StripAccents, ///< N: marks
  Replace,      ///< N, P, D: each match of `pattern` by `text`; stepRegex
  Prepend,      ///< N, P: `text`, unless the piece is empty; stepUnlessPresent, stepFirstPieceOnly
  MapBytes,     ///< N, P: each byte as its character of the byte-level alphabet
  Split,        ///< P: at matches of `pattern`; stepRegex, stepInvert; `first` is the SplitBehavior
  BytesFromText,   ///< D: byte-level characters to bytes, those to text, all one token from here
  ByteFallback,    ///< D: runs of <0xHH> to text
  Fuse,            ///< D: all one token from here
  StripCharacter,  ///< D: up to `first` of `text` from the front of each token, `second` from its
                   ///< end
  MetaspaceToText, ///< D: `text` to a space; dropped in the first token where stepFirstPieceOnly
  Last = MetaspaceToText,
};

constexpr uint32_t stepRegex = 1;  ///< `pattern` is PCRE2, else plain text
constexpr uint32_t stepInvert = 2; ///< what lies between matches counts as the match
constexpr uint32_t stepLeft = 4;
constexpr uint32_t stepRight = 8;
constexpr uint32_t stepUnlessPresent = 16; ///< not where the piece begins with it already
constexpr uint32_t stepFirstPieceOnly = 32;

/// What becomes of the matches that a Split cuts at.
enum class SplitBehavior : uint32_t {
  Removed,
  Isolated,
  MergedWithPrevious,
  MergedWithNext,
  Contiguous,
  Last = Contiguous,
};

struct Step {
  StepKind kind;
  uint32_t flags;
  TextRef pattern;
  TextRef text;
  uint32_t first;
  uint32_t second;
};

/// Two adjacent tokens and what they become; the index in the section is the rank, unless the
/// tokens have ranks of their own.
struct Merge {
  uint32_t left;
  uint32_t right;
  uint32_t result;
};

constexpr uint8_t idPresent = 1; ///< has a text, perhaps an empty one
constexpr uint8_t idAdded = 2;   ///< is an added token
constexpr uint8_t idSpecial = 4; ///< a control token: no text for readers

constexpr uint32_t addedSingleWord = 1;
constexpr uint32_t addedStripLeft = 2;
constexpr uint32_t addedStripRight = 4;

struct AddedToken {
  uint32_t id;
  uint32_t flags;
};

/// A node of a trie over bytes. Edges of one node are sorted by byte.
struct TrieNode {
  uint32_t firstEdge;
  uint32_t edgeCount;
  uint32_t added; ///< 1 + the index of the added token that ends here, or 0
};
/// An edge: the byte in the upper 8 bits, the node it leads to in the lower 24.
using TrieEdge = uint32_t;

constexpr uint32_t flagIgnoreMerges = 1; ///< a word of the vocabulary is its own token
constexpr uint32_t flagFuseUnknown = 2;
constexpr uint32_t flagByteFallback = 4;
constexpr uint32_t flagJoinBySpaces = 8;    ///< there is no decoder: tokens are joined by spaces
constexpr uint32_t flagHasBosEosFlags = 16; ///< tokenizer_config.json says what follows
constexpr uint32_t flagAddBos = 32;
constexpr uint32_t flagAddEos = 64;

/// Sections in the order of the file; the type of their elements in the comment.
enum class SectionName : uint32_t {
  TextOffsets,     ///< uint32_t: text of id i lies from [i] to [i + 1]; then texts of further words
  TextBytes,       ///< char
  IdFlags,         ///< uint8_t, one per id
  FurtherWords,    ///< uint32_t: ids of words whose id shows another text
  WordSlots,       ///< uint32_t: open addressing over words; 0 or 1 + the number of the text
  Merges,          ///< Merge
  MergeSlots,      ///< uint32_t: open addressing over pairs; 0 or 1 + the index of the merge
  Ranks,           ///< uint32_t, one per id: that of any merge that makes it; empty: see Merge
  AddedTokens,     ///< AddedToken
  RawNodes,        ///< TrieNode: added tokens looked for in the text as given
  RawEdges,        ///< TrieEdge
  NormalizedNodes, ///< TrieNode: those looked for in the normalized text
  NormalizedEdges, ///< TrieEdge
  Normalizer,      ///< Step
  PreTokenizer,    ///< Step
  Decoder,         ///< Step
  Prefix,          ///< uint32_t: ids that the post-processor puts in front
  Suffix,          ///< uint32_t: ids that it puts at the end
  ProgramText,     ///< char
  Last = ProgramText,
};
constexpr size_t numSections = static_cast<size_t>(SectionName::Last) + 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t flags;
  uint64_t bytes;                 ///< of all
  uint32_t ids;                   ///< one more than the highest
  int32_t unknown, bos, eos, pad; ///< ids, or negative
  uint32_t reserved;
  Section sections[numSections];
  int32_t byteIds[256]; ///< of <0xHH>, or negative
};

/// Where a key with `hash` begins to look in a table of `slots`.
inline size_t homeSlot(uint32_t hash, size_t slots) {
  return static_cast<size_t>((static_cast<uint64_t>(hash) * slots) >> 32);
}
uint32_t hashWord(std::string_view word);
uint32_t hashPair(uint32_t left, uint32_t right);

/// Opened tables. Opening looks at everything but the vocabulary and its merges: the header, the
/// ends of sections, added tokens, steps, and what the post-processor adds. Whatever the bytes
/// hold, no call reads outside them.
class Tables {
public:
  /// `bytes` start at a multiple of 8, and must outlive the tables. Bytes that are not tables of
  /// this version are Code::Mismatch.
  static Result<Tables> open(std::span<const uint8_t> bytes);

  const Header &header() const { return *head; }
  bool has(uint32_t flag) const { return (head->flags & flag) != 0; }
  uint32_t numIds() const { return head->ids; }

  /// Flags of `id`; 0 where there is no such id.
  uint8_t idFlags(int64_t id) const {
    return id >= 0 && id < static_cast<int64_t>(flags.size()) ? flags[static_cast<size_t>(id)] : 0;
  }
  /// The text of a token as the vocabulary spells it; empty where there is none.
  std::string_view text(int64_t id) const {
    return idFlags(id) & idPresent ? entry(static_cast<size_t>(id)) : std::string_view();
  }
  /// The id of a word of the vocabulary.
  std::optional<uint32_t> word(std::string_view word) const;
  /// The rank of merging two tokens, and the result.
  struct Merged {
    uint32_t rank;
    uint32_t result;
  };
  std::optional<Merged> merge(uint32_t left, uint32_t right) const;

  std::span<const AddedToken> addedTokens() const { return added; }
  std::span<const TrieNode> rawNodes() const { return nodes[0]; }
  std::span<const TrieEdge> rawEdges() const { return edges[0]; }
  std::span<const TrieNode> normalizedNodes() const { return nodes[1]; }
  std::span<const TrieEdge> normalizedEdges() const { return edges[1]; }
  std::span<const Step> normalizer() const { return programs[0]; }
  std::span<const Step> preTokenizer() const { return programs[1]; }
  std::span<const Step> decoder() const { return programs[2]; }
  std::span<const uint32_t> prefix() const { return ends[0]; }
  std::span<const uint32_t> suffix() const { return ends[1]; }
  /// Checked: empty where the piece lies outside.
  std::string_view programText(TextRef piece) const;

private:
  std::string_view entry(size_t number) const;

  const Header *head = nullptr;
  std::span<const uint32_t> offsets;
  std::span<const char> bytes;
  std::span<const uint8_t> flags;
  std::span<const uint32_t> further;
  std::span<const uint32_t> wordSlots;
  std::span<const Merge> merges;
  std::span<const uint32_t> mergeSlots;
  std::span<const uint32_t> ranks;
  std::span<const AddedToken> added;
  std::span<const TrieNode> nodes[2];
  std::span<const TrieEdge> edges[2];
  std::span<const Step> programs[3];
  std::span<const uint32_t> ends[2];
  std::span<const char> strings;
};

} // namespace moec::tokenizer

#endif // MOEC_RUNTIME_TEXT_TOKENIZERTABLES_H
