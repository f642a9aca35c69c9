// Fills in the places of a pattern.

#include "runtime/core/TensorPattern.h"

std::string moec::expandPattern(std::string_view pattern, int64_t layer, int64_t expert) {
  std::string name;
  for (size_t index = 0; index < pattern.size(); ++index) {
    std::string_view rest = pattern.substr(index);
    if (rest.starts_with("{l}") || rest.starts_with("{e}")) {
      name += std::to_string(rest[1] == 'l' ? layer : expert);
      index += 2;
    } else {
      name += rest.front();
    }
  }
  return name;
}
