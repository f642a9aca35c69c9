// What ends an answer: token ids, and text.

#include "runtime/text/Stops.h"

#include <algorithm>
#include <utility>

using namespace moec;

StopIds::StopIds(std::vector<int32_t> given) : ids(std::move(given)) {
  std::sort(ids.begin(), ids.end());
}

bool StopIds::contains(int32_t id) const { return std::binary_search(ids.begin(), ids.end(), id); }

StopStrings::StopStrings(std::vector<std::string> given) : strings(std::move(given)) {
  std::erase_if(strings, [](const std::string &string) { return string.empty(); });
}

std::string StopStrings::feed(std::string_view text) {
  if (found)
    return {};
  held += text;
  size_t firstEnd = std::string::npos, start = 0;
  for (const std::string &string : strings) {
    size_t at = held.find(string);
    if (at == std::string::npos)
      continue;
    size_t end = at + string.size();
    if (end < firstEnd || (end == firstEnd && at < start)) {
      firstEnd = end;
      start = at;
    }
  }
  if (firstEnd != std::string::npos) {
    found = true;
    held.resize(start);
    return std::exchange(held, {});
  }
  size_t keep = 0; // the longest end of the text that begins a stop string
  for (const std::string &string : strings)
    for (size_t length = std::min(string.size() - 1, held.size()); length > keep; --length)
      if (held.compare(held.size() - length, length, string, 0, length) == 0)
        keep = length;
  std::string shown = held.substr(0, held.size() - keep);
  held.erase(0, held.size() - keep);
  return shown;
}

std::string StopStrings::finish() { return found ? std::string() : std::exchange(held, {}); }
