// Fills in the places of a pattern.

#include "runtime/core/TensorPattern.h"

#include <algorithm>

std::string moec::expandPattern(std::string_view pattern, int64_t layer, int64_t expert) {
  std::string name;
  while (!pattern.empty()) {
    const bool isLayer = pattern.starts_with("{l}");
    if (isLayer || pattern.starts_with("{e}")) {
      name += std::to_string(isLayer ? layer : expert);
      pattern.remove_prefix(3);
      continue;
    }
    const size_t plain = std::min(pattern.find('{', 1), pattern.size());
    name += pattern.substr(0, plain);
    pattern.remove_prefix(plain);
  }
  return name;
}
