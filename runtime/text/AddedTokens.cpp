// A walk down the trie from every byte that some token begins with.

#include "runtime/text/AddedTokens.h"

#include "runtime/text/Utf8.h"

#include <algorithm>

using namespace moec;
using namespace moec::tokenizer;

constexpr uint32_t childMask = (1u << 24) - 1;

AddedTokenFinder::AddedTokenFinder(std::span<const TrieNode> nodes, std::span<const TrieEdge> edges,
                                   std::span<const AddedToken> added)
    : nodes(nodes), edges(edges), added(added) {
  if (!nodes.empty())
    for (int byte = 0; byte < 256; ++byte)
      begins[byte] = follow(0, static_cast<uint8_t>(byte)).has_value();
}

std::optional<uint32_t> AddedTokenFinder::follow(uint32_t node, uint8_t byte) const {
  const TrieNode &from = nodes[node];
  if (from.firstEdge > edges.size() || from.edgeCount > edges.size() - from.firstEdge)
    return std::nullopt;
  std::span<const TrieEdge> list = edges.subspan(from.firstEdge, from.edgeCount);
  auto found = std::lower_bound(list.begin(), list.end(), byte,
                                [](TrieEdge edge, uint8_t wanted) { return edge >> 24 < wanted; });
  if (found == list.end() || *found >> 24 != byte || (*found & childMask) >= nodes.size())
    return std::nullopt;
  return *found & childMask;
}

std::optional<std::pair<size_t, size_t>> AddedTokenFinder::longest(std::string_view text) const {
  std::optional<std::pair<size_t, size_t>> best;
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    std::optional<uint32_t> next = follow(node, static_cast<uint8_t>(text[i]));
    if (!next)
      break;
    node = *next;
    uint32_t token = nodes[node].added;
    if (token != 0 && token - 1 < added.size())
      best = {token - 1, i + 1};
  }
  return best;
}

std::vector<AddedPart> AddedTokenFinder::split(std::string_view text) const {
  std::vector<AddedPart> parts;
  size_t done = 0; // all before is in `parts`
  for (size_t at = 0; at < text.size();) {
    if (!begins[static_cast<uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    std::optional<std::pair<size_t, size_t>> match = longest(text.substr(at));
    if (!match) {
      ++at;
      continue;
    }
    const AddedToken &token = added[match->first];
    size_t begin = at, end = at + match->second;
    at = end; // a match that does not count is passed over like one that does
    std::string_view before = text.substr(0, begin), after = text.substr(end);
    if ((token.flags & addedSingleWord) &&
        ((!before.empty() && utf8::isWord(utf8::last(before).value)) ||
         (!after.empty() && utf8::isWord(utf8::first(after).value))))
      continue;
    if (token.flags & addedStripRight)
      while (end < text.size() && utf8::isSpace(utf8::first(text.substr(end)).value))
        end += utf8::step(text.substr(end));
    if (token.flags & addedStripLeft) {
      while (begin > done && utf8::isSpace(utf8::last(text.substr(0, begin)).value))
        begin -= std::max<size_t>(1, utf8::last(text.substr(0, begin)).bytes);
      begin = std::max(begin, done);
      if (begin >= end) { // white space that the token before has swallowed already
        done = end;
        continue;
      }
    }
    if (begin > done)
      parts.push_back({{done, begin}, std::nullopt});
    parts.push_back({{begin, end}, token.id});
    done = end;
  }
  if (done < text.size())
    parts.push_back({{done, text.size()}, std::nullopt});
  return parts;
}
